use std::net::Ipv4Addr;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::super::evidence::*;
use super::super::fix::Fix;
use super::super::fix::fixes;
use super::super::report::{Severity, Verdict, render};
use super::judge;
use crate::network::{
    self, Direction, Peer, PortRange, Protocol, Rule, membership, plan_groups, prove, required,
};
use crate::spec::{self, Role, Spec};

const NODES: &str = "sg-00000000000000002";
const CONTROL_PLANE: &str = "sg-00000000000000001";

fn reference() -> Spec {
    let text = r#"
name = "books"
kubernetes = "1.36.3"

[provider]
kind = "aws"
region = "ap-northeast-1"

[network]
admin_cidrs = ["203.0.113.7/32"]
node_ports = [{ port = 30997, from = ["0.0.0.0/0"] }]
"#;
    spec::parse("cluster.toml", text).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// A healthy cluster of the reference spec: CoreDNS on the control plane and on one worker.
fn healthy() -> Evidence {
    let spec = reference();
    let ids = |logical: &str| if logical == network::NODES { NODES } else { CONTROL_PLANE }.to_owned();
    let with_ids = |rules: &[Rule]| {
        rules
            .iter()
            .map(|rule| match &rule.peer {
                Peer::Group(logical) => Rule { peer: Peer::Group(ids(logical)), ..rule.clone() },
                Peer::Cidr(_) => rule.clone(),
            })
            .collect()
    };
    let groups = plan_groups(&spec).into_values().map(|group| GroupEvidence {
        id: ids(&group.logical),
        name: group.name.clone(),
        ingress: with_ids(&group.ingress),
        egress: with_ids(&group.egress),
        logical: group.logical,
    });
    let nodes: Vec<(String, Role)> = spec.nodes().collect();
    let address = |index: usize| Ipv4Addr::new(10, 0, 0, 10 + u8::try_from(index).unwrap());
    let members = nodes.iter().enumerate().map(|(index, (node, role))| MemberEvidence {
        node: node.clone(),
        control_plane: *role == Role::ControlPlane,
        instance: format!("i-{index:017}"),
        state: "running".into(),
        private_ip: Some(address(index)),
        groups: membership(*role).iter().map(|logical| ids(logical)).collect(),
    });
    let pod = |name: &str, node: &str, ip: &str| PodEvidence {
        name: name.into(),
        node: node.into(),
        ip: Some(ip.into()),
        phase: "Running".into(),
        ready: true,
        reason: None,
    };
    let agents = |name: &str| {
        nodes.iter().map(|(node, _)| pod(&format!("{name}-{node}"), node, "10.0.0.1")).collect::<Vec<_>>()
    };
    let mut evidence = Evidence {
        cluster: ClusterEvidence {
            nodes: nodes
                .iter()
                .enumerate()
                .map(|(index, (name, _))| NodeEvidence {
                    name: name.clone(),
                    ready: true,
                    reason: None,
                    internal_ip: Some(address(index).to_string()),
                })
                .collect(),
            coredns_replicas: Some(2),
            coredns: vec![
                pod("coredns-a", "control-plane-1", "192.168.0.2"),
                pod("coredns-b", "general-1", "192.168.1.2"),
            ],
            kube_dns: Some(ServiceEvidence {
                cluster_ip: "10.96.0.10".into(),
                selector: "k8s-app=kube-dns".into(),
                ports: vec!["udp 53".into(), "tcp 53".into(), "tcp 9153".into()],
                ready: vec!["192.168.0.2".into(), "192.168.1.2".into()],
                not_ready: Vec::new(),
            }),
            calico: agents("calico-node"),
            kube_proxy: agents("kube-proxy"),
            ..ClusterEvidence::without_api("https://203.0.113.10:6443", ApiState::Answers)
        },
        cloud: CloudEvidence {
            region: spec.provider.region.clone(),
            endpoint: None,
            failure: None,
            groups: groups.collect(),
            attached: Vec::new(),
            members: members.collect(),
            absent: Vec::new(),
            flows: required(&spec).iter().map(FlowEvidence::from).collect(),
        },
    };
    look_up(&mut evidence, |_| Answer::Answered { ms: 10 });
    evidence
}

/// Makes every lookup that the probes would make, with the answers that `answer` gives.
fn look_up(evidence: &mut Evidence, answer: impl Fn(&Lookup) -> Answer) {
    let cluster = &mut evidence.cluster;
    let mut targets = vec![(Target::Service, Ipv4Addr::new(10, 96, 0, 10))];
    for pod in cluster.coredns.iter().filter(|pod| pod.phase == "Running") {
        let target = Target::Pod { name: pod.name.clone(), node: pod.node.clone() };
        targets.push((target, pod.ip.as_ref().unwrap().parse().unwrap()));
    }
    cluster.lookups.clear();
    cluster.probes.clear();
    for node in &cluster.nodes {
        let pod = format!("probe-{}", node.name);
        cluster.probes.push(ProbeEvidence {
            node: node.name.clone(),
            pod: Some(pod.clone()),
            outcome: ProbeOutcome::Ran,
        });
        for (target, server) in &targets {
            for transport in [Transport::Udp, Transport::Tcp] {
                let mut lookup = Lookup {
                    from_node: node.name.clone(),
                    from_pod: pod.clone(),
                    target: target.clone(),
                    server: *server,
                    transport,
                    answer: Answer::TimedOut,
                };
                lookup.answer = answer(&lookup);
                cluster.lookups.push(lookup);
            }
        }
    }
}

/// What the network would do with these groups: VXLAN between nodes, the API server's way to the
/// kubelets, and ours to the API server.
fn obey_groups(evidence: &mut Evidence) {
    let cloud = &evidence.cloud;
    let (members, rules) = (cloud.members(), cloud.rules());
    let passes = |name: &str, one: &str, other: &str| {
        let flows: Vec<_> = cloud.flows().into_iter().filter(|flow| flow.name == name).collect();
        let pair: Vec<_> =
            members.iter().filter(|member| member.node == one || member.node == other).cloned().collect();
        prove(&flows, &pair, &rules).counterexamples.is_empty()
    };
    let admin = prove(
        &cloud.flows().into_iter().filter(|flow| flow.name.starts_with("api/2")).collect::<Vec<_>>(),
        &members,
        &rules,
    );
    if !admin.counterexamples.is_empty() {
        let message = "connect timed out".to_owned();
        evidence.cluster =
            ClusterEvidence::without_api(&evidence.cluster.endpoint, ApiState::Unreachable { message });
        return;
    }
    let lost: Vec<(String, String)> = members
        .iter()
        .flat_map(|from| members.iter().map(move |to| (from.node.clone(), to.node.clone())))
        .filter(|(from, to)| from != to && !passes("vxlan", from, to))
        .collect();
    let unreachable: Vec<String> = members
        .iter()
        .map(|member| member.node.clone())
        .filter(|node| node != "control-plane-1" && !passes("kubelet", "control-plane-1", node))
        .collect();
    let cut_off: Vec<String> = members
        .iter()
        .map(|member| member.node.clone())
        .filter(|node| node != "control-plane-1" && !passes("api/nodes", node, "control-plane-1"))
        .collect();
    let answering: Vec<String> = evidence.cluster.coredns.iter().map(|pod| pod.node.clone()).collect();
    look_up(evidence, |lookup| match &lookup.target {
        Target::Pod { node, .. } if lost.contains(&(lookup.from_node.clone(), node.clone())) => {
            Answer::TimedOut
        }
        // Half of what goes to the Service goes to each pod; be it the other node's.
        Target::Service
            if lost.iter().any(|(from, to)| *from == lookup.from_node && answering.contains(to)) =>
        {
            Answer::TimedOut
        }
        _ => Answer::Answered { ms: 10 },
    });
    for node in &mut evidence.cluster.nodes {
        if cut_off.contains(&node.name) {
            node.ready = false;
            node.reason = Some("NodeStatusUnknown: Kubelet stopped posting node status.".into());
        }
    }
    evidence.cluster.lookups.retain(|lookup| !unreachable.contains(&lookup.from_node));
    for probe in evidence.cluster.probes.iter_mut().filter(|probe| unreachable.contains(&probe.node)) {
        probe.outcome = ProbeOutcome::ExecFailed("the kubelet did not answer within 8 s".into());
    }
}

fn nodes_group(evidence: &mut Evidence) -> &mut GroupEvidence {
    evidence.cloud.groups.iter_mut().find(|group| group.logical == network::NODES).unwrap()
}

/// Replaces the VXLAN rule of the nodes' group.
fn instead_of_vxlan(replacement: Option<Rule>) -> Evidence {
    let mut evidence = healthy();
    let group = nodes_group(&mut evidence);
    group.ingress.retain(|rule| rule.protocol != Protocol::Udp);
    group.ingress.extend(replacement);
    obey_groups(&mut evidence);
    evidence
}

fn rule(protocol: Protocol, ports: Option<(u16, u16)>, peer: &str) -> Rule {
    let peer = peer.parse().map_or_else(|_| Peer::Group(peer.to_owned()), Peer::Cidr);
    Rule { protocol, ports: ports.map(|(from, to)| PortRange { from, to }), peer }
}

/// `error CODE resource: cause` and the command, a finding each.
fn findings(evidence: &Evidence) -> String {
    let report = judge(evidence);
    let mut text = format!("{:?}\n", report.verdict);
    for finding in &report.findings {
        text.push_str(&format!(
            "{:?} {} {}\n  {}\n",
            finding.severity, finding.code, finding.resource, finding.cause
        ));
        text.push_str(&format!("  $ {}\n", finding.fix.command.as_deref().unwrap_or("-")));
    }
    text
}

#[test]
fn a_healthy_cluster_has_no_finding_and_every_check_passes() {
    assert_snapshot!(render(&judge(&healthy())));
}

#[test]
fn the_incident_names_vxlan_the_group_and_the_command() {
    assert_snapshot!(render(&judge(&instead_of_vxlan(None))));
}

#[test]
fn rules_that_only_look_as_if_they_would_do_are_told_why_they_do_not() {
    let cases = [
        rule(Protocol::Tcp, Some((0, 65535)), NODES),
        rule(Protocol::Number(94), None, NODES),
        rule(Protocol::Udp, Some((4790, 4800)), NODES),
        rule(Protocol::Udp, Some((4789, 4789)), "10.0.0.10/32"),
        rule(Protocol::Udp, Some((4789, 4789)), CONTROL_PLANE),
    ];
    let mut text = String::new();
    for case in cases {
        let report = judge(&instead_of_vxlan(Some(case.clone())));
        let finding = &report.findings[0];
        assert_eq!(
            (report.verdict, finding.code.as_str()),
            (Verdict::Faulty, "KS-DNS-VXLAN-BLOCKED"),
            "{case}"
        );
        assert_eq!(report.findings.len(), 1, "{case}");
        let near: Vec<&String> = finding.evidence.iter().filter(|line| line.contains("has `")).collect();
        text.push_str(&format!("{case}\n"));
        near.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    assert_snapshot!(text);
}

#[test]
fn without_egress_the_egress_gate_is_named() {
    let mut evidence = healthy();
    nodes_group(&mut evidence).egress.clear();
    obey_groups(&mut evidence);
    assert_snapshot!(findings(&evidence));
}

#[test]
fn without_the_kubelet_rule_no_lookup_can_be_made_and_the_reason_is_said() {
    let mut evidence = healthy();
    nodes_group(&mut evidence).ingress.retain(|rule| rule.ports != Some(PortRange::single(10250)));
    obey_groups(&mut evidence);
    assert_snapshot!(render(&judge(&evidence)));
}

#[test]
fn without_the_way_to_the_api_server_the_groups_still_say_why() {
    for (peer, code) in [(NODES, "KS-NET-API-BLOCKED"), ("203.0.113.7/32", "KS-NET-ADMIN-BLOCKED")] {
        let mut evidence = healthy();
        let group = evidence.cloud.groups.iter_mut().find(|group| group.id == CONTROL_PLANE).unwrap();
        let gone = rule(Protocol::Tcp, Some((6443, 6443)), peer);
        group.ingress.retain(|rule| *rule != gone);
        obey_groups(&mut evidence);
        let report = judge(&evidence);
        assert_eq!(report.verdict, Verdict::Faulty);
        let codes: Vec<&str> = report.findings.iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!(codes, [code]);
    }
}

#[test]
fn an_instance_outside_of_its_group_is_named_and_put_back_and_no_rule_is_proposed() {
    let mut evidence = healthy();
    evidence.cloud.members[1].groups = vec!["sg-0000000000000000f".into()];
    obey_groups(&mut evidence);
    let groups = vec!["sg-0000000000000000f".into(), NODES.into()];
    assert_eq!(fixes(&evidence), [Fix::JoinGroups { instance: "i-00000000000000001".into(), groups }]);
    assert_snapshot!(findings(&evidence));
}

#[test]
fn a_group_of_others_admits_what_it_admits_and_gets_no_rules() {
    let mut evidence = healthy();
    let other = "sg-0000000000000000f";
    evidence.cloud.members.iter_mut().for_each(|member| member.groups.push(other.into()));
    nodes_group(&mut evidence).ingress.retain(|rule| rule.ports != Some(PortRange::single(4789)));
    let mut attached = evidence.cloud.groups[0].clone();
    attached.logical.clear();
    attached.id = other.into();
    (attached.ingress, attached.egress) = (Vec::new(), Vec::new());
    evidence.cloud.attached = vec![attached];

    // One that admits nothing changes nothing, and the rule belongs into the cluster's own.
    let mut stopped = evidence.clone();
    obey_groups(&mut stopped);
    let codes: Vec<String> = judge(&stopped).findings.into_iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["KS-DNS-VXLAN-BLOCKED"]);
    let [Fix::AddRule { group, rule: added, .. }] = &fixes(&stopped)[..] else {
        panic!("{:?}", fixes(&stopped))
    };
    assert_eq!((group.as_str(), &added.peer), (NODES, &Peer::Group(NODES.into())));

    // One that lets its members reach each other stands in for the missing rule.
    evidence.cloud.attached[0].ingress.push(rule(Protocol::All, None, other));
    obey_groups(&mut evidence);
    assert_eq!(judge(&evidence).findings, []);
    assert_eq!((judge(&evidence).verdict, fixes(&evidence)), (Verdict::Healthy, Vec::new()));
}

#[test]
fn a_stopped_instance_is_the_cause_of_its_node() {
    let mut evidence = healthy();
    evidence.cloud.members[2].state = "stopped".into();
    let node = &mut evidence.cluster.nodes[2];
    (node.ready, node.reason) = (false, Some("NodeStatusUnknown".into()));
    evidence.cluster.probes[2].outcome =
        ProbeOutcome::NotRunning("the node is not Ready: NodeStatusUnknown".into());
    evidence.cluster.lookups.retain(|lookup| lookup.from_node != "general-2");
    assert_snapshot!(findings(&evidence));
}

/// Kubernetes takes most of a minute to notice; the cloud knows at once.
#[test]
fn a_terminated_worker_is_the_cause_of_all_that_is_lost_with_it() {
    let mut evidence = healthy();
    let node = evidence.cloud.members.remove(1).node;
    assert!(evidence.cluster.coredns.iter().any(|pod| pod.node == node), "CoreDNS ran on it");
    evidence.cloud.absent = vec![AbsentEvidence { node: node.clone(), control_plane: false }];
    look_up(&mut evidence, |lookup| match &lookup.target {
        Target::Pod { node: on, .. } if *on == node => Answer::TimedOut,
        Target::Service if lookup.transport == Transport::Tcp => Answer::TimedOut,
        _ => Answer::Answered { ms: 10 },
    });
    evidence.cluster.lookups.retain(|lookup| lookup.from_node != node);
    evidence.cluster.probes[1].outcome =
        ProbeOutcome::ExecFailed("the kubelet did not answer within 8 s".into());
    assert_snapshot!(findings(&evidence));
    // Once Kubernetes knows.
    look_up(&mut evidence, |_| Answer::Answered { ms: 10 });
    evidence.cluster.lookups.retain(|lookup| {
        let to_it = matches!(&lookup.target, Target::Pod { node: on, .. } if *on == node);
        lookup.from_node != node && !to_it
    });
    evidence.cluster.nodes[1].ready = false;
    evidence.cluster.nodes[1].reason = Some("NodeStatusUnknown".into());
    for pod in evidence.cluster.coredns.iter_mut().chain(&mut evidence.cluster.calico) {
        pod.ready = pod.node != node;
    }
    let codes: Vec<String> = judge(&evidence).findings.into_iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["KS-NODE-INSTANCE"]);
}

