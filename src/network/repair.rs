//! The smallest addition of rules that lets every required flow pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::flows::{Endpoint, Flow};
use super::groups::GroupRules;
use super::prove::{End, Failure, Member, failures};
use super::rule::{Direction, Peer, Rule};

/// A rule to add, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingRule {
    /// The group to add it to, named as the groups that were judged are.
    pub group: String,
    /// Which gate.
    pub direction: Direction,
    /// The rule.
    pub rule: Rule,
    /// Names of the flows that need it.
    pub flows: BTreeSet<String>,
}

/// The additions to `groups` after which every flow passes: first those that admit nothing beyond the
/// flows, and of these the ones that settle most. Empty when all is proven.
pub fn missing_rules(
    flows: &[Flow],
    members: &[Member],
    groups: &BTreeMap<String, GroupRules>,
) -> Vec<MissingRule> {
    let failures = failures(flows, members, groups);
    let mut missing: Vec<MissingRule> = Vec::new();
    for repair in repairs(&failures, flows, members).into_iter().flatten() {
        if !missing.contains(&repair) {
            missing.push(repair);
        }
    }
    missing
}

type Candidate = (Direction, String, Rule);

/// For every failure, the addition that settles it.
pub(super) fn repairs(
    failures: &[Failure<'_>],
    flows: &[Flow],
    members: &[Member],
) -> Vec<Option<MissingRule>> {
    let mut settles: BTreeMap<Candidate, BTreeSet<usize>> = BTreeMap::new();
    for (index, failure) in failures.iter().enumerate() {
        for candidate in candidates(failure) {
            settles.entry(candidate).or_default().insert(index);
        }
    }
    let surplus: BTreeMap<Candidate, usize> =
        settles.keys().map(|candidate| (candidate.clone(), surplus(candidate, flows, members))).collect();
    let mut open: BTreeSet<usize> = settles.values().flatten().copied().collect();
    let mut repairs = vec![None; failures.len()];
    while !open.is_empty() {
        let best = settles
            .iter()
            .map(|(candidate, settled)| (candidate, settled.intersection(&open).copied().collect::<Vec<_>>()))
            .filter(|(_, settled)| !settled.is_empty())
            .min_by_key(|(candidate, settled)| (surplus[*candidate], usize::MAX - settled.len(), *candidate));
        let Some(((direction, group, rule), settled)) = best else { break };
        let repair = MissingRule {
            group: group.clone(),
            direction: *direction,
            rule: rule.clone(),
            flows: settled.iter().map(|index| failures[*index].flow.name.clone()).collect(),
        };
        for index in settled {
            open.remove(&index);
            repairs[index] = Some(repair.clone());
        }
    }
    repairs
}

/// The rules that could settle a failure, one for each group on either side.
fn candidates(failure: &Failure<'_>) -> Vec<Candidate> {
    let (gated, other) = failure.sides();
    let flow = failure.flow;
    let mut peers: Vec<Peer> = other.groups().into_iter().flatten().cloned().map(Peer::Group).collect();
    if peers.is_empty() {
        peers.push(Peer::Cidr(other.address()));
    }
    let mut candidates = Vec::new();
    for group in gated.groups().into_iter().flatten() {
        for peer in &peers {
            let rule = Rule { protocol: flow.protocol, ports: flow.ports, peer: peer.clone() };
            candidates.push((failure.direction, group.clone(), rule));
        }
    }
    candidates
}

/// How many pairs of interfaces a candidate would admit although no flow asks for it.
fn surplus((direction, group, rule): &Candidate, flows: &[Flow], members: &[Member]) -> usize {
    let gated: Vec<End<'_>> =
        members.iter().filter(|member| member.groups.contains(group)).map(End::Node).collect();
    let others: Vec<End<'_>> = match &rule.peer {
        Peer::Group(peer) => {
            members.iter().filter(|member| member.groups.contains(peer)).map(End::Node).collect()
        }
        Peer::Cidr(cidr) => vec![End::Outside(*cidr)],
    };
    let asked = |sender: End<'_>, receiver: End<'_>| {
        flows.iter().any(|flow| {
            flow.protocol == rule.protocol
                && flow.ports == rule.ports
                && is_at(sender, flow.from)
                && is_at(receiver, flow.to)
        })
    };
    let pairs = gated.iter().flat_map(|gated| others.iter().map(move |other| (*gated, *other)));
    pairs
        .filter(|(gated, other)| {
            let (sender, receiver) = match direction {
                Direction::Egress => (*gated, *other),
                Direction::Ingress => (*other, *gated),
            };
            !sender.is(receiver) && !asked(sender, receiver)
        })
        .count()
}

fn is_at(end: End<'_>, endpoint: Endpoint) -> bool {
    match (end, endpoint) {
        (End::Node(_), Endpoint::AnyNode) => true,
        (End::Node(member), Endpoint::Role(role)) => member.role == role,
        // A node's interface is asked for by a range that its address is in.
        (end, Endpoint::Cidr(cidr)) => cidr.contains(&end.address()),
        (End::Outside(_), _) => false,
    }
}

impl MissingRule {
    /// The AWS CLI command that adds it. Meaningful when groups are named by id.
    pub fn command(&self) -> String {
        format!(
            "aws ec2 authorize-security-group-{} --group-id {} --ip-permissions '{}'",
            self.direction,
            self.group,
            self.rule.ip_permission()
        )
    }
}

impl fmt::Display for MissingRule {
    /// `ingress of nodes: udp 4789 nodes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: {}", self.direction, self.group, self.rule)
    }
}
