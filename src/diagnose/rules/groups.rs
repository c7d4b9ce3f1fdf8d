//! The security groups, by proof: which required flow is stopped, by which group, for want of which rule.

use std::collections::{BTreeMap, BTreeSet};

use super::super::evidence::{CloudEvidence, Evidence, GroupEvidence, MemberEvidence};
use super::super::report::{CheckState, Finding};
use super::few;
use crate::network::{
    Counterexample, Direction, Member, MissingRule, Peer, Protocol, Rule, membership, missing_rules, prove,
};
use crate::spec::Role;

/// A rule that is missing, as a finding, with the flows that it stops.
#[derive(Clone, Debug)]
pub(super) struct Stopped {
    pub(super) finding: Finding,
    flows: BTreeSet<String>,
}

impl Stopped {
    /// Whether a flow whose name begins so is stopped.
    pub(super) fn has(&self, prefix: &str) -> bool {
        self.flows.iter().any(|flow| flow.starts_with(prefix))
    }

    /// Whether all its flows of the same kind are this one.
    pub(super) fn only(&self, name: &str) -> bool {
        let kind = name.split('/').next().unwrap_or_default();
        self.flows.iter().filter(|flow| flow.starts_with(kind)).all(|flow| flow == name)
    }
}

/// A rule to add, and those that it makes superfluous.
struct Addition {
    rule: MissingRule,
    absorbed: Vec<MissingRule>,
}

/// One finding for every instance outside of its groups, then one for every rule that is missing.
pub(super) fn stopped(evidence: &Evidence) -> Vec<Stopped> {
    let cloud = &evidence.cloud;
    if cloud.failure.is_some() {
        return Vec::new();
    }
    let mut stopped = outsiders(cloud);
    let (flows, members, rules) = (cloud.flows(), expected_members(cloud), cloud.rules());
    let mut proof = prove(&flows, &members, &rules);
    let standing = standing(cloud);
    proof.counterexamples.retain(|example| standing.contains(&key(example)));
    stopped.extend(needed(cloud).into_iter().map(|addition| {
        let examples: Vec<&Counterexample> = proof
            .counterexamples
            .iter()
            .filter(|example| {
                let missing = example.missing.as_ref();
                missing
                    .is_some_and(|missing| *missing == addition.rule || addition.absorbed.contains(missing))
            })
            .collect();
        let mut missing = addition.rule;
        missing.flows.extend(addition.absorbed.into_iter().flat_map(|rule| rule.flows));
        Stopped { finding: finding(cloud, &members, &missing, &examples), flows: missing.flows }
    }));
    // What stops pods from each other first: that is what was asked about.
    stopped.sort_by_key(|stopped| (!stopped.has("vxlan"), !stopped.has("kubelet")));
    stopped
}

/// The rules to add, for `--fix`.
pub(in super::super) fn additions(evidence: &Evidence) -> Vec<MissingRule> {
    if evidence.cloud.failure.is_some() {
        return Vec::new();
    }
    needed(&evidence.cloud).into_iter().map(|addition| addition.rule).collect()
}

/// What no group admits, those of others included: which flow from whom to whom.
fn standing(cloud: &CloudEvidence) -> BTreeSet<(String, String, String)> {
    let proof = prove(&cloud.flows(), &in_their_roles(cloud), &cloud.rules());
    proof.counterexamples.iter().map(key).collect()
}

fn key(example: &Counterexample) -> (String, String, String) {
    (example.flow.clone(), example.packet.from.clone(), example.packet.to.clone())
}