#[test]
fn coredns_and_its_service_are_judged_by_what_they_lack() {
    let mut zero = healthy();
    zero.cluster.coredns_replicas = Some(0);
    zero.cluster.coredns.clear();
    let service = zero.cluster.kube_dns.as_mut().unwrap();
    service.ready.clear();
    look_up(&mut zero, |_| Answer::Refused);

    let mut selector = healthy();
    let service = selector.cluster.kube_dns.as_mut().unwrap();
    service.ready.clear();
    service.selector = "k8s-app=other".into();
    look_up(&mut selector, |lookup| match lookup.target {
        Target::Service => Answer::Refused,
        Target::Pod { .. } => Answer::Answered { ms: 10 },
    });

    let mut crash = healthy();
    for pod in &mut crash.cluster.coredns {
        pod.ready = false;
        pod.reason =
            Some(format!("pod {} on {}: Running, container coredns: CrashLoopBackOff", pod.name, pod.node));
    }
    crash.cluster.coredns_log =
        vec!["/etc/coredns/Corefile:3 - Error during parsing: Unknown directive 'kubernets'".into()];
    crash.cluster.kube_dns.as_mut().unwrap().ready.clear();
    look_up(&mut crash, |_| Answer::Refused);

    let mut degraded = crash.clone();
    degraded.cluster.coredns[0].ready = true;
    degraded.cluster.kube_dns.as_mut().unwrap().ready = vec!["192.168.0.2".into()];
    look_up(&mut degraded, |lookup| match &lookup.target {
        Target::Pod { name, .. } if name == "coredns-b" => Answer::Refused,
        _ => Answer::Answered { ms: 10 },
    });

    let mut absent = healthy();
    absent.cluster.kube_dns = None;

    let mut text = String::new();
    for (name, evidence) in [
        ("scaled to zero", zero),
        ("selector", selector),
        ("Corefile", crash),
        ("one crashes", degraded),
        ("no Service", absent),
    ] {
        text.push_str(&format!("--- {name}\n{}", findings(&evidence)));
    }
    assert_snapshot!(text);
}

