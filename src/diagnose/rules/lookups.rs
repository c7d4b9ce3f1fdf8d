//! The pattern of the lookups: who is not answered, over what, across which boundary.

use std::collections::BTreeSet;

use super::super::evidence::{Answer, ClusterEvidence, Lookup, Target, Transport};
use super::super::report::Finding;
use super::few;
use super::groups::Stopped;
use super::nodes::{Dead, explain, follows};

pub(super) fn judge(
    cluster: &ClusterEvidence,
    stopped: &mut [Stopped],
    dead: &mut [Dead],
    symptoms: &mut Vec<Finding>,
) {
    let beyond_the_dead = aside(cluster, dead);
    let cluster = &beyond_the_dead;
    // That a pod which is not ready does not answer is no news.
    let is_ready = |lookup: &&Lookup| match &lookup.target {
        Target::Service => true,
        Target::Pod { name, .. } => cluster.coredns.iter().any(|pod| pod.name == *name && pod.ready),
    };
    let lookups: Vec<&Lookup> = cluster.lookups.iter().filter(is_ready).collect();
    let unanswered: Vec<&Lookup> = lookups.iter().copied().filter(|lookup| !lookup.answered()).collect();
    if unanswered.is_empty() {
        return;
    }
    let to_pods: Vec<&Lookup> =
        lookups.iter().copied().filter(|lookup| lookup.same_node().is_some()).collect();
    let lost_across: Vec<&Lookup> =
        unanswered.iter().copied().filter(|lookup| lookup.same_node() == Some(false)).collect();
    // The Service picks a pod at random: with packets lost between nodes, some of its answers are lost too.
    if !lost_across.is_empty() && across_explained(cluster, &lost_across, stopped) {
        return;
    }
    let nobody_ready = !cluster.coredns.iter().any(|pod| pod.ready);
    let no_endpoints = cluster.kube_dns.as_ref().is_none_or(|service| service.ready.is_empty());
    let lost_to_pods: Vec<&Lookup> =
        unanswered.iter().copied().filter(|lookup| lookup.same_node().is_some()).collect();
    if nobody_ready || (no_endpoints && lost_to_pods.is_empty()) {
        // The findings about CoreDNS and its Service say why.
        return;
    }
    symptoms.push(pattern(cluster, &unanswered, &to_pods, &lost_to_pods, &lost_across));
}

/// The cluster without the lookups from and to nodes that are dead: what is lost there is evidence of that, and so is
/// what the Service sends to a CoreDNS pod on one of them before Kubernetes takes it out.
fn aside(cluster: &ClusterEvidence, dead: &mut [Dead]) -> ClusterEvidence {
    let mut rest = cluster.clone();
    rest.lookups.retain(|lookup| {
        let behind = match &lookup.target {
            Target::Pod { node, .. } => vec![node],
            Target::Service => cluster.coredns.iter().filter(|pod| pod.ready).map(|pod| &pod.node).collect(),
        };
        let dead_end = [&lookup.from_node].into_iter().chain(behind);
        lookup.answered() || !dead_end.into_iter().any(|node| follows(dead, node, &lookup.to_string()))
    });
    rest
}

/// Whether a stopped VXLAN explains the loss between nodes; then it is that finding's evidence.
fn across_explained(cluster: &ClusterEvidence, lost: &[&Lookup], stopped: &mut [Stopped]) -> bool {
    if !stopped.iter().any(|stopped| stopped.has("vxlan")) {
        return false;
    }
    let count = |same: bool| {
        let of = cluster.lookups.iter().filter(|lookup| lookup.same_node() == Some(same));
        let answered = of.clone().filter(|lookup| lookup.answered()).count();
        (answered, of.count())
    };
    let ((same_answered, same), (across_answered, across)) = (count(true), count(false));
    let summary = format!(
        "lookups answered: {same_answered} of {same} on the same node, {across_answered} of {across} across nodes"
    );
    explain(stopped, &["vxlan"], &summary);
    for line in few(lost.iter().map(|lookup| lookup.to_string())) {
        explain(stopped, &["vxlan"], &line);
    }
    true
}