/// The rules to add, without those that the others make superfluous: where all egress is missing, the
/// one rule for it is enough.
fn needed(cloud: &CloudEvidence) -> Vec<Addition> {
    let (flows, members, rules) = (cloud.flows(), expected_members(cloud), cloud.rules());
    let standing: BTreeSet<String> = standing(cloud).into_iter().map(|(flow, ..)| flow).collect();
    let mut kept = missing_rules(&flows, &members, &rules);
    kept.retain(|missing| !missing.flows.is_disjoint(&standing));
    let proven_with = |additions: &[MissingRule]| {
        let mut rules = rules.clone();
        for addition in additions {
            let group = rules.entry(addition.group.clone()).or_default();
            match addition.direction {
                Direction::Ingress => group.ingress.push(addition.rule.clone()),
                Direction::Egress => group.egress.push(addition.rule.clone()),
            }
        }
        prove(&flows, &members, &rules).counterexamples.len()
    };
    let settled = proven_with(&kept);
    let mut absorbed: Vec<MissingRule> = Vec::new();
    for narrow in kept.clone().into_iter().filter(|rule| rule.rule.protocol != Protocol::All) {
        let without: Vec<MissingRule> = kept.iter().filter(|rule| **rule != narrow).cloned().collect();
        if proven_with(&without) == settled {
            kept = without;
            absorbed.push(narrow);
        }
    }
    kept.into_iter()
        .map(|rule| {
            let takes = |narrow: &&MissingRule| {
                rule.rule.protocol == Protocol::All && narrow.direction == rule.direction
            };
            let absorbed = absorbed.iter().filter(takes).cloned().collect();
            Addition { rule, absorbed }
        })
        .collect()
}

/// How the check of the groups went.
pub(super) fn check(evidence: &Evidence) -> (CheckState, Vec<String>) {
    let cloud = &evidence.cloud;
    if let Some(failure) = &cloud.failure {
        return (CheckState::Skipped, vec![failure.clone()]);
    }
    let proof = prove(&cloud.flows(), &cloud.members(), &cloud.rules());
    let mut lines = vec![format!("{} of {} required flows proven", proof.proven, proof.required)];
    lines.extend(few(proof.counterexamples.iter().map(|example| example.to_string())));
    let known: BTreeSet<&str> = cloud.groups.iter().map(|group| group.id.as_str()).collect();
    let foreign: BTreeSet<&String> = cloud
        .members
        .iter()
        .flat_map(|member| &member.groups)
        .filter(|group| !known.contains(group.as_str()))
        .collect();
    lines.extend(foreign.iter().map(|group| {
        format!("{group} is not the cluster's: its rules count, and no rule is proposed for it")
    }));
    let holds = proof.counterexamples.is_empty() && outsiders(cloud).is_empty();
    (if holds { CheckState::Passed } else { CheckState::Failed }, lines)
}

/// Instances that are not in the groups of their role, with the flows that this stops.
fn outsiders(cloud: &CloudEvidence) -> Vec<Stopped> {
    let proof = prove(&cloud.flows(), &cloud.members(), &cloud.rules());
    let outsider = |member: &MemberEvidence| {
        let finding = outside(cloud, member)?;
        let touches = |example: &&Counterexample| {
            example.gate.node == member.node
                || example.packet.from == member.node
                || example.packet.to == member.node
        };
        let flows =
            proof.counterexamples.iter().filter(touches).map(|example| example.flow.clone()).collect();
        Some(Stopped { finding, flows })
    };
    cloud.members.iter().filter_map(outsider).collect()
}

/// Instances that are not in the groups of their role, with all the groups they should be in, for `--fix`.
pub(in super::super) fn memberships(evidence: &Evidence) -> Vec<(String, Vec<String>)> {
    let cloud = &evidence.cloud;
    let outsiders = cloud.members.iter().filter(|member| !missing_groups(cloud, member).is_empty());
    outsiders.map(|member| (member.instance.clone(), all_groups(cloud, member))).collect()
}

/// Groups of its role that it is not in.
fn missing_groups<'a>(cloud: &'a CloudEvidence, member: &MemberEvidence) -> Vec<&'a GroupEvidence> {
    expected_groups(cloud, member).into_iter().filter(|group| !member.groups.contains(&group.id)).collect()
}

/// The groups it is in and those it should be in.
fn all_groups(cloud: &CloudEvidence, member: &MemberEvidence) -> Vec<String> {
    let missing = missing_groups(cloud, member);
    member.groups.iter().cloned().chain(missing.into_iter().map(|group| group.id.clone())).collect()
}

fn outside(cloud: &CloudEvidence, member: &MemberEvidence) -> Option<Finding> {
    let missing = missing_groups(cloud, member);
    if missing.is_empty() {
        return None;
    }
    let names =
        missing.iter().map(|group| format!("{} ({})", group.id, group.name)).collect::<Vec<_>>().join(", ");
    let command = format!(
        "aws ec2 modify-instance-attribute --instance-id {} --groups {}",
        member.instance,
        all_groups(cloud, member).join(" ")
    );
    Some(
        Finding::error(
            "KS-NET-MEMBERSHIP",
            member.instance.clone(),
            format!("{} is not a member of {names}: rules that name the group do not reach it", member.node),
        )
        .seen([format!("groups of {}: {}", member.instance, member.groups.join(", "))])
        .mended_by(cli(cloud, &command)),
    )
}