#[test]
fn the_pattern_of_the_lookups_names_the_place() {
    let mut text = String::new();
    let mut case = |name: &str, answer: &dyn Fn(&Lookup) -> Answer| {
        let mut evidence = healthy();
        look_up(&mut evidence, answer);
        text.push_str(&format!("--- {name}\n{}", findings(&evidence)));
    };
    let lost_if = |lost: bool| if lost { Answer::TimedOut } else { Answer::Answered { ms: 10 } };
    let node = |lookup: &Lookup| match &lookup.target {
        Target::Pod { node, .. } => node.clone(),
        Target::Service => "the Service".into(),
    };
    case("all across", &|lookup| lost_if(lookup.same_node() == Some(false)));
    case("general-2 alone", &|lookup| {
        lost_if(
            lookup.same_node() == Some(false)
                && (lookup.from_node == "general-2" || node(lookup) == "general-2"),
        )
    });
    case("only by the Service", &|lookup| {
        lost_if(lookup.target == Target::Service && lookup.from_node == "general-1")
    });
    case("UDP only", &|lookup| {
        lost_if(lookup.transport == Transport::Udp && lookup.target != Target::Service)
    });
    case("TCP only", &|lookup| lost_if(lookup.transport == Transport::Tcp));
    case("one pod", &|lookup| lost_if(node(lookup) == "general-1"));
    case("everything", &|_| Answer::TimedOut);
    case("no such name", &|_| Answer::NxDomain);
    case("an error", &|_| Answer::Other { text: "SERVFAIL".into() });
    assert_snapshot!(text);
}

