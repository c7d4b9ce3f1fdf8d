//! Instances, nodes and what runs on each of them: kubelet, Calico, kube-proxy, the probe.

use super::super::evidence::{Evidence, PodEvidence, ProbeOutcome};
use super::super::report::Finding;
use super::groups::{Stopped, cli};

/// Code of a finding about an instance that does not run.
pub(super) const INSTANCE: &str = "KS-NODE-INSTANCE";

/// Instances that do not run.
pub(super) fn instances(evidence: &Evidence) -> Vec<Finding> {
    let cloud = &evidence.cloud;
    cloud
        .members
        .iter()
        .filter(|member| member.state != "running")
        .map(|member| {
            Finding::error(
                INSTANCE,
                member.instance.clone(),
                format!("the instance of {} is {}", member.node, member.state),
            )
            .mended_by(cli(cloud, &format!("aws ec2 start-instances --instance-ids {}", member.instance)))
        })
        .collect()
}

/// Nodes that are not Ready, kubelets that cannot be reached, Calico and kube-proxy.
pub(super) fn judge(
    evidence: &Evidence,
    stopped: &mut [Stopped],
    causes: &[Finding],
    symptoms: &mut Vec<Finding>,
) {
    let cluster = &evidence.cluster;
    for node in cluster.nodes.iter().filter(|node| !node.ready) {
        let line = format!(
            "node {} is not Ready: {}",
            node.name,
            node.reason.as_deref().unwrap_or("no reason given")
        );
        let instance = evidence.cloud.members.iter().find(|member| member.node == node.name);
        if instance.is_some_and(|member| causes.iter().any(|cause| cause.resource == member.instance)) {
            continue;
        }
        if explain(stopped, &["api/nodes", "egress"], &line) {
            continue;
        }
        let command = format!("kubestrap ssh {} -- sudo journalctl -u kubelet -n 50 --no-pager", node.name);
        let finding = Finding::error("KS-NODE-NOT-READY", format!("node {}", node.name), line);
        symptoms.push(finding.mended_by(command));
    }
    for probe in &cluster.probes {
        let (line, code, cause) = match &probe.outcome {
            ProbeOutcome::Ran => continue,
            ProbeOutcome::ExecFailed(why) => (
                format!("{}: exec: {why}", probe.node),
                "KS-NODE-EXEC",
                format!(
                    "no command can be run in a pod on {}, so nothing can be looked up from there",
                    probe.node
                ),
            ),
            ProbeOutcome::NotRunning(why) => (
                format!("{}: {why}", probe.node),
                "KS-NODE-PROBE",
                format!(
                    "the probe pod on {} does not run, so nothing can be looked up from there",
                    probe.node
                ),
            ),
        };
        let not_ready = cluster.nodes.iter().any(|node| node.name == probe.node && !node.ready);
        if explain(stopped, &["kubelet", "api/nodes", "egress"], &line) || not_ready {
            continue;
        }
        let pod = probe.pod.as_deref().unwrap_or_default();
        let finding = Finding::error(code, format!("node {}", probe.node), cause).into_warning().seen([line]);
        symptoms
            .push(finding.mended_by(format!("kubectl -n kubestrap-system describe pod {pod}").trim_end()));
    }
    let running = |node: &str| cluster.nodes.iter().any(|known| known.name == node && known.ready);
    for (pods, code, what) in [
        (&cluster.calico, "KS-NET-CALICO", "calico-node"),
        (&cluster.kube_proxy, "KS-NET-KUBE-PROXY", "kube-proxy"),
    ] {
        for pod in pods.iter().filter(|pod| !pod.ready && running(&pod.node)) {
            let line = super::coredns::pod_line(pod);
            if !explain(stopped, &["api/nodes", "egress"], &line) {
                symptoms.push(agent(code, what, pod, line));
            }
        }
        let asked = !cluster.failures.iter().any(|failure| failure.starts_with(what));
        for node in cluster.nodes.iter().filter(|node| node.ready && asked) {
            if !pods.iter().any(|pod| pod.node == node.name) {
                let cause = format!("{what} does not run on {}", node.name);
                symptoms.push(
                    Finding::error(code, format!("DaemonSet kube-system/{what}"), cause)
                        .mended_by(format!("kubectl -n kube-system describe daemonset {what}")),
                );
            }
        }
    }
}

fn agent(code: &str, what: &str, pod: &PodEvidence, line: String) -> Finding {
    Finding::error(
        code,
        format!("pod kube-system/{}", pod.name),
        format!("{what} on {} is not ready", pod.node),
    )
    .seen([line])
    .mended_by(format!("kubectl -n kube-system logs {} --tail=50", pod.name))
}

/// Adds `line` to the evidence of the first stopped flow that explains it.
pub(super) fn explain(stopped: &mut [Stopped], flows: &[&str], line: &str) -> bool {
    let cause = stopped.iter_mut().find(|stopped| flows.iter().any(|flow| stopped.has(flow)));
    match cause {
        Some(cause) => {
            if cause.finding.evidence.len() < 12 {
                cause.finding.evidence.push(line.to_owned());
            }
            true
        }
        None => false,
    }
}
