//! The proof that a set of groups lets every required flow pass, or the packet that it stops.
//!
//! Evaluated as EC2 does: the egress gate of the sender, then the ingress gate of the receiver, each the
//! union of all rules of all groups of that interface; a rule that names a group matches by the *other
//! interface's* membership, one that names a range by the address on the wire.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Serialize;

use super::cells::{self, Side};
use super::flows::{Endpoint, Flow};
use super::groups::GroupRules;
use super::repair::{self, MissingRule};
use super::rule::{Direction, Peer, PortRange, Protocol, Rule};
use crate::spec::Role;

/// A node's network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Node name: `general-1`.
    pub node: String,
    /// What it does.
    pub role: Role,
    /// Its private address as a /32; the subnet as long as the address is not known. The proof then
    /// holds for every address of the subnet.
    pub address: Ipv4Net,
    /// The groups it is in, named as the keys of the group map are.
    pub groups: BTreeSet<String>,
}

/// One packet that opens a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Packet {
    /// Never [`Protocol::All`].
    pub protocol: Protocol,
    /// Destination port, of protocols that have ports.
    pub port: Option<u16>,
    /// Source address on the wire.
    pub source: Ipv4Addr,
    /// Destination address on the wire.
    pub destination: Ipv4Addr,
    /// The sending node, or the range outside that `source` is of.
    pub from: String,
    /// The receiving node, or the range outside that `destination` is of.
    pub to: String,
}

/// The gate that stops a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gate {
    /// Egress of the sender or ingress of the receiver.
    pub direction: Direction,
    /// The node whose interface it is.
    pub node: String,
    /// The groups whose rules together do not allow the packet.
    pub groups: Vec<String>,
}

/// A required flow that does not pass, by one of its packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counterexample {
    /// Name of the flow.
    pub flow: String,
    /// A packet of it that is stopped.
    pub packet: Packet,
    /// What stops it.
    pub gate: Gate,
    /// The rule whose absence it is. `None` if the interface is in no group at all.
    pub missing: Option<MissingRule>,
}

/// The outcome for all flows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// How many flows are required.
    pub required: usize,
    /// How many of them pass, with every packet they may consist of.
    pub proven: usize,
    /// One for each flow and pair of kinds of nodes that does not pass, in the order of the flows.
    pub counterexamples: Vec<Counterexample>,
}

/// A flow between two interfaces, stopped by one gate. Gates are independent, so there may be two.
#[derive(Clone, Debug)]
pub(super) struct Failure<'a> {
    pub flow: &'a Flow,
    pub sender: End<'a>,
    pub receiver: End<'a>,
    pub direction: Direction,
    pub packet: Packet,
}

/// One end of a packet's way.
#[derive(Clone, Copy, Debug)]
pub(super) enum End<'a> {
    Node(&'a Member),
    Outside(Ipv4Net),
}

/// Judges `groups` (by logical name or by id) with `members` in them against `flows`.
///
/// The verdict is exact and no sample: see [`cells`]. It is monotone: adding a rule never adds a
/// counterexample. A flow between kinds of nodes of which there are none is proven.
pub fn prove(flows: &[Flow], members: &[Member], groups: &BTreeMap<String, GroupRules>) -> Proof {
    let failures = failures(flows, members, groups);
    let stopped: BTreeSet<&str> = failures.iter().map(|failure| failure.flow.name.as_str()).collect();
    let repairs = repair::repairs(&failures, flows, members);
    let mut seen = BTreeSet::new();
    let counterexamples = failures
        .iter()
        .zip(repairs)
        .filter(|(failure, _)| seen.insert(failure.kind()))
        .map(|(failure, missing)| Counterexample {
            flow: failure.flow.name.clone(),
            packet: failure.packet.clone(),
            gate: failure.gate(),
            missing,
        })
        .collect();
    Proof { required: flows.len(), proven: flows.len() - stopped.len(), counterexamples }
}