#[test]
fn what_could_not_be_asked_leaves_the_verdict_open() {
    let mut no_cloud = healthy();
    no_cloud.cloud.failure = Some("nothing answers at http://127.0.0.1:1: refused".into());
    no_cloud.cloud.groups.clear();
    assert_eq!(judge(&no_cloud).verdict, Verdict::Unknown);

    let mut no_api = healthy();
    let message = "connection refused".to_owned();
    no_api.cluster =
        ClusterEvidence::without_api("https://203.0.113.10:6443", ApiState::Unreachable { message });
    assert_snapshot!(findings(&no_api));
}

#[test]
fn evidence_survives_being_kept_as_json() {
    let evidence = instead_of_vxlan(None);
    let text = serde_json::to_string(&evidence).unwrap();
    assert_eq!(serde_json::from_str::<Evidence>(&text).unwrap(), evidence);
}

/// Every rule of every group, with its place.
fn all_rules(evidence: &Evidence) -> Vec<(usize, Direction, Rule)> {
    let of = |index: usize, direction, rules: &[Rule]| {
        rules.iter().map(|rule| (index, direction, rule.clone())).collect::<Vec<_>>()
    };
    let groups = evidence.cloud.groups.iter().enumerate();
    groups
        .flat_map(|(index, group)| {
            [of(index, Direction::Ingress, &group.ingress), of(index, Direction::Egress, &group.egress)]
                .concat()
        })
        .collect()
}

