//! Instances, nodes and what runs on each of them: kubelet, Calico, kube-proxy, the probe.

use super::super::evidence::{Evidence, PodEvidence, ProbeOutcome};
use super::super::report::Finding;
use super::groups::{Stopped, cli};

/// Code of a finding about an instance that does not run.
const INSTANCE: &str = "KS-NODE-INSTANCE";

/// A node whose instance does not run or is gone, and the finding that says so: what else is found on it
/// follows from that.
#[derive(Clone, Debug)]
pub(super) struct Dead {
    pub(super) node: String,
    pub(super) control_plane: bool,
    pub(super) finding: Finding,
}

/// Nodes without a running instance.
pub(super) fn dead(evidence: &Evidence) -> Vec<Dead> {
    let cloud = &evidence.cloud;
    let stopped = cloud.members.iter().filter(|member| member.state != "running").map(|member| {
        let cause = format!("the instance of {} is {}", member.node, member.state);
        let command = format!("aws ec2 start-instances --instance-ids {}", member.instance);
        let finding =
            Finding::error(INSTANCE, member.instance.clone(), cause).mended_by(cli(cloud, &command));
        Dead { node: member.node.clone(), control_plane: member.control_plane, finding }
    });
    let absent = cloud.absent.iter().map(|absent| {
        let node = absent.node.clone();
        let cause = format!("{node} has no instance: it was terminated, or never launched");
        let command = match absent.control_plane {
            true => "kubestrap down && kubestrap up    # its etcd data went with it",
            false => "kubestrap up",
        };
        let finding = Finding::error(INSTANCE, format!("node {node}"), cause).mended_by(command);
        Dead { node, control_plane: absent.control_plane, finding }
    });
    stopped.chain(absent).collect()
}

/// Whether `line` is about a dead node; then it is that finding's evidence.
pub(super) fn follows(dead: &mut [Dead], node: &str, line: &str) -> bool {
    let cause = dead.iter_mut().find(|dead| dead.node == node);
    cause.map(|dead| attach(&mut dead.finding, line)).is_some()
}

/// Nodes that are not Ready, kubelets that cannot be reached, Calico and kube-proxy.
pub(super) fn judge(
    evidence: &Evidence,
    stopped: &mut [Stopped],
    dead: &mut [Dead],
    symptoms: &mut Vec<Finding>,
) {
    let cluster = &evidence.cluster;
    for node in cluster.nodes.iter().filter(|node| !node.ready) {
        let line = format!(
            "node {} is not Ready: {}",
            node.name,
            node.reason.as_deref().unwrap_or("no reason given")
        );
        if follows(dead, &node.name, &line) || explain(stopped, &["api/nodes", "egress"], &line) {
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
        if follows(dead, &probe.node, &line)
            || explain(stopped, &["kubelet", "api/nodes", "egress"], &line)
            || not_ready
        {
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
            if !follows(dead, &pod.node, &line) && !explain(stopped, &["api/nodes", "egress"], &line) {
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
    cause.map(|cause| attach(&mut cause.finding, line)).is_some()
}

/// A dozen lines say what a hundred would.
fn attach(finding: &mut Finding, line: &str) {
    if finding.evidence.len() < 12 {
        finding.evidence.push(line.to_owned());
    }
}
