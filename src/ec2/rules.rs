//! Rules of a group, one call to add and one to remove; and the groups of an instance.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::IpPermission;

use super::api::Api;
use super::convert::filter;
use super::error::Fault;
use super::observe::list;
use super::permission::{permissions, rules};
use crate::network::{Direction, Peer, Rule};

/// How often a call is made again for what others changed under our hands.
const TRIES: usize = 4;

#[derive(Clone, Copy)]
enum Change {
    Allow,
    Revoke,
}

impl Api {
    /// Adds, then removes, so that no traffic falls into a gap between the two.
    pub async fn set_rules(
        &self,
        group: &str,
        direction: Direction,
        allow: &[Rule],
        revoke: &[Rule],
    ) -> Result<(), Fault> {
        self.change(group, direction, Change::Allow, allow).await?;
        self.change(group, direction, Change::Revoke, revoke).await
    }

    /// Makes the instance a member of exactly these groups.
    pub async fn set_groups(&self, instance: &str, groups: &[String]) -> Result<(), Fault> {
        self.settled(groups, || {
            let request = self.ec2.modify_instance_attribute().instance_id(instance);
            let request = request.set_groups(Some(groups.to_vec())).send();
            self.call("ModifyInstanceAttribute", request)
        })
        .await
        .map(drop)
    }

    async fn change(
        &self,
        group: &str,
        direction: Direction,
        change: Change,
        wanted: &[Rule],
    ) -> Result<(), Fault> {
        let mut left = wanted.to_vec();
        for attempt in 1.. {
            if left.is_empty() {
                break;
            }
            let answer = self.send(group, direction, change, &left).await;
            match (answer, change) {
                (Ok(()), _) => break,
                // EC2 refuses the whole call for one rule that is there already, or is not there:
                // what remains to be done is in the group itself.
                (Err(fault), _) if is_already_so(&fault, change) && attempt < TRIES => {
                    left = remaining(&left, &self.rules_of(group, direction).await?, change);
                }
                (Err(fault), _) => return Err(fault),
            }
        }
        Ok(())
    }

    async fn send(
        &self,
        group: &str,
        direction: Direction,
        change: Change,
        rules: &[Rule],
    ) -> Result<(), Fault> {
        let permissions: Vec<IpPermission> = permissions(rules);
        let mut ids = vec![group.to_owned()];
        ids.extend(rules.iter().filter_map(|rule| match &rule.peer {
            Peer::Group(id) => Some(id.clone()),
            Peer::Cidr(_) => None,
        }));
        let is_absent = |fault: &Fault| fault.code() == "InvalidPermission.NotFound";
        let call = || async {
            let permissions = Some(permissions.clone());
            let ec2 = &self.ec2;
            let answer = match (change, direction) {
                (Change::Allow, Direction::Ingress) => {
                    let request = ec2.authorize_security_group_ingress().group_id(group);
                    let request = request.set_ip_permissions(permissions).send();
                    self.call("AuthorizeSecurityGroupIngress", request).await.map(drop)
                }
                (Change::Allow, Direction::Egress) => {
                    let request = ec2.authorize_security_group_egress().group_id(group);
                    let request = request.set_ip_permissions(permissions).send();
                    self.call("AuthorizeSecurityGroupEgress", request).await.map(drop)
                }
                (Change::Revoke, Direction::Ingress) => {
                    let request = ec2.revoke_security_group_ingress().group_id(group);
                    let request = request.set_ip_permissions(permissions).send();
                    self.call("RevokeSecurityGroupIngress", request).await.map(drop)
                }
                (Change::Revoke, Direction::Egress) => {
                    let request = ec2.revoke_security_group_egress().group_id(group);
                    let request = request.set_ip_permissions(permissions).send();
                    self.call("RevokeSecurityGroupEgress", request).await.map(drop)
                }
            };
            // A rule that is not there is no fresh id: it must not be waited for.
            match answer {
                Err(fault) if is_absent(&fault) => Ok(Err(fault)),
                other => other.map(Ok),
            }
        };
        self.settled(&ids, call).await?
    }

    async fn rules_of(&self, group: &str, direction: Direction) -> Result<Vec<Rule>, Fault> {
        let request = self.ec2.describe_security_groups().filters(filter("group-id", [group]));
        let found = list!(self, "DescribeSecurityGroups", request).await?;
        let permissions = found.first().map(|it| match direction {
            Direction::Ingress => it.ip_permissions(),
            Direction::Egress => it.ip_permissions_egress(),
        });
        Ok(rules(permissions.unwrap_or_default()))
    }
}

fn is_already_so(fault: &Fault, change: Change) -> bool {
    match change {
        Change::Allow => fault.code() == "InvalidPermission.Duplicate",
        Change::Revoke => fault.code() == "InvalidPermission.NotFound",
    }
}

/// Of the wanted rules, those that are not yet so.
fn remaining(wanted: &[Rule], held: &[Rule], change: Change) -> Vec<Rule> {
    let held: BTreeSet<&Rule> = held.iter().collect();
    let is_open = |rule: &&Rule| match change {
        Change::Allow => !held.contains(rule),
        Change::Revoke => held.contains(rule),
    };
    wanted.iter().filter(is_open).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{PortRange, Protocol};

    fn rule(port: u16) -> Rule {
        let peer = Peer::Group("sg-1".into());
        Rule { protocol: Protocol::Tcp, ports: Some(PortRange::single(port)), peer }
    }

    #[test]
    fn what_is_so_already_is_not_asked_for_again() {
        let wanted = [rule(22), rule(6443)];
        let held = [rule(22), rule(80)];
        assert_eq!(remaining(&wanted, &held, Change::Allow), [rule(6443)]);
        assert_eq!(remaining(&wanted, &held, Change::Revoke), [rule(22)]);
    }
}
