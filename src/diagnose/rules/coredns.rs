//! CoreDNS itself: its Deployment, its pods, its Service.

use super::super::evidence::{ClusterEvidence, PodEvidence};
use super::super::report::Finding;
use super::few;
use super::nodes::{Dead, follows};

const DEPLOYMENT: &str = "Deployment kube-system/coredns";
const SERVICE: &str = "Service kube-system/kube-dns";
/// What kubeadm gives CoreDNS.
const SELECTOR: &str = "k8s-app=kube-dns";

pub(super) fn judge(cluster: &ClusterEvidence, dead: &mut [Dead]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = deployment(cluster, dead).into_iter().collect();
    findings.extend(service(cluster));
    findings
}

/// `coredns-abc on general-1 (192.168.1.2): ready`.
pub(super) fn pod_lines(cluster: &ClusterEvidence) -> Vec<String> {
    let wanted = match cluster.coredns_replicas {
        Some(replicas) => format!("{replicas} replicas wanted"),
        None => "there is no Deployment coredns".into(),
    };
    let mut lines: Vec<String> = vec![wanted];
    lines.extend(few(cluster.coredns.iter().map(pod_line)));
    lines
}

/// The Service's address and what is behind it.
pub(super) fn service_lines(cluster: &ClusterEvidence) -> Vec<String> {
    match &cluster.kube_dns {
        None => vec!["there is no Service kube-dns".into()],
        Some(service) => {
            let mut lines = vec![format!("{} -> {}", service.cluster_ip, list(&service.ready))];
            if !service.not_ready.is_empty() {
                lines.push(format!("not ready: {}", list(&service.not_ready)));
            }
            lines
        }
    }
}

fn deployment(cluster: &ClusterEvidence, dead: &mut [Dead]) -> Option<Finding> {
    let Some(replicas) = cluster.coredns_replicas else {
        if failed(cluster, "Deployment coredns") {
            return None;
        }
        return Some(
            Finding::error("KS-DNS-COREDNS-ABSENT", DEPLOYMENT, "there is no CoreDNS in this cluster")
                .mended_by("kubestrap ssh control-plane-1 -- sudo kubeadm init phase addon coredns"),
        );
    };
    let ready = cluster.coredns.iter().filter(|pod| pod.ready).count();
    if replicas == 0 {
        return Some(
            Finding::error(
                "KS-DNS-COREDNS-SCALED-TO-ZERO",
                DEPLOYMENT,
                "CoreDNS is scaled to zero: nobody answers",
            )
            .mended_by("kubectl -n kube-system scale deployment coredns --replicas=2"),
        );
    }
    if failed(cluster, "CoreDNS pods") || ready >= usize::try_from(replicas).unwrap_or(0) {
        return None;
    }
    let troubled: Vec<&PodEvidence> = cluster.coredns.iter().filter(|pod| !pod.ready).collect();
    let on_the_dead = |pod: &&&PodEvidence| follows(dead, &pod.node, &pod_line(pod));
    if ready > 0 && !troubled.is_empty() && troubled.iter().filter(on_the_dead).count() == troubled.len() {
        return None;
    }
    let evidence = few(troubled.iter().map(|pod| pod_line(pod)))
        .into_iter()
        .chain(cluster.coredns_log.iter().map(|line| format!("log: {line}")));
    let corefile = cluster.coredns_log.iter().any(|line| {
        ["Corefile:", "Unknown directive", "plugin/", "dns.Parse", "maybe missing", "Unexpected"]
            .iter()
            .any(|word| line.contains(word))
    });
    let (code, cause, command) = if corefile {
        (
            "KS-DNS-COREDNS-COREFILE",
            format!("CoreDNS does not accept its Corefile: {ready} of {replicas} pods are ready"),
            "kubectl -n kube-system edit configmap coredns    # then: kubectl -n kube-system rollout restart deployment coredns",
        )
    } else if troubled.is_empty() {
        (
            "KS-DNS-COREDNS-DOWN",
            format!("{ready} of {replicas} CoreDNS pods exist"),
            "kubectl -n kube-system describe deployment coredns",
        )
    } else {
        (
            "KS-DNS-COREDNS-DOWN",
            format!("{ready} of {replicas} CoreDNS pods are ready"),
            "kubectl -n kube-system describe pods -l k8s-app=kube-dns",
        )
    };
    let finding = Finding::error(code, DEPLOYMENT, cause).seen(evidence).mended_by(command);
    // One pod that is just starting while another answers is no fault.
    let starting = !corefile && troubled.iter().all(|pod| pod.reason.as_deref().is_none_or(is_starting));
    Some(if ready > 0 && starting { finding.into_warning() } else { finding })
}

