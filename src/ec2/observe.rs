//! What exists of a cluster: all lists at once, then one pure judgement of what they say.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{self as ec2, TagDescription};

use super::api::Api;
use super::convert::{filter, instances, ours, tag_value};
use super::error::Fault;
use super::permission::rules;
use crate::network;
use crate::ports::{
    CloudState, Foreign, Gateway, Instance, InstanceState, KeyPair, OtherResource, RouteTable, Scope,
    SecurityGroup, Subnet, Vpc, tag,
};

/// The answers of all lists, as EC2 gave them.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub vpcs: Vec<ec2::Vpc>,
    pub gateways: Vec<ec2::InternetGateway>,
    pub subnets: Vec<ec2::Subnet>,
    pub tables: Vec<ec2::RouteTable>,
    /// With the name that we need, whosever they are.
    pub keys: Vec<ec2::KeyPairInfo>,
    pub groups: Vec<ec2::SecurityGroup>,
    /// With a name that we need, whosever they are.
    pub named_groups: Vec<ec2::SecurityGroup>,
    pub instances: Vec<ec2::Instance>,
    /// Every tag that carries our cluster id: of all kinds of resources, known to us or not.
    pub carrying_id: Vec<TagDescription>,
    /// Every tag that carries our cluster's name.
    pub carrying_name: Vec<TagDescription>,
}

/// Makes one paginated list call, all pages.
macro_rules! list {
    ($api:expr, $operation:literal, $request:expr) => {
        $api.call($operation, $request.into_paginator().items().send().collect::<Result<Vec<_>, _>>())
    };
}
pub(super) use list;

impl Api {
    /// Everything of the cluster.
    pub async fn observe(&self, scope: &Scope) -> Result<CloudState, Fault> {
        let lists = self.lists(scope).await?;
        let mut state = assemble(scope, &lists);
        self.confirm(&mut state).await?;
        state.attached = self.attached(&state).await?;
        Ok(state)
    }

    /// The groups of others that our instances are in; none is asked for where there is none.
    async fn attached(&self, state: &CloudState) -> Result<Vec<SecurityGroup>, Fault> {
        let is_ours = |id: &&String| state.groups.values().any(|group| group.id == **id);
        let ids: BTreeSet<&String> =
            state.instances.iter().flat_map(|it| &it.groups).filter(|id| !is_ours(id)).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let request = self.ec2.describe_security_groups().filters(filter("group-id", ids));
        let found = list!(self, "DescribeSecurityGroups", request).await?;
        Ok(found.iter().filter_map(security_group).collect())
    }

    async fn lists(&self, scope: &Scope) -> Result<Lists, Fault> {
        let ec2 = &self.ec2;
        let tagged = |key: &str, value: &str| [filter("key", [key]), filter("value", [value])];
        let by_id = tagged(tag::CLUSTER, &scope.id);
        let by_name = tagged(tag::NAME, &scope.name);
        // Exact names: a prefix would also find the groups of a cluster whose name begins with this one's.
        let wanted = [network::CONTROL_PLANE, network::NODES].map(|it| network::group_name(&scope.name, it));
        let group_names = filter("group-name", wanted);
        let key_names = filter("key-name", [format!("kubestrap-{}", scope.id)]);
        let (
            vpcs,
            gateways,
            subnets,
            tables,
            keys,
            groups,
            named_groups,
            reservations,
            carrying_id,
            carrying_name,
        ) = tokio::try_join!(
            list!(self, "DescribeVpcs", ec2.describe_vpcs().filters(ours(scope))),
            list!(self, "DescribeInternetGateways", ec2.describe_internet_gateways().filters(ours(scope))),
            list!(self, "DescribeSubnets", ec2.describe_subnets().filters(ours(scope))),
            list!(self, "DescribeRouteTables", ec2.describe_route_tables().filters(ours(scope))),
            self.call(
                "DescribeKeyPairs",
                ec2.describe_key_pairs().filters(key_names).include_public_key(true).send()
            ),
            list!(self, "DescribeSecurityGroups", ec2.describe_security_groups().filters(ours(scope))),
            list!(self, "DescribeSecurityGroups", ec2.describe_security_groups().filters(group_names)),
            list!(self, "DescribeInstances", ec2.describe_instances().filters(ours(scope))),
            list!(self, "DescribeTags", ec2.describe_tags().set_filters(Some(by_id.to_vec()))),
            list!(self, "DescribeTags", ec2.describe_tags().set_filters(Some(by_name.to_vec()))),
        )?;
        Ok(Lists {
            vpcs,
            gateways,
            subnets,
            tables,
            keys: keys.key_pairs.unwrap_or_default(),
            groups,
            named_groups,
            instances: reservations.into_iter().flat_map(|it| it.instances.unwrap_or_default()).collect(),
            carrying_id,
            carrying_name,
        })
    }

