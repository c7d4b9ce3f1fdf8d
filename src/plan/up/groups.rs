//! Security groups: their rules as proven, and who is in them.

use std::collections::BTreeMap;

use super::Draft;
use crate::network::{self, Direction, GroupPlan, Peer, Rule};
use crate::plan::{Action, Change};
use crate::ports::Instance;
use crate::spec::Role;

impl Draft<'_> {
    /// Security groups and their rules, as proven.
    pub(super) fn groups(&mut self) {
        let planned = network::plan_groups(self.spec);
        let existing = &self.observed.cloud.groups;
        let logical: BTreeMap<&str, &str> =
            existing.iter().map(|(logical, group)| (group.id.as_str(), logical.as_str())).collect();
        for group in planned.values() {
            match existing.get(&group.logical) {
                Some(found) => self.keep(&format!("security group {}", group.name), &found.id),
                None => self.create_group(group),
            }
        }
        for group in planned.values() {
            let found = existing.get(&group.logical);
            for (direction, wanted) in
                [(Direction::Ingress, &group.ingress), (Direction::Egress, &group.egress)]
            {
                let held = match (found, direction) {
                    (Some(found), Direction::Ingress) => by_logical_name(&found.ingress, &logical),
                    (Some(found), Direction::Egress) => by_logical_name(&found.egress, &logical),
                    (None, Direction::Ingress) => Vec::new(),
                    (None, Direction::Egress) => vec![network::default_egress()],
                };
                self.rules(group, direction, wanted, &held, found.is_some());
            }
        }
    }

    fn create_group(&mut self, group: &GroupPlan) {
        let action = Action::CreateSecurityGroup {
            logical: group.logical.clone(),
            name: group.name.clone(),
            description: group.description.clone(),
        };
        self.create(
            &format!("group/{}", group.logical),
            &["vpc"],
            action,
            format!("security group {}", group.name),
        );
    }

    fn rules(
        &mut self,
        group: &GroupPlan,
        direction: Direction,
        wanted: &[Rule],
        held: &[Rule],
        existed: bool,
    ) {
        let (allow, revoke) = network::diff(wanted, held);
        if allow.is_empty() && revoke.is_empty() {
            return;
        }
        let mut after: Vec<String> = vec![format!("group/{}", group.logical)];
        after.extend(wanted.iter().filter_map(|rule| match &rule.peer {
            Peer::Group(peer) => Some(format!("group/{peer}")),
            Peer::Cidr(_) => None,
        }));
        after.sort();
        after.dedup();
        let list = |rules: &[Rule]| rules.iter().map(Rule::to_string).collect::<Vec<_>>().join(", ");
        let mut reason = Vec::new();
        if !allow.is_empty() {
            reason.push(format!("allow {}", list(&allow)));
        }
        if !revoke.is_empty() {
            reason.push(format!("revoke {}", list(&revoke)));
        }
        let after: Vec<&str> = after.iter().map(String::as_str).collect();
        self.push(
            &format!("rules/{}/{direction}", group.logical),
            &after,
            Action::SetRules { group: group.logical.clone(), direction, allow, revoke },
            format!("{direction} rules of {}", group.name),
            if existed { Change::Change } else { Change::Create },
            reason.join("; "),
        );
    }

    /// An instance that somebody took out of its role's groups, or put into another of ours, goes back.
    pub(super) fn membership(&mut self, instance: &Instance, role: Role) {
        let existing = &self.observed.cloud.groups;
        let is_ours = |id: &&String| existing.values().any(|group| group.id == **id);
        let (held, others): (Vec<&String>, Vec<&String>) = instance.groups.iter().partition(is_ours);
        let wanted = network::membership(role);
        let is_held = |group: &&str| existing.get(*group).is_some_and(|group| held.contains(&&group.id));
        if wanted.iter().all(is_held) && held.len() == wanted.len() {
            return;
        }
        let after: Vec<String> = wanted.iter().map(|group| format!("group/{group}")).collect();
        let after: Vec<&str> = after.iter().map(String::as_str).collect();
        let action = Action::SetGroups {
            instance: instance.id.clone(),
            groups: wanted.iter().map(|group| (*group).to_owned()).collect(),
            others: others.into_iter().cloned().collect(),
        };
        self.push(
            &format!("groups/{}", instance.node),
            &after,
            action,
            format!("security groups of {} ({})", instance.id, instance.node),
            Change::Change,
            format!("its role's are {}", wanted.join(", ")),
        );
    }
}

/// Rules as the cloud tells them, with our own groups' ids turned into logical names.
fn by_logical_name(rules: &[Rule], logical: &BTreeMap<&str, &str>) -> Vec<Rule> {
    rules
        .iter()
        .map(|rule| {
            let peer = match &rule.peer {
                Peer::Group(id) => {
                    Peer::Group(logical.get(id.as_str()).map_or(id.clone(), |name| (*name).to_owned()))
                }
                cidr => cidr.clone(),
            };
            Rule { peer, ..rule.clone() }
        })
        .collect()
}