/// The names of the flows that pass now and no longer would without `rule`.
pub fn broken_by_removal(
    flows: &[Flow],
    members: &[Member],
    groups: &BTreeMap<String, GroupRules>,
    group: &str,
    direction: Direction,
    rule: &Rule,
) -> BTreeSet<String> {
    let stopped = |groups: &BTreeMap<String, GroupRules>| -> BTreeSet<String> {
        failures(flows, members, groups).into_iter().map(|failure| failure.flow.name.clone()).collect()
    };
    let mut without = groups.clone();
    if let Some(rules) = without.get_mut(group) {
        let rules = match direction {
            Direction::Ingress => &mut rules.ingress,
            Direction::Egress => &mut rules.egress,
        };
        rules.retain(|kept| kept != rule);
    }
    stopped(&without).difference(&stopped(groups)).cloned().collect()
}

/// Every flow, pair of interfaces and gate that does not let all packets of the flow pass.
pub(super) fn failures<'a>(
    flows: &'a [Flow],
    members: &'a [Member],
    groups: &BTreeMap<String, GroupRules>,
) -> Vec<Failure<'a>> {
    let members = tellable(members);
    let mut failures = Vec::new();
    for flow in flows {
        for sender in ends(flow.from, &members) {
            for receiver in ends(flow.to, &members) {
                if sender.is(receiver) {
                    continue;
                }
                for direction in [Direction::Egress, Direction::Ingress] {
                    let packet = stopped_packet(flow, sender, receiver, direction, groups);
                    failures.extend(packet.map(|packet| Failure {
                        flow,
                        sender,
                        receiver,
                        direction,
                        packet,
                    }));
                }
            }
        }
    }
    failures
}

/// Members that no rule can tell apart, twice at most: that is enough for every pair of kinds.
fn tellable(members: &[Member]) -> Vec<&Member> {
    let mut kinds: BTreeMap<(Role, Ipv4Net, &BTreeSet<String>), usize> = BTreeMap::new();
    let mut kept = Vec::new();
    for member in members {
        let count = kinds.entry((member.role, member.address, &member.groups)).or_default();
        *count += 1;
        if *count <= 2 {
            kept.push(member);
        }
    }
    kept
}

fn ends<'a>(endpoint: Endpoint, members: &[&'a Member]) -> Vec<End<'a>> {
    match endpoint {
        Endpoint::AnyNode => members.iter().copied().map(End::Node).collect(),
        Endpoint::Role(role) => {
            members.iter().copied().filter(|member| member.role == role).map(End::Node).collect()
        }
        Endpoint::Cidr(cidr) => vec![End::Outside(cidr)],
    }
}

/// The first packet of the flow that the gate stops.
fn stopped_packet(
    flow: &Flow,
    sender: End<'_>,
    receiver: End<'_>,
    direction: Direction,
    groups: &BTreeMap<String, GroupRules>,
) -> Option<Packet> {
    let (gated, other) = match direction {
        Direction::Egress => (sender, receiver),
        Direction::Ingress => (receiver, sender),
    };
    let End::Node(gated) = gated else { return None };
    let rules: Vec<&Rule> = rules_of(gated, direction, groups).collect();
    // The gate reads the other side's address only; the own side's needs one example.
    let cut = |side, is_other: bool, end: End<'_>| {
        let cutting: &[&Rule] = if is_other { &rules } else { &[] };
        cells::addresses(end.address(), side, cutting.iter().copied())
    };
    let sources = cut(Side::Source, direction == Direction::Ingress, sender);
    let destinations = cut(Side::Destination, direction == Direction::Egress, receiver);
    let kinds = cells::protocols(flow.protocol, flow.ports, rules.iter().copied());
    let addresses = sources.iter().flat_map(|source| destinations.iter().map(move |to| (*source, *to)));
    addresses
        .flat_map(|(source, destination)| kinds.iter().map(move |kind| (source, destination, *kind)))
        .map(|(source, destination, (protocol, port))| Packet {
            protocol,
            port,
            source,
            destination,
            from: sender.label(),
            to: receiver.label(),
        })
        .filter(|packet| !(direction == Direction::Egress && exempt(packet.destination)))
        .find(|packet| {
            let far = match direction {
                Direction::Egress => packet.destination,
                Direction::Ingress => packet.source,
            };
            !rules.iter().any(|rule| admits(rule, packet.protocol, packet.port, far, other.groups()))
        })
}