    /// Instances by id; ids that EC2 does not know are left out (a filter, unlike an id parameter,
    /// does not fail for them).
    pub async fn instances_by_id(&self, ids: &[String]) -> Result<Vec<Instance>, Fault> {
        let mut found = Vec::new();
        for ids in ids.chunks(200) {
            let request = self.ec2.describe_instances().filters(filter("instance-id", ids));
            let reservations = list!(self, "DescribeInstances", request).await?;
            found.extend(reservations.into_iter().flat_map(|it| it.instances.unwrap_or_default()));
        }
        Ok(instances(&found))
    }
}

/// Judges the lists. Where one of a kind is expected and EC2 has several (a create whose answer was
/// lost), the one in use counts and the rest are `others`.
pub(super) fn assemble(scope: &Scope, lists: &Lists) -> CloudState {
    let subnet_of = |instance: &ec2::Instance| instance.subnet_id().map(str::to_owned);
    let used: Option<String> = lists.instances.iter().filter(|it| lives(it)).find_map(subnet_of);
    let subnet = pick(&lists.subnets, |it| it.subnet_id(), |it| it.subnet_id() == used.as_deref());
    let vpc_of = subnet.and_then(|it| it.vpc_id()).or(lists.groups.iter().find_map(|it| it.vpc_id()));
    let vpc = pick(&lists.vpcs, |it| it.vpc_id(), |it| it.vpc_id() == vpc_of);
    let vpc_id = vpc.and_then(|it| it.vpc_id());
    let attachment = |it: &ec2::InternetGateway| it.attachments().iter().find_map(|it| it.vpc_id.clone());
    let gateway =
        pick(&lists.gateways, |it| it.internet_gateway_id(), |it| attachment(it).as_deref() == vpc_id);
    let subnet_id = subnet.and_then(|it| it.subnet_id());
    let table = pick(&lists.tables, |it| it.route_table_id(), |it| association(it, subnet_id).is_some());

    let mut state = CloudState {
        vpc: vpc.and_then(|it| {
            Some(Vpc {
                id: it.vpc_id.clone()?,
                cidr: it.cidr_block()?.parse().ok()?,
                built: tag_value(it.tags(), tag::BUILT).map(str::to_owned),
            })
        }),
        gateway: gateway
            .and_then(|it| Some(Gateway { id: it.internet_gateway_id.clone()?, vpc: attachment(it) })),
        subnet: subnet.and_then(|it| {
            Some(Subnet {
                id: it.subnet_id.clone()?,
                cidr: it.cidr_block()?.parse().ok()?,
                zone: it.availability_zone.clone().unwrap_or_default(),
            })
        }),
        route_table: table.and_then(|it| {
            Some(RouteTable {
                id: it.route_table_id.clone()?,
                default_gateway: default_gateway(it).map(str::to_owned),
                association: association(it, subnet_id),
            })
        }),
        key_pair: lists.keys.iter().find(|it| is_ours(scope, it.tags())).and_then(key_pair),
        groups: groups(&lists.groups, vpc_id),
        instances: instances(lists.instances.iter().filter(|it| lives(it))),
        attached: Vec::new(),
        foreign: Vec::new(),
        others: Vec::new(),
    };
    state.foreign = foreign(scope, lists);
    state.others = others(&state, lists);
    state
}

fn lives(instance: &ec2::Instance) -> bool {
    super::convert::state(instance) != InstanceState::Terminated
}

fn is_ours(scope: &Scope, tags: &[ec2::Tag]) -> bool {
    tag_value(tags, tag::CLUSTER) == Some(&scope.id)
}

/// The preferred one, or else the lowest id: the same choice whatever the order.
fn pick<T>(all: &[T], id: impl Fn(&T) -> Option<&str>, preferred: impl Fn(&T) -> bool) -> Option<&T> {
    all.iter().filter(|it| id(it).is_some()).min_by_key(|it| (!preferred(it), id(it).map(str::to_owned)))
}

/// The association of a table with a subnet.
pub(super) fn association(table: &ec2::RouteTable, subnet: Option<&str>) -> Option<String> {
    let found = table.associations().iter().find(|it| subnet.is_some() && it.subnet_id() == subnet)?;
    found.route_table_association_id.clone()
}

