//! Rules of security groups: authorise, revoke, describe.

use ipnet::Ipv6Net;

use super::World;
use super::error::{ApiError, ApiResult};
use super::group::describable;
use super::model::{GroupRule, RulePeer};
use super::query::{Field, Query};
use super::request::{GroupName, Permission, TagSpec};
use super::response::Response;
use super::store::{Resource, Store, Tags};
use super::tag::tags_for;
use super::vpc::parse_cidr;
use crate::network::{Direction, PortRange, Protocol};

/// EC2's default quota of rules in one direction of one group.
const MOST_RULES: usize = 60;

/// Filters of DescribeSecurityGroupRules.
const FIELDS: &[Field<GroupRule>] = &[
    ("group-id", |_, rule| vec![rule.group.clone()]),
    ("security-group-rule-id", |_, rule| vec![rule.id.clone()]),
];

impl GroupRule {
    /// Whether both allow the same, whatever their ids and descriptions.
    fn same(&self, other: &Self) -> bool {
        self.direction == other.direction
            && self.protocol == other.protocol
            && self.ports == other.ports
            && self.peer == other.peer
    }

    /// As EC2 words it in `InvalidPermission.Duplicate`.
    fn words(&self) -> String {
        let peer = match &self.peer {
            RulePeer::V4(net) => net.to_string(),
            RulePeer::V6(net) => net.to_string(),
            RulePeer::Group(id) => id.clone(),
        };
        let protocol = match self.protocol {
            Protocol::All => "ALL".to_owned(),
            named => named.ec2_name().to_uppercase(),
        };
        match self.ports {
            Some(PortRange { from, to }) => {
                format!("peer: {peer}, {protocol}, from port: {from}, to port: {to}, ALLOW")
            }
            None => format!("peer: {peer}, {protocol}, ALLOW"),
        }
    }
}

fn protocol(text: Option<&str>) -> ApiResult<Protocol> {
    let text = text.ok_or_else(|| ApiError::missing("ipProtocol"))?;
    Ok(match text.to_ascii_lowercase().as_str() {
        "-1" | "all" => Protocol::All,
        "tcp" | "6" => Protocol::Tcp,
        "udp" | "17" => Protocol::Udp,
        "icmp" | "1" => Protocol::Icmp,
        "icmpv6" => Protocol::Number(58),
        number => Protocol::Number(number.parse().map_err(|_| {
            ApiError::value(format!(
                "Invalid value '{text}' for IP protocol. Specify a value from -1 to 255, or 'tcp', 'udp', 'icmp', 'icmpv6'."
            ))
        })?),
    })
}

fn ports(protocol: Protocol, from: Option<i64>, to: Option<i64>) -> ApiResult<Option<PortRange>> {
    match protocol {
        Protocol::Tcp | Protocol::Udp => {
            let (Some(from), Some(to)) = (from, to) else {
                return Err(ApiError::value(
                    "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.",
                ));
            };
            let (Ok(first), Ok(last)) = (u16::try_from(from), u16::try_from(to)) else {
                return Err(ApiError::value(format!("TCP/UDP port ({from}:{to}) out of range")));
            };
            if first > last {
                return Err(ApiError::value(format!("Invalid TCP/UDP port range ({from}:{to})")));
            }
            Ok(Some(PortRange { from: first, to: last }))
        }
        Protocol::Icmp | Protocol::Number(58) => match (from.unwrap_or(-1), to.unwrap_or(-1)) {
            (-1, -1) => Ok(None),
            (kind, code) => Err(ApiError::unsupported(format!(
                "The lab enforces ICMP rules for all types (-1, -1) only, not type {kind} code {code}."
            ))),
        },
        // EC2 ignores ports here.
        Protocol::All | Protocol::Number(_) => Ok(None),
    }
}

fn described(text: &Option<String>) -> ApiResult<Option<String>> {
    match text {
        Some(text) if !describable(text) => Err(ApiError::value(
            "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*",
        )),
        text => Ok(text.clone().filter(|text| !text.is_empty())),
    }
}

impl World {
    /// The rules that permissions stand for, each with an empty id.
    fn expand(
        &self,
        group: &str,
        direction: Direction,
        permissions: &[Permission],
    ) -> ApiResult<Vec<GroupRule>> {
        let vpc = &self.groups.get(group)?.vpc;
        if permissions.is_empty() {
            return Err(ApiError::missing("ipPermissions"));
        }
        let mut rules: Vec<GroupRule> = Vec::new();
        for permission in permissions {
            let protocol = protocol(permission.protocol.as_deref())?;
            let ports = ports(protocol, permission.from_port, permission.to_port)?;
            let mut peers = Vec::new();
            for (range, description) in &permission.ranges {
                peers.push((RulePeer::V4(parse_cidr(range, "cidrIp")?), description));
            }
            for (range, description) in &permission.ranges_v6 {
                let net = range
                    .parse::<Ipv6Net>()
                    .map_err(|_| ApiError::value(format!("CIDR block {range} is malformed")))?;
                peers.push((RulePeer::V6(net.trunc()), description));
            }
            for (name, description) in &permission.groups {
                peers.push((RulePeer::Group(self.peer_group(vpc, name)?), description));
            }
            if peers.is_empty() {
                return Err(ApiError::missing("ipRanges, ipv6Ranges or groups"));
            }
            for (peer, description) in peers {
                let rule = GroupRule {
                    id: String::new(),
                    group: group.to_owned(),
                    direction,
                    protocol,
                    ports,
                    peer,
                    description: described(description)?,
                    tags: Tags::new(),
                };
                if rules.iter().any(|other| other.same(&rule)) {
                    return Err(ApiError::value("The same permission must not appear multiple times"));
                }
                rules.push(rule);
            }
        }
        Ok(rules)
    }

