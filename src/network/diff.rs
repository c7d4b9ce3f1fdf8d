//! From the rules a group has to the rules it should have.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{Peer, PortRange, Rule};

/// The one way to write a rule: protocols by name where they have one, no ports where all are meant,
/// no host bits in a range. EC2 keeps `tcp 0-65535` and `tcp` as the same thing, and so do we.
pub fn normal(rule: &Rule) -> Rule {
    let protocol = rule.protocol.canonical();
    let every = PortRange { from: 0, to: u16::MAX };
    let peer = match &rule.peer {
        Peer::Cidr(cidr) => Peer::Cidr(cidr.trunc()),
        Peer::Group(group) => Peer::Group(group.clone()),
    };
    Rule { protocol, ports: rule.ports.filter(|ports| protocol.has_ports() && *ports != every), peer }
}

/// What to add and what to revoke so that `observed` becomes `planned`, each sorted, none twice.
///
/// Rules to revoke are as observed, because EC2 revokes a rule only in the form it holds.
pub fn diff(planned: &[Rule], observed: &[Rule]) -> (Vec<Rule>, Vec<Rule>) {
    let wanted: BTreeSet<Rule> = planned.iter().map(normal).collect();
    let held: BTreeMap<Rule, &Rule> = observed.iter().map(|rule| (normal(rule), rule)).collect();
    let add = wanted.iter().filter(|rule| !held.contains_key(*rule)).cloned().collect();
    let revoke = held.iter().filter(|(rule, _)| !wanted.contains(*rule)).map(|(_, rule)| (*rule).clone());
    (add, revoke.collect())
}

/// `rules` with their peer groups renamed, e.g. from logical names to ids. The error is the first name
/// that `names` does not know.
pub fn resolve(rules: &[Rule], names: &BTreeMap<String, String>) -> Result<Vec<Rule>, String> {
    rules
        .iter()
        .map(|rule| {
            let peer = match &rule.peer {
                Peer::Cidr(cidr) => Peer::Cidr(*cidr),
                Peer::Group(group) => Peer::Group(names.get(group).ok_or_else(|| group.clone())?.clone()),
            };
            Ok(Rule { protocol: rule.protocol, ports: rule.ports, peer })
        })
        .collect()
}