/// Where 0.0.0.0/0 goes. A route whose gateway is gone (a black hole) goes nowhere.
pub(super) fn default_gateway(table: &ec2::RouteTable) -> Option<&str> {
    let is_default = |it: &&ec2::Route| it.destination_cidr_block() == Some("0.0.0.0/0");
    let route = table.routes().iter().find(is_default)?;
    route.gateway_id().filter(|_| route.state() != Some(&ec2::RouteState::Blackhole))
}

fn key_pair(pair: &ec2::KeyPairInfo) -> Option<KeyPair> {
    Some(KeyPair {
        id: pair.key_pair_id.clone()?,
        name: pair.key_name.clone()?,
        public_key: pair.public_key().map(without_comment),
    })
}

/// `ssh-ed25519 AAAA... comment` without the comment.
pub(super) fn without_comment(key: &str) -> String {
    key.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// Our groups by logical name; of two with one name, the one in our VPC.
fn groups(found: &[ec2::SecurityGroup], vpc: Option<&str>) -> BTreeMap<String, SecurityGroup> {
    let mut groups: BTreeMap<String, SecurityGroup> = BTreeMap::new();
    let mut found: Vec<&ec2::SecurityGroup> = found.iter().collect();
    found.sort_by_key(|it| (it.vpc_id() != vpc, it.group_id.clone()));
    for group in found {
        let logical = tag_value(group.tags(), tag::LOGICAL).and_then(|it| it.strip_prefix("group/"));
        if let (Some(logical), Some(group)) = (logical, security_group(group)) {
            groups.entry(logical.to_owned()).or_insert(group);
        }
    }
    groups
}

fn security_group(group: &ec2::SecurityGroup) -> Option<SecurityGroup> {
    Some(SecurityGroup {
        id: group.group_id.clone()?,
        name: group.group_name.clone()?,
        ingress: rules(group.ip_permissions()),
        egress: rules(group.ip_permissions_egress()),
    })
}

/// Who holds a name that we need, or says to be of our cluster and is not.
fn foreign(scope: &Scope, lists: &Lists) -> Vec<Foreign> {
    let mut found: BTreeMap<String, Foreign> = BTreeMap::new();
    for group in lists.named_groups.iter().filter(|it| !is_ours(scope, it.tags())) {
        let id = group.group_id().unwrap_or_default().to_owned();
        let name = group.group_name().unwrap_or_default().to_owned();
        found.insert(id.clone(), Foreign { kind: "security group".into(), id, name });
    }
    for pair in lists.keys.iter().filter(|it| !is_ours(scope, it.tags())) {
        let id = pair.key_pair_id().unwrap_or_default().to_owned();
        let name = pair.key_name().unwrap_or_default().to_owned();
        found.insert(id.clone(), Foreign { kind: "key pair".into(), id, name });
    }
    let carrying_id: BTreeSet<&str> = lists.carrying_id.iter().filter_map(|it| it.resource_id()).collect();
    for tag in &lists.carrying_name {
        if let (Some(id), Some(kind)) = (tag.resource_id(), tag.resource_type())
            && !carrying_id.contains(id)
        {
            let foreign =
                Foreign { kind: kind.as_str().to_owned(), id: id.to_owned(), name: scope.name.clone() };
            found.entry(id.to_owned()).or_insert(foreign);
        }
    }
    found.into_values().collect()
}

/// What carries our id and is none of what `state` holds, nor part of an instance that lives.
fn others(state: &CloudState, lists: &Lists) -> Vec<OtherResource> {
    let singles = [
        state.vpc.as_ref().map(|it| &it.id),
        state.gateway.as_ref().map(|it| &it.id),
        state.subnet.as_ref().map(|it| &it.id),
        state.route_table.as_ref().map(|it| &it.id),
        state.key_pair.as_ref().map(|it| &it.id),
    ];
    let mut known: BTreeSet<&str> = singles.into_iter().flatten().map(String::as_str).collect();
    known.extend(state.groups.values().map(|it| it.id.as_str()));
    for instance in &lists.instances {
        known.extend(instance.instance_id());
        if lives(instance) {
            let mappings = instance.block_device_mappings().iter();
            known.extend(mappings.filter_map(|it| it.ebs()?.volume_id()));
            known.extend(instance.network_interfaces().iter().filter_map(|it| it.network_interface_id()));
        }
    }
    let mut others: Vec<OtherResource> = lists
        .carrying_id
        .iter()
        .filter_map(|tag| Some((tag.resource_id()?, tag.resource_type()?.as_str())))
        .filter(|(id, _)| !known.contains(id))
        .map(|(id, kind)| OtherResource { kind: kind.to_owned(), id: id.to_owned() })
        .collect();
    others.sort();
    others.dedup();
    others
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