fn expected_groups<'a>(cloud: &'a CloudEvidence, member: &MemberEvidence) -> Vec<&'a GroupEvidence> {
    let role = if member.control_plane { Role::ControlPlane } else { Role::Worker };
    let logical = membership(role);
    cloud.groups.iter().filter(|group| logical.contains(&group.logical.as_str())).collect()
}

/// The members as if each were in its role's groups and in no others: a missing membership is a finding of its own
/// and must not be mended by rules, and rules are proposed for the cluster's groups alone.
fn expected_members(cloud: &CloudEvidence) -> Vec<Member> {
    let mut members = in_their_roles(cloud);
    for member in &mut members {
        member.groups.retain(|id| cloud.groups.iter().any(|group| group.id == *id));
    }
    members
}

/// The members as if each were in its role's groups too.
fn in_their_roles(cloud: &CloudEvidence) -> Vec<Member> {
    let mut members = cloud.members();
    for member in &mut members {
        if let Some(seen) = cloud.members.iter().find(|seen| seen.node == member.node) {
            member.groups.extend(expected_groups(cloud, seen).iter().map(|group| group.id.clone()));
        }
    }
    members
}

fn finding(
    cloud: &CloudEvidence,
    members: &[Member],
    missing: &MissingRule,
    examples: &[&Counterexample],
) -> Finding {
    let group = cloud.groups.iter().find(|group| group.id == missing.group);
    let name = group.map(|group| format!("{} ({})", group.id, group.name)).unwrap_or(missing.group.clone());
    let (code, effect) = effect(missing);
    let direction = missing.direction;
    let what = match &missing.rule.peer {
        Peer::Group(peer) if *peer == missing.group => match direction {
            Direction::Ingress => "allows its own members".to_owned(),
            Direction::Egress => "lets its members send to each other".to_owned(),
        },
        peer => {
            let peer = match peer {
                Peer::Group(id) => {
                    let named = cloud.groups.iter().find(|group| group.id == *id);
                    named.map(|group| format!("{id} ({})", group.name)).unwrap_or(id.clone())
                }
                Peer::Cidr(cidr) => cidr.to_string(),
            };
            match direction {
                Direction::Ingress => format!("allows {} from {peer}", traffic(&missing.rule)),
                Direction::Egress => format!("allows {} to {peer}", traffic(&missing.rule)),
            }
        }
    };
    let mut evidence: Vec<String> =
        few(examples.iter().map(|example| format!("{} is stopped by {}", example.packet, example.gate)));
    evidence.extend(near_misses(cloud, members, missing, examples));
    Finding::error(code, missing.group.clone(), format!("{effect}: no {direction} rule of {name} {what}"))
        .seen(evidence)
        .mended_by(cli(cloud, &missing.command()))
}

/// `UDP 4789`, `all traffic`.
fn traffic(rule: &Rule) -> String {
    match (rule.protocol, rule.ports) {
        (Protocol::All, _) => "all traffic".into(),
        (protocol, Some(ports)) => format!("{} {ports}", protocol.to_string().to_uppercase()),
        (protocol, None) => protocol.to_string().to_uppercase(),
    }
}

