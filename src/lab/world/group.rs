//! Security groups.

use ipnet::Ipv4Net;

use super::World;
use super::error::{ApiError, ApiResult};
use super::model::{GroupRule, RulePeer, SecurityGroup};
use super::query::{Field, Query};
use super::request::TagSpec;
use super::response::Response;
use super::store::{Resource, Tags};
use super::tag::tags_for;
use crate::network::{Direction, Protocol};

/// Punctuation that descriptions may have.
const PUNCTUATION: &str = " ._-:/()#,@[]+=&;{}!$*";

macro_rules! permission_fields {
    ($(($prefix:literal, $direction:expr)),*) => {
        &[
            ("group-id", |_, group: &SecurityGroup| vec![group.id.clone()]),
            ("group-name", |_, group: &SecurityGroup| vec![group.name.clone()]),
            ("description", |_, group: &SecurityGroup| vec![group.description.clone()]),
            ("vpc-id", |_, group: &SecurityGroup| vec![group.vpc.clone()]),
            ("owner-id", |world: &World, _| vec![world.config.account.clone()]),
            $(
                (concat!($prefix, "ip-permission.cidr"), |_, group: &SecurityGroup| {
                    of(group, $direction, |rule| match &rule.peer {
                        RulePeer::V4(net) => Some(net.to_string()),
                        _ => None,
                    })
                }),
                (concat!($prefix, "ip-permission.ipv6-cidr"), |_, group: &SecurityGroup| {
                    of(group, $direction, |rule| match &rule.peer {
                        RulePeer::V6(net) => Some(net.to_string()),
                        _ => None,
                    })
                }),
                (concat!($prefix, "ip-permission.group-id"), |_, group: &SecurityGroup| {
                    of(group, $direction, |rule| match &rule.peer {
                        RulePeer::Group(id) => Some(id.clone()),
                        _ => None,
                    })
                }),
                (concat!($prefix, "ip-permission.protocol"), |_, group: &SecurityGroup| {
                    of(group, $direction, |rule| Some(rule.protocol.ec2_name()))
                }),
                (concat!($prefix, "ip-permission.from-port"), |_, group: &SecurityGroup| {
                    of(group, $direction, |rule| rule.ports.map(|ports| ports.from.to_string()))
                }),
                (concat!($prefix, "ip-permission.to-port"), |_, group: &SecurityGroup| {
                    of(group, $direction, |rule| rule.ports.map(|ports| ports.to.to_string()))
                }),
            )*
        ]
    };
}

/// Filters of DescribeSecurityGroups.
const FIELDS: &[Field<SecurityGroup>] =
    permission_fields!(("", Direction::Ingress), ("egress.", Direction::Egress));

fn of(
    group: &SecurityGroup,
    direction: Direction,
    value: impl Fn(&GroupRule) -> Option<String>,
) -> Vec<String> {
    group.rules.iter().filter(|rule| rule.direction == direction).filter_map(value).collect()
}

fn all_of(id: String, group: &str, direction: Direction, peer: RulePeer) -> GroupRule {
    GroupRule {
        id,
        group: group.to_owned(),
        direction,
        protocol: Protocol::All,
        ports: None,
        peer,
        description: None,
        tags: Tags::new(),
    }
}

/// The rule every new group has: everything out.
pub(super) fn default_egress(id: String, group: &str) -> GroupRule {
    all_of(id, group, Direction::Egress, RulePeer::V4(Ipv4Net::default()))
}

/// The rule the default group has besides: everything from its own members.
pub(super) fn default_ingress(id: String, group: &str) -> GroupRule {
    all_of(id, group, Direction::Ingress, RulePeer::Group(group.to_owned()))
}

/// Whether EC2 takes this text as a description or a group name.
pub(super) fn describable(text: &str) -> bool {
    text.len() <= 255
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || PUNCTUATION.as_bytes().contains(&byte))
}