fn pattern(
    cluster: &ClusterEvidence,
    unanswered: &[&Lookup],
    to_pods: &[&Lookup],
    lost_to_pods: &[&Lookup],
    lost_across: &[&Lookup],
) -> Finding {
    let evidence = few(unanswered.iter().map(|lookup| lookup.to_string()));
    let finding = |code: &str, resource: String, cause: String| {
        Finding::error(code, resource, cause).seen(evidence.clone())
    };
    let service = "Service kube-system/kube-dns".to_owned();
    let coredns = "Deployment kube-system/coredns".to_owned();
    if unanswered.iter().all(|lookup| lookup.answer == Answer::NxDomain) {
        let cause = "CoreDNS answers that kubernetes.default.svc.cluster.local does not exist: the kubernetes plugin of \
                     its Corefile does not serve cluster.local";
        return finding("KS-DNS-COREDNS-NXDOMAIN", coredns, cause.into())
            .mended_by("kubectl -n kube-system edit configmap coredns");
    }
    if unanswered.iter().all(|lookup| matches!(lookup.answer, Answer::Other { .. })) {
        return finding("KS-DNS-COREDNS-ANSWER", coredns, "CoreDNS answers with an error".into())
            .mended_by("kubectl -n kube-system logs -l k8s-app=kube-dns --tail=20");
    }
    if lost_to_pods.is_empty() {
        return service_only(unanswered, finding, service);
    }
    for (transport, other, code) in [
        (Transport::Udp, Transport::Tcp, "KS-DNS-UDP-ONLY"),
        (Transport::Tcp, Transport::Udp, "KS-DNS-TCP-ONLY"),
    ] {
        let lost: Vec<&&Lookup> = to_pods.iter().filter(|lookup| !lookup.answered()).collect();
        let of_other: Vec<&&Lookup> = to_pods.iter().filter(|lookup| lookup.transport == other).collect();
        let all_of_one = lost.iter().all(|lookup| lookup.transport == transport);
        if all_of_one && !of_other.is_empty() {
            let cause = format!(
                "{transport} port 53 of CoreDNS is not answered, {other} is: a network policy or a firewall \
                                 on the nodes stops it"
            );
            return finding(code, coredns, cause).mended_by("kubectl get networkpolicies -A");
        }
    }
    let silent: BTreeSet<&Target> = lost_to_pods.iter().map(|lookup| &lookup.target).collect();
    if let [Target::Pod { name, node }] = Vec::from_iter(silent).as_slice() {
        let (asked, others): (Vec<&Lookup>, Vec<&Lookup>) = to_pods
            .iter()
            .partition(|lookup| matches!(&lookup.target, Target::Pod { name: of, .. } if of == name));
        let nobody = asked.iter().all(|lookup| !lookup.answered());
        let not_even_beside_it = asked.iter().any(|lookup| lookup.same_node() == Some(true));
        if nobody && not_even_beside_it && others.iter().any(|lookup| lookup.answered()) {
            let cause =
                format!("{name} on {node} answers nobody, not even on its own node; the others answer");
            return finding("KS-DNS-COREDNS-SILENT", format!("pod kube-system/{name}"), cause)
                .mended_by(format!("kubectl -n kube-system delete pod {name}"));
        }
    }
    let same_node_answered =
        to_pods.iter().any(|lookup| lookup.same_node() == Some(true) && lookup.answered());
    if !lost_across.is_empty() && lost_across.len() == lost_to_pods.len() {
        return across(cluster, to_pods, lost_across, finding);
    }
    if to_pods.iter().all(|lookup| !lookup.answered()) && !same_node_answered {
        let cause = "no CoreDNS pod answers anybody, not even on its own node, although they are ready";
        return finding("KS-DNS-NO-ANSWER", coredns, cause.into())
            .mended_by("kubectl get networkpolicies -A");
    }
    let nodes: BTreeSet<&str> = lost_to_pods.iter().map(|lookup| lookup.from_node.as_str()).collect();
    let list = nodes.into_iter().collect::<Vec<_>>().join(", ");
    let cause = format!("lookups from {list} are not answered, and no pattern of the network explains which");
    finding("KS-DNS-PARTIAL", format!("node {list}"), cause)
}

/// Pods answer by their own addresses, and the Service does not.
fn service_only(
    unanswered: &[&Lookup],
    finding: impl Fn(&str, String, String) -> Finding,
    service: String,
) -> Finding {
    let nodes: BTreeSet<&str> = unanswered.iter().map(|lookup| lookup.from_node.as_str()).collect();
    let list = nodes.iter().copied().collect::<Vec<_>>().join(", ");
    let cause = format!(
        "CoreDNS answers by its pods' addresses and not by the Service's from {list}: kube-proxy there does not translate it, \
         or the Service's target ports are not CoreDNS's"
    );
    finding("KS-DNS-SERVICE-ADDRESS", service, cause)
        .mended_by("kubectl -n kube-system logs -l k8s-app=kube-proxy --tail=20")
}

/// Packets between nodes are lost, and the security groups let them pass.
fn across(
    cluster: &ClusterEvidence,
    to_pods: &[&Lookup],
    lost: &[&Lookup],
    finding: impl Fn(&str, String, String) -> Finding,
) -> Finding {
    let node_of = |lookup: &Lookup| match &lookup.target {
        Target::Pod { node, .. } => node.clone(),
        Target::Service => String::new(),
    };
    let unready: Vec<&str> =
        cluster.calico.iter().filter(|pod| !pod.ready).map(|pod| pod.node.as_str()).collect();
    let also = if unready.is_empty() {
        "look for a firewall on the nodes, the device vxlan.calico and its routes".to_owned()
    } else {
        format!("calico-node is not ready on {}", unready.join(", "))
    };
    // A node is to blame alone when all that is lost touches it and nothing that touches it arrives.
    let touches = |lookup: &Lookup, node: &str| lookup.from_node == node || node_of(lookup) == node;
    let across: Vec<&&Lookup> = to_pods.iter().filter(|lookup| lookup.same_node() == Some(false)).collect();
    let to_blame: Vec<&str> = cluster
        .nodes
        .iter()
        .map(|node| node.name.as_str())
        .filter(|node| {
            lost.iter().all(|lookup| touches(lookup, node))
                && across.iter().filter(|lookup| touches(lookup, node)).all(|lookup| !lookup.answered())
                && across.iter().any(|lookup| !touches(lookup, node))
        })
        .collect();
    match to_blame.as_slice() {
        [node] => {
            let cause = format!(
                "pods on {node} cannot exchange packets with pods on other nodes, and the security groups are not the reason: {also}"
            );
            finding("KS-DNS-NODE-CUT-OFF", format!("node {node}"), cause).mended_by(format!(
                "kubestrap ssh {node} -- 'ip -d link show vxlan.calico; ip route; sudo nft list ruleset'"
            ))
        }
        _ => {
            let cause = format!(
                "pods cannot reach CoreDNS on another node, and the security groups are not the reason: {also}"
            );
            finding("KS-DNS-CROSS-NODE", "network between nodes".into(), cause)
                .mended_by("kubectl -n kube-system get pods -l k8s-app=calico-node -o wide")
        }
    }
}
