//! Security groups and key pairs.

use super::page;
use crate::lab::wire::xml::{Fields, iso};
use crate::lab::world::{GroupRule, KeyPair, Response, RulePeer, SecurityGroup, World};
use crate::network::{Direction, PortRange, Protocol};

/// The answer, if it is of this family.
pub fn render(response: &Response, world: &World) -> Fields {
    use Response as R;
    match response {
        R::Group(it) => Fields::new()
            .text("return", true)
            .text("groupId", &it.id)
            .text("securityGroupArn", arn(&it.id, world))
            .tags(&it.tags),
        R::Groups(all) => page("securityGroupInfo", all, |it| group(it, world)),
        R::Rules(all) => page("securityGroupRuleSet", all, |it| rule(it, world)).text("return", true),
        R::Revoked(all) => Fields::new()
            .text("return", true)
            .items("unknownIpPermissionSet", [])
            .items("revokedSecurityGroupRuleSet", all.iter().map(revoked)),
        R::DeletedGroup(id) => Fields::new().text("return", true).text("groupId", id),
        R::Key(it) => Fields::new()
            .text("keyPairId", &it.id)
            .text("keyName", &it.name)
            .text("keyFingerprint", &it.fingerprint)
            .tags(&it.tags),
        R::Keys { keys, public } => Fields::new().items("keySet", keys.iter().map(|it| key(it, *public))),
        R::DeletedKey(id) => Fields::new().text("return", true).opt("keyPairId", id.as_ref()),
        _ => Fields::new(),
    }
}

fn arn(id: &str, world: &World) -> String {
    let config = world.config();
    format!("arn:aws:ec2:{}:{}:security-group/{id}", config.region, config.account)
}

fn group(it: &SecurityGroup, world: &World) -> Fields {
    Fields::new()
        .text("ownerId", &world.config().account)
        .text("groupId", &it.id)
        .text("groupName", &it.name)
        .text("groupDescription", &it.description)
        .text("vpcId", &it.vpc)
        .text("securityGroupArn", arn(&it.id, world))
        .items("ipPermissions", permissions(it, Direction::Ingress, world))
        .items("ipPermissionsEgress", permissions(it, Direction::Egress, world))
        .tags(&it.tags)
}

/// Ports on the wire: ICMP has type and code there, -1 for all; protocol -1 has nothing.
fn ports(fields: Fields, rule: &GroupRule, always: bool) -> Fields {
    match (rule.protocol, rule.ports) {
        (_, Some(PortRange { from, to })) => fields.text("fromPort", from).text("toPort", to),
        (Protocol::Icmp | Protocol::Number(58), None) => fields.text("fromPort", -1).text("toPort", -1),
        _ if always => fields.text("fromPort", -1).text("toPort", -1),
        _ => fields,
    }
}

/// Rules of one direction, those with the same protocol and ports together, as EC2 shows them.
fn permissions(group: &SecurityGroup, direction: Direction, world: &World) -> Vec<Fields> {
    let mut together: Vec<Vec<&GroupRule>> = Vec::new();
    for rule in group.rules.iter().filter(|rule| rule.direction == direction) {
        let same = |held: &&mut Vec<&GroupRule>| {
            held.first().is_some_and(|first| first.protocol == rule.protocol && first.ports == rule.ports)
        };
        match together.iter_mut().find(same) {
            Some(held) => held.push(rule),
            None => together.push(vec![rule]),
        }
    }
    let permission = |rules: &Vec<&GroupRule>| {
        let fields = Fields::new().opt("ipProtocol", rules.first().map(|rule| rule.protocol.ec2_name()));
        let fields = match rules.first() {
            Some(first) => ports(fields, first, false),
            None => fields,
        };
        fields
            .items(
                "groups",
                rules.iter().filter_map(|rule| match &rule.peer {
                    RulePeer::Group(id) => Some(
                        Fields::new()
                            .text("userId", &world.config().account)
                            .text("groupId", id)
                            .opt("description", rule.description.as_ref()),
                    ),
                    _ => None,
                }),
            )
            .items(
                "ipRanges",
                rules.iter().filter_map(|rule| match &rule.peer {
                    RulePeer::V4(net) => {
                        Some(Fields::new().text("cidrIp", net).opt("description", rule.description.as_ref()))
                    }
                    _ => None,
                }),
            )
            .items(
                "ipv6Ranges",
                rules.iter().filter_map(|rule| match &rule.peer {
                    RulePeer::V6(net) => Some(
                        Fields::new().text("cidrIpv6", net).opt("description", rule.description.as_ref()),
                    ),
                    _ => None,
                }),
            )
            .items("prefixListIds", [])
    };
    together.iter().map(permission).collect()
}

fn rule(it: &GroupRule, world: &World) -> Fields {
    let config = world.config();
    let fields = Fields::new()
        .text("securityGroupRuleId", &it.id)
        .text("groupId", &it.group)
        .text("groupOwnerId", &config.account)
        .text("isEgress", it.direction == Direction::Egress)
        .text("ipProtocol", it.protocol.ec2_name());
    let fields = ports(fields, it, true);
    let fields = match &it.peer {
        RulePeer::V4(net) => fields.text("cidrIpv4", net),
        RulePeer::V6(net) => fields.text("cidrIpv6", net),
        RulePeer::Group(id) => fields
            .fields("referencedGroupInfo", Fields::new().text("groupId", id).text("userId", &config.account)),
    };
    fields
        .opt("description", it.description.as_ref())
        .text(
            "securityGroupRuleArn",
            format!("arn:aws:ec2:{}:{}:security-group-rule/{}", config.region, config.account, it.id),
        )
        .tags(&it.tags)
}

fn revoked(it: &GroupRule) -> Fields {
    let fields = Fields::new()
        .text("securityGroupRuleId", &it.id)
        .text("groupId", &it.group)
        .text("isEgress", it.direction == Direction::Egress)
        .text("ipProtocol", it.protocol.ec2_name());
    let fields = ports(fields, it, true);
    match &it.peer {
        RulePeer::V4(net) => fields.text("cidrIpv4", net),
        RulePeer::V6(net) => fields.text("cidrIpv6", net),
        RulePeer::Group(id) => fields.text("referencedGroupId", id),
    }
    .opt("description", it.description.as_ref())
}

fn key(it: &KeyPair, public: bool) -> Fields {
    Fields::new()
        .text("keyPairId", &it.id)
        .text("keyName", &it.name)
        .text("keyType", &it.kind)
        .text("keyFingerprint", &it.fingerprint)
        .opt("publicKey", public.then_some(&it.public_key))
        .text("createTime", iso(it.created))
        .tags(&it.tags)
}