fn is_starting(reason: &str) -> bool {
    !["CrashLoopBackOff", "Error", "ImagePull", "exit ", "not scheduled", "OOMKilled"]
        .iter()
        .any(|trouble| reason.contains(trouble))
}

fn service(cluster: &ClusterEvidence) -> Option<Finding> {
    let Some(service) = &cluster.kube_dns else {
        if failed(cluster, "Service kube-dns") || failed(cluster, "EndpointSlices") {
            return None;
        }
        return Some(
            Finding::error(
                "KS-DNS-SERVICE-ABSENT",
                SERVICE,
                "there is no Service kube-dns: pods have no resolver",
            )
            .mended_by("kubestrap ssh control-plane-1 -- sudo kubeadm init phase addon coredns"),
        );
    };
    for port in ["udp 53", "tcp 53"] {
        if !service.ports.iter().any(|has| has == port) {
            return Some(
                Finding::error(
                    "KS-DNS-SERVICE-PORTS",
                    SERVICE,
                    format!("the Service has no port {}", port.to_uppercase()),
                )
                .seen([format!("its ports: {}", list(&service.ports))])
                .mended_by("kubectl -n kube-system edit service kube-dns"),
            );
        }
    }
    let ready: Vec<&PodEvidence> = cluster.coredns.iter().filter(|pod| pod.ready).collect();
    let of_coredns = |address: &&String| cluster.coredns.iter().any(|pod| pod.ip.as_ref() == Some(address));
    let foreign: Vec<&String> = service.ready.iter().filter(|address| !of_coredns(address)).collect();
    if service.ready.is_empty() && !ready.is_empty() {
        let cause = if service.selector == SELECTOR {
            format!("the Service has no endpoints although {} CoreDNS pods are ready", ready.len())
        } else {
            format!("the Service selects `{}`, which no ready pod has: it has no endpoints", service.selector)
        };
        return Some(mend_selector(
            Finding::error("KS-DNS-ENDPOINTS-EMPTY", SERVICE, cause)
                .seen(few(ready.iter().map(|pod| pod_line(pod)))),
        ));
    }
    if !foreign.is_empty() {
        let cause = format!(
            "the Service sends lookups to {}, which is no CoreDNS pod",
            list(&foreign.into_iter().cloned().collect::<Vec<_>>())
        );
        return Some(mend_selector(
            Finding::error("KS-DNS-ENDPOINTS-FOREIGN", SERVICE, cause)
                .seen([format!("it selects `{}`", service.selector)]),
        ));
    }
    None
}

fn mend_selector(finding: Finding) -> Finding {
    finding.mended_by(
        r#"kubectl -n kube-system patch service kube-dns --type=json -p '[{"op":"replace","path":"/spec/selector","value":{"k8s-app":"kube-dns"}}]'"#,
    )
}

/// Whether this question to the API server failed, so that nothing follows from an empty answer.
fn failed(cluster: &ClusterEvidence, what: &str) -> bool {
    cluster.failures.iter().any(|failure| failure.starts_with(what))
}

pub(super) fn pod_line(pod: &PodEvidence) -> String {
    match (&pod.reason, pod.ready) {
        (Some(reason), false) => reason.clone(),
        (None, false) => format!("{} on {}: {}", pod.name, pod.node, pod.phase),
        _ => format!("{} on {} ({}): ready", pod.name, pod.node, pod.ip.as_deref().unwrap_or("no address")),
    }
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "nobody".into() } else { items.join(", ") }
}