/// The code and what no longer works.
fn effect(missing: &MissingRule) -> (&'static str, String) {
    let has = |prefix: &str| missing.flows.iter().any(|flow| flow.starts_with(prefix));
    if missing.direction == Direction::Egress && has("egress") {
        let mut text = "nodes cannot send what they must".to_owned();
        if has("vxlan") {
            text.push_str(
                ", not even VXLAN (UDP 4789) to each other, so pods cannot reach CoreDNS on another node",
            );
        }
        return ("KS-NET-EGRESS-BLOCKED", text);
    }
    if has("vxlan") {
        return ("KS-DNS-VXLAN-BLOCKED", "nodes cannot reach each other on VXLAN (UDP 4789)".into());
    }
    if has("kubelet") {
        let text =
            "the API server cannot reach the kubelets (TCP 10250), so exec, logs and lookups from pods fail";
        return ("KS-NET-KUBELET-BLOCKED", text.into());
    }
    if has("api/nodes") {
        return ("KS-NET-API-BLOCKED", "nodes cannot reach the API server (TCP 6443)".into());
    }
    if has("api/") {
        return ("KS-NET-ADMIN-BLOCKED", "the API server (TCP 6443) cannot be reached from outside".into());
    }
    if has("etcd") {
        return ("KS-NET-ETCD-BLOCKED", "etcd's members cannot reach each other (TCP 2379-2380)".into());
    }
    if has("ssh/") {
        return ("KS-NET-SSH-BLOCKED", "the nodes cannot be reached over SSH (TCP 22)".into());
    }
    if has("node-port") {
        let ports = missing.rule.ports.map(|ports| ports.to_string()).unwrap_or_default();
        return ("KS-NET-NODE-PORT-BLOCKED", format!("NodePort {ports} cannot be reached"));
    }
    let flows = missing.flows.iter().cloned().collect::<Vec<_>>().join(", ");
    ("KS-NET-FLOW-BLOCKED", format!("{flows} cannot pass"))
}

/// Rules that look as if they would do, and why they do not.
fn near_misses(
    cloud: &CloudEvidence,
    members: &[Member],
    missing: &MissingRule,
    examples: &[&Counterexample],
) -> Vec<String> {
    let by_name: BTreeMap<&str, &Member> =
        members.iter().map(|member| (member.node.as_str(), member)).collect();
    let mut lines = BTreeSet::new();
    for example in examples {
        let packet = &example.packet;
        let (far, address) = match example.gate.direction {
            Direction::Ingress => (&packet.from, packet.source),
            Direction::Egress => (&packet.to, packet.destination),
        };
        let gated = cloud.groups.iter().filter(|group| example.gate.groups.contains(&group.id));
        for (group, rule) in gated.flat_map(|group| {
            let rules = match example.gate.direction {
                Direction::Ingress => &group.ingress,
                Direction::Egress => &group.egress,
            };
            rules.iter().map(move |rule| (group, rule))
        }) {
            let peer_matches = match &rule.peer {
                Peer::Cidr(cidr) => cidr.contains(&address),
                Peer::Group(id) => by_name.get(far.as_str()).is_some_and(|member| member.groups.contains(id)),
            };
            let kind_matches = covers(rule, packet.protocol, packet.port);
            let serves_another_flow = cloud.flows.iter().any(|flow| {
                flow.protocol == rule.protocol
                    && flow.ports == rule.ports
                    && !missing.flows.contains(&flow.name)
            });
            if kind_matches && !peer_matches {
                let why = match &rule.peer {
                    Peer::Cidr(_) => format!("which does not cover {far} ({address})"),
                    Peer::Group(_) => format!("and {far} ({address}) is not a member of that"),
                };
                lines.insert(format!("{} has `{rule}`, {why}", group.id));
            } else if peer_matches && !kind_matches && !serves_another_flow {
                let wanted = traffic(&missing.rule);
                let mut line = format!("{} has `{rule}`, which is not {wanted}", group.id);
                match rule.protocol {
                    Protocol::Tcp if packet.protocol == Protocol::Udp => {
                        line.push_str(": pod traffic, TCP too, travels inside VXLAN, which is UDP");
                    }
                    Protocol::Number(94) => {
                        line.push_str(": 94 is no IP-in-IP (that is 4), and VXLAN is UDP (17)")
                    }
                    _ => {}
                }
                lines.insert(line);
            }
        }
    }
    lines.into_iter().collect()
}

fn covers(rule: &Rule, protocol: Protocol, port: Option<u16>) -> bool {
    match rule.protocol {
        Protocol::All => true,
        of_rule if of_rule == protocol => {
            rule.ports.is_none_or(|ports| port.is_some_and(|port| ports.contains(port)))
        }
        _ => false,
    }
}

/// A command with the region and, where it is not AWS's own, the endpoint.
pub(super) fn cli(cloud: &CloudEvidence, command: &str) -> String {
    let mut command = format!("{command} --region {}", cloud.region);
    if let Some(endpoint) = &cloud.endpoint {
        command.push_str(&format!(" --endpoint-url {endpoint}"));
    }
    command
}