impl World {
    pub(super) fn create_group(
        &mut self,
        name: String,
        description: String,
        vpc: Option<String>,
        tags: Vec<TagSpec>,
    ) -> ApiResult<Response> {
        let tags = tags_for(SecurityGroup::KIND, tags)?;
        let vpc = vpc.ok_or_else(|| {
            ApiError::new("VPCIdNotSpecified", "No default VPC for this user. Specify the VpcId parameter.")
        })?;
        self.vpcs.get(&vpc)?;
        for (parameter, text) in [("GroupName", &name), ("GroupDescription", &description)] {
            if text.is_empty() || !describable(text) {
                return Err(ApiError::value(format!(
                    "Value ({text}) for parameter {parameter} is invalid. It must have 1 to 255 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{{}}!$*"
                )));
            }
        }
        if name.starts_with("sg-") {
            return Err(ApiError::value(format!(
                "Value ({name}) for parameter GroupName is invalid. Group names may not be in the format sg-*."
            )));
        }
        if self.groups.all().any(|group| group.vpc == vpc && group.name == name) {
            return Err(ApiError::new(
                "InvalidGroup.Duplicate",
                format!("The security group '{name}' already exists for VPC '{vpc}'"),
            ));
        }
        let id = self.mint("sg-");
        let rules = vec![default_egress(self.mint("sgr-"), &id)];
        let group = SecurityGroup { id, name, description, vpc, rules, tags };
        self.groups.insert(group.clone());
        Ok(Response::Group(group))
    }

    pub(super) fn delete_group(&mut self, id: &str) -> ApiResult<Response> {
        let group = self.groups.get(id)?;
        if group.name == "default" {
            return Err(ApiError::new(
                "CannotDelete",
                format!("the specified group: \"{id}\" name: \"default\" cannot be deleted by a user"),
            ));
        }
        let worn = self.interfaces.all().any(|interface| interface.groups.iter().any(|held| held == id));
        let named = |rule: &GroupRule| matches!(&rule.peer, RulePeer::Group(peer) if peer == id);
        let referenced = self.groups.all().any(|other| other.id != id && other.rules.iter().any(named));
        if worn || referenced {
            return Err(ApiError::dependency(format!("resource {id} has a dependent object")));
        }
        self.groups.remove(id);
        Ok(Response::DeletedGroup(id.to_owned()))
    }

    pub(super) fn describe_groups(&self, query: &Query, names: &[String]) -> ApiResult<Response> {
        // Without a default VPC a name says too little; EC2 refuses it in the same way.
        if let Some(name) = names.first() {
            return Err(ApiError::new(
                "InvalidGroup.NotFound",
                format!(
                    "The security group '{name}' does not exist in default VPC. Use the group-name filter."
                ),
            ));
        }
        self.list(&self.groups, query, FIELDS).map(Response::Groups)
    }

    /// Ids and names of groups, for interfaces.
    pub(super) fn group_names(&self, ids: &[String]) -> Vec<(String, String)> {
        let name = |id: &String| self.groups.find(id).map(|group| group.name.clone()).unwrap_or_default();
        ids.iter().map(|id| (id.clone(), name(id))).collect()
    }

    /// Checks that groups exist in this VPC; none means the default one.
    ///
    /// # Errors
    /// Unknown groups, groups of another VPC, more than five.
    pub(super) fn groups_for(&self, vpc: &str, ids: &[String]) -> ApiResult<Vec<String>> {
        let mut chosen: Vec<String> = Vec::new();
        for id in ids {
            if self.groups.get(id)?.vpc != vpc {
                return Err(ApiError::new(
                    "InvalidParameter",
                    format!("Security group {id} and network {vpc} belong to different networks."),
                ));
            }
            if !chosen.contains(id) {
                chosen.push(id.clone());
            }
        }
        if chosen.len() > 5 {
            return Err(ApiError::new(
                "SecurityGroupsPerInterfaceLimitExceeded",
                "The maximum number of security groups per interface has been reached.",
            ));
        }
        if chosen.is_empty() {
            let default = |group: &&SecurityGroup| group.vpc == vpc && group.name == "default";
            chosen.extend(self.groups.all().find(default).map(|group| group.id.clone()));
        }
        Ok(chosen)
    }
}
