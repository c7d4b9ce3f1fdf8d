//! Rules that admit more than any required flow: not a fault, but a door nobody asked for.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::cells::{self, Side};
use super::flows::{Endpoint, Flow};
use super::groups::GroupRules;
use super::prove::{End, Member, Packet, covers};
use super::rule::{Direction, Peer, Rule};

/// A rule that admits a packet of no required flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excess {
    /// The group that has the rule.
    pub group: String,
    /// Which gate.
    pub direction: Direction,
    /// The rule.
    pub rule: Rule,
    /// A packet that it admits and nobody needs.
    pub packet: Packet,
    /// Whether that packet comes from or goes to addresses outside of the cluster's groups.
    pub outside: bool,
}

/// The rules of `groups` that admit more than `flows`, in the order of the groups. A rule of a group
/// without members admits nothing.
pub fn excess(flows: &[Flow], members: &[Member], groups: &BTreeMap<String, GroupRules>) -> Vec<Excess> {
    let mut found = Vec::new();
    for (group, rules) in groups {
        for (direction, rules) in [(Direction::Ingress, &rules.ingress), (Direction::Egress, &rules.egress)] {
            for rule in rules {
                found.extend(needless(flows, members, group, direction, rule).map(|(packet, outside)| {
                    Excess { group: group.clone(), direction, rule: rule.clone(), packet, outside }
                }));
            }
        }
    }
    found
}

fn needless(
    flows: &[Flow],
    members: &[Member],
    group: &str,
    direction: Direction,
    rule: &Rule,
) -> Option<(Packet, bool)> {
    let gated = members.iter().filter(|member| member.groups.contains(group)).map(End::Node);
    let others: Vec<End<'_>> = match &rule.peer {
        Peer::Group(peer) => {
            members.iter().filter(|member| member.groups.contains(peer)).map(End::Node).collect()
        }
        Peer::Cidr(cidr) => vec![End::Outside(*cidr)],
    };
    let cuts = cuts(flows, members);
    let kinds = cells::protocols(rule.protocol, rule.ports, cuts.iter());
    for gated in gated {
        for other in others.iter().copied().filter(|other| !gated.is(*other)) {
            let (sender, receiver) = match direction {
                Direction::Ingress => (other, gated),
                Direction::Egress => (gated, other),
            };
            for source in cells::addresses(sender.address(), Side::Source, cuts.iter()) {
                for destination in cells::addresses(receiver.address(), Side::Destination, cuts.iter()) {
                    for (protocol, port) in &kinds {
                        let packet = Packet {
                            protocol: *protocol,
                            port: *port,
                            source,
                            destination,
                            from: sender.label(),
                            to: receiver.label(),
                        };
                        let needed = flows.iter().any(|flow| {
                            meets(flow, direction)
                                && covers(flow.protocol, flow.ports, *protocol, *port)
                                && is_of(flow.from, sender, source, members)
                                && is_of(flow.to, receiver, destination, members)
                        });
                        if !needed {
                            return Some((packet, matches!(other, End::Outside(_))));
                        }
                    }
                }
            }
        }
    }
    None
}

/// Whether the flow meets a gate of this direction: what leaves the cluster needs nobody's ingress rules.
fn meets(flow: &Flow, direction: Direction) -> bool {
    let gated = match direction {
        Direction::Ingress => flow.to,
        Direction::Egress => flow.from,
    };
    !matches!(gated, Endpoint::Cidr(_))
}

/// Where flows and members begin and end, as rules: what packets have to be cut by.
fn cuts(flows: &[Flow], members: &[Member]) -> Vec<Rule> {
    let mut cuts = Vec::new();
    for flow in flows {
        let cidrs = [flow.from, flow.to].into_iter().filter_map(|end| match end {
            Endpoint::Cidr(cidr) => Some(cidr),
            Endpoint::AnyNode | Endpoint::Role(_) => None,
        });
        let addresses = cidrs.chain(members.first().map(|member| member.address));
        cuts.extend(addresses.map(|cidr| Rule {
            protocol: flow.protocol,
            ports: flow.ports,
            peer: Peer::Cidr(cidr),
        }));
    }
    let any = super::groups::default_egress();
    cuts.extend(members.iter().map(|member| Rule { peer: Peer::Cidr(member.address), ..any.clone() }));
    cuts
}

/// Whether an end at this address is one that the flow means. An address inside the cluster's subnet
/// may be a member's, whoever the rule says it is.
fn is_of(endpoint: Endpoint, end: End<'_>, address: std::net::Ipv4Addr, members: &[Member]) -> bool {
    let node = |wanted: &dyn Fn(&Member) -> bool| match end {
        End::Node(member) => wanted(member),
        End::Outside(_) => members.iter().any(|member| wanted(member) && member.address.contains(&address)),
    };
    match endpoint {
        Endpoint::AnyNode => node(&|_| true),
        Endpoint::Role(role) => node(&|member| member.role == role),
        Endpoint::Cidr(cidr) => cidr.contains(&address),
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {}: {} admits {}, which no flow of the cluster needs",
            self.direction, self.group, self.rule, self.packet
        )
    }
}