fn rules_mut(evidence: &mut Evidence, index: usize, direction: Direction) -> &mut Vec<Rule> {
    let group = &mut evidence.cloud.groups[index];
    match direction {
        Direction::Ingress => &mut group.ingress,
        Direction::Egress => &mut group.egress,
    }
}

proptest! {
    /// Whatever rules are revoked and whoever is taken out of a group: the verdict is faulty exactly when something
    /// is missing, every finding is about a security group or a membership (none about a mere consequence), and
    /// after the proposed fixes the cluster is healthy.
    #[test]
    fn any_rules_and_memberships_revoked_are_found_named_and_mended(
        revoked in proptest::collection::vec(any::<bool>(), 16),
        outside in proptest::collection::vec(proptest::bool::weighted(0.2), 3),
    ) {
        let mut evidence = healthy();
        for (member, _) in evidence.cloud.members.iter_mut().zip(&outside).filter(|(_, outside)| **outside) {
            member.groups = vec!["sg-0000000000000000f".into()];
        }
        let all = all_rules(&evidence);
        for ((index, direction, rule), _) in all.iter().zip(&revoked).filter(|(_, revoked)| **revoked) {
            rules_mut(&mut evidence, *index, *direction).retain(|kept| kept != rule);
        }
        let anything = all.iter().zip(&revoked).any(|(_, revoked)| *revoked) || outside.contains(&true);
        let mut seen = evidence.clone();
        obey_groups(&mut seen);
        let report = judge(&seen);
        prop_assert_eq!(report.verdict, if anything { Verdict::Faulty } else { Verdict::Healthy });
        for finding in &report.findings {
            let membership = finding.code == "KS-NET-MEMBERSHIP";
            prop_assert!(finding.resource.starts_with(if membership { "i-" } else { "sg-" }), "{:?}", finding);
            prop_assert_eq!(finding.severity, Severity::Error);
            prop_assert!(membership || finding.cause.contains(&finding.resource), "{:?}", finding);
        }
        for fix in fixes(&seen) {
            match fix {
                Fix::AddRule { group, direction, rule } => {
                    let index = evidence.cloud.groups.iter().position(|known| known.id == group).unwrap();
                    rules_mut(&mut evidence, index, direction).push(rule);
                }
                Fix::JoinGroups { instance, groups } => {
                    let members = &mut evidence.cloud.members;
                    members.iter_mut().find(|member| member.instance == instance).unwrap().groups = groups;
                }
            }
        }
        evidence.cluster = healthy().cluster;
        obey_groups(&mut evidence);
        prop_assert_eq!(judge(&evidence).findings, []);
    }

    /// More rules than needed are no fault of DNS.
    #[test]
    fn rules_beyond_the_required_ones_are_no_finding(port in 1u16.., ingress in any::<bool>()) {
        let mut evidence = healthy();
        let direction = if ingress { Direction::Ingress } else { Direction::Egress };
        rules_mut(&mut evidence, 0, direction).push(rule(Protocol::Tcp, Some((port, port)), "198.51.100.0/24"));
        prop_assert_eq!(judge(&evidence).verdict, Verdict::Healthy);
    }
}