    fn peer_group(&self, vpc: &str, name: &GroupName) -> ApiResult<String> {
        match name {
            GroupName::Id(id) if self.groups.get(id)?.vpc == vpc => Ok(id.clone()),
            GroupName::Id(_) => Err(ApiError::new(
                "InvalidGroup.NotFound",
                "You have specified two resources that belong to different networks.",
            )),
            GroupName::Name(name) => self
                .groups
                .visible()
                .find(|group| group.vpc == vpc && group.name == *name)
                .map(|group| group.id.clone())
                .ok_or_else(|| {
                    ApiError::new(
                        "InvalidGroup.NotFound",
                        format!("The security group '{name}' does not exist in VPC '{vpc}'"),
                    )
                }),
        }
    }

    pub(super) fn authorize(
        &mut self,
        group: &str,
        direction: Direction,
        permissions: &[Permission],
        tags: Vec<TagSpec>,
    ) -> ApiResult<Response> {
        let tags = tags_for(GroupRule::KIND, tags)?;
        let mut rules = self.expand(group, direction, permissions)?;
        for rule in &mut rules {
            rule.id = self.mint("sgr-");
            rule.tags.clone_from(&tags);
        }
        let held = &mut self.groups.get_mut(group)?.rules;
        for rule in &rules {
            if held.iter().any(|other| other.same(rule)) {
                return Err(ApiError::new(
                    "InvalidPermission.Duplicate",
                    format!("the specified rule \"{}\" already exists", rule.words()),
                ));
            }
            held.push(rule.clone());
        }
        if held.iter().filter(|rule| rule.direction == direction).count() > MOST_RULES {
            return Err(ApiError::new(
                "RulesPerSecurityGroupLimitExceeded",
                "The maximum number of rules per security group has been reached.",
            ));
        }
        let items = rules;
        Ok(Response::Rules(super::query::Page { items, next_token: None }))
    }

    pub(super) fn revoke(
        &mut self,
        group: &str,
        direction: Direction,
        permissions: &[Permission],
        rule_ids: &[String],
    ) -> ApiResult<Response> {
        let mut gone = Vec::new();
        if !rule_ids.is_empty() && !permissions.is_empty() {
            return Err(ApiError::combination(
                "The parameters ipPermissions and securityGroupRuleIds cannot be used together",
            ));
        }
        if rule_ids.is_empty() {
            let wanted = self.expand(group, direction, permissions)?;
            let held = &mut self.groups.get_mut(group)?.rules;
            for rule in wanted {
                let at = held.iter().position(|other| other.same(&rule)).ok_or_else(|| {
                    ApiError::new(
                        "InvalidPermission.NotFound",
                        "The specified rule does not exist in this security group.",
                    )
                })?;
                gone.push(held.remove(at));
            }
        } else {
            let held = &mut self.groups.get_mut(group)?.rules;
            for id in rule_ids {
                let at = held
                    .iter()
                    .position(|rule| rule.id == *id && rule.direction == direction)
                    .ok_or_else(|| Store::<GroupRule>::unknown(id))?;
                gone.push(held.remove(at));
            }
        }
        Ok(Response::Revoked(gone))
    }

    pub(super) fn describe_rules(&self, query: &Query) -> ApiResult<Response> {
        let mut all = Store::default();
        for rule in self.groups.visible().flat_map(|group| &group.rules) {
            all.insert(rule.clone());
        }
        self.list(&all, query, FIELDS).map(Response::Rules)
    }

    pub(super) fn describe_rules_anew(
        &mut self,
        group: &str,
        direction: Direction,
        permissions: &[Permission],
        by_id: Vec<(String, Option<String>)>,
    ) -> ApiResult<Response> {
        if by_id.is_empty() {
            let wanted = self.expand(group, direction, permissions)?;
            let held = &mut self.groups.get_mut(group)?.rules;
            for rule in wanted {
                let found = held.iter_mut().find(|other| other.same(&rule)).ok_or_else(|| {
                    ApiError::new(
                        "InvalidPermission.NotFound",
                        "The specified rule does not exist in this security group.",
                    )
                })?;
                found.description = rule.description;
            }
        } else {
            let held = &mut self.groups.get_mut(group)?.rules;
            for (id, description) in by_id {
                let found = held
                    .iter_mut()
                    .find(|rule| rule.id == id && rule.direction == direction)
                    .ok_or_else(|| Store::<GroupRule>::unknown(&id))?;
                found.description = described(&description)?;
            }
        }
        Ok(Response::Done)
    }
}