/// Instance metadata and the VPC's resolver are outside of every group's reach.
fn exempt(destination: Ipv4Addr) -> bool {
    matches!(destination.octets(), [169, 254, 169, 253 | 254])
}

/// All rules of all groups of an interface at one gate.
pub(super) fn rules_of<'a>(
    member: &'a Member,
    direction: Direction,
    groups: &'a BTreeMap<String, GroupRules>,
) -> impl Iterator<Item = &'a Rule> {
    member.groups.iter().filter_map(|group| groups.get(group)).flat_map(move |rules| match direction {
        Direction::Ingress => &rules.ingress,
        Direction::Egress => &rules.egress,
    })
}

/// Whether `rule` admits a packet whose other side has this address and these groups.
pub(super) fn admits(
    rule: &Rule,
    protocol: Protocol,
    port: Option<u16>,
    address: Ipv4Addr,
    groups: Option<&BTreeSet<String>>,
) -> bool {
    let peer = match &rule.peer {
        Peer::Cidr(cidr) => cidr.contains(&address),
        Peer::Group(group) => groups.is_some_and(|groups| groups.contains(group)),
    };
    peer && covers(rule.protocol, rule.ports, protocol, port)
}

/// Whether (`protocol`, `ports`) of a rule or a flow has this kind of packet in it.
pub(super) fn covers(
    protocol: Protocol,
    ports: Option<PortRange>,
    packet: Protocol,
    port: Option<u16>,
) -> bool {
    let protocol = protocol.canonical();
    let range = ports.filter(|_| protocol.has_ports());
    (protocol == Protocol::All || protocol == packet.canonical())
        && range.is_none_or(|range| port.is_some_and(|port| range.contains(port)))
}

impl<'a> End<'a> {
    pub(super) fn address(self) -> Ipv4Net {
        match self {
            End::Node(member) => member.address,
            End::Outside(cidr) => cidr,
        }
    }

    pub(super) fn groups(self) -> Option<&'a BTreeSet<String>> {
        match self {
            End::Node(member) => Some(&member.groups),
            End::Outside(_) => None,
        }
    }

    pub(super) fn label(self) -> String {
        match self {
            End::Node(member) => member.node.clone(),
            End::Outside(cidr) => cidr.to_string(),
        }
    }

    pub(super) fn is(self, other: End<'_>) -> bool {
        matches!((self, other), (End::Node(one), End::Node(two)) if one.node == two.node)
    }

    fn kind(self) -> (Option<Role>, String) {
        match self {
            End::Node(member) => {
                let groups: Vec<&str> = member.groups.iter().map(String::as_str).collect();
                (Some(member.role), groups.join(","))
            }
            End::Outside(cidr) => (None, cidr.to_string()),
        }
    }
}

impl<'a> Failure<'a> {
    /// The interface whose gate it is, and the other side.
    pub(super) fn sides(&self) -> (End<'a>, End<'a>) {
        match self.direction {
            Direction::Egress => (self.sender, self.receiver),
            Direction::Ingress => (self.receiver, self.sender),
        }
    }

    fn gate(&self) -> Gate {
        let (gated, _) = self.sides();
        let groups = gated.groups().into_iter().flatten().cloned().collect();
        Gate { direction: self.direction, node: gated.label(), groups }
    }

    /// What one counterexample is enough for.
    fn kind(&self) -> impl Ord + use<> {
        (self.flow.name.clone(), self.sender.kind(), self.receiver.kind())
    }
}

impl fmt::Display for Packet {
    /// `udp 4789 from general-1 (10.0.0.4) to general-2 (10.0.0.5)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.protocol)?;
        if let Some(port) = self.port {
            write!(f, " {port}")?;
        }
        write!(f, " from {} ({}) to {} ({})", self.from, self.source, self.to, self.destination)
    }
}

impl fmt::Display for Gate {
    /// `the ingress rules of general-2 (nodes)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = if self.groups.is_empty() { "in no group".into() } else { self.groups.join(", ") };
        write!(f, "the {} rules of {} ({groups})", self.direction, self.node)
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} is stopped by {}", self.flow, self.packet, self.gate)?;
        match &self.missing {
            Some(missing) => write!(f, "; missing: {missing}"),
            None => Ok(()),
        }
    }
}
