//! The judgement of what EC2 lists.

use aws_sdk_ec2::types::{
    GroupIdentifier, InstanceBlockDeviceMapping, InstanceStateName, InternetGatewayAttachment, ResourceType,
    Route, RouteState, RouteTableAssociation,
};

use super::*;
use crate::ec2::convert::{new_tag, tags};

fn scope() -> Scope {
    Scope { id: "books-3f9a2c81".into(), name: "books".into() }
}

fn carrying(kind: ResourceType, id: &str) -> TagDescription {
    TagDescription::builder().resource_type(kind).resource_id(id).build()
}

fn vpc(id: &str) -> ec2::Vpc {
    ec2::Vpc::builder().vpc_id(id).cidr_block("10.0.0.0/16").build()
}

fn subnet(id: &str, vpc: &str) -> ec2::Subnet {
    ec2::Subnet::builder().subnet_id(id).vpc_id(vpc).cidr_block("10.0.0.0/20").build()
}

fn group(id: &str, name: &str, vpc: &str, logical: Option<&str>) -> ec2::SecurityGroup {
    let tags = logical.map(|logical| tags(&scope(), logical));
    ec2::SecurityGroup::builder().group_id(id).group_name(name).vpc_id(vpc).set_tags(tags).build()
}

fn instance(id: &str, state: InstanceStateName, logical: &str) -> ec2::Instance {
    let volume = ec2::EbsInstanceBlockDevice::builder().volume_id(format!("vol-of-{id}")).build();
    ec2::Instance::builder()
        .instance_id(id)
        .subnet_id("subnet-1")
        .state(ec2::InstanceState::builder().name(state).build())
        .block_device_mappings(InstanceBlockDeviceMapping::builder().ebs(volume).build())
        .security_groups(GroupIdentifier::builder().group_id("sg-1").build())
        .set_tags(Some(tags(&scope(), logical)))
        .build()
}

#[test]
fn nothing_listed_is_nothing_there() {
    assert_eq!(assemble(&scope(), &Lists::default()), CloudState::default());
}

#[test]
fn of_two_vpcs_the_one_in_use_counts_and_the_other_is_named_as_left_over() {
    let lists = Lists {
        vpcs: vec![vpc("vpc-1"), vpc("vpc-2")],
        subnets: vec![subnet("subnet-1", "vpc-2")],
        carrying_id: vec![
            carrying(ResourceType::Vpc, "vpc-1"),
            carrying(ResourceType::Vpc, "vpc-2"),
            carrying(ResourceType::Subnet, "subnet-1"),
        ],
        ..Lists::default()
    };
    let state = assemble(&scope(), &lists);
    assert_eq!(state.vpc.unwrap().id, "vpc-2");
    assert_eq!(state.others, [OtherResource { kind: "vpc".into(), id: "vpc-1".into() }]);
}

#[test]
fn a_route_into_a_deleted_gateway_is_no_route() {
    let table = |state: RouteState| {
        let route = Route::builder().destination_cidr_block("0.0.0.0/0").gateway_id("igw-1").state(state);
        let association =
            RouteTableAssociation::builder().route_table_association_id("rtbassoc-1").subnet_id("subnet-1");
        Lists {
            subnets: vec![subnet("subnet-1", "vpc-1")],
            tables: vec![
                ec2::RouteTable::builder()
                    .route_table_id("rtb-1")
                    .routes(route.build())
                    .associations(association.build())
                    .build(),
            ],
            ..Lists::default()
        }
    };
    let active = assemble(&scope(), &table(RouteState::Active)).route_table.unwrap();
    assert_eq!(active.default_gateway.as_deref(), Some("igw-1"));
    assert_eq!(active.association.as_deref(), Some("rtbassoc-1"));
    let hole = assemble(&scope(), &table(RouteState::Blackhole)).route_table.unwrap();
    assert_eq!(hole.default_gateway, None);
}

#[test]
fn a_gateway_that_is_not_attached_says_so() {
    let attached = ec2::InternetGateway::builder()
        .internet_gateway_id("igw-2")
        .attachments(InternetGatewayAttachment::builder().vpc_id("vpc-1").build())
        .build();
    let loose = ec2::InternetGateway::builder().internet_gateway_id("igw-1").build();
    let mut lists = Lists { vpcs: vec![vpc("vpc-1")], gateways: vec![loose.clone()], ..Lists::default() };
    assert_eq!(assemble(&scope(), &lists).gateway, Some(Gateway { id: "igw-1".into(), vpc: None }));
    lists.gateways.push(attached);
    assert_eq!(
        assemble(&scope(), &lists).gateway,
        Some(Gateway { id: "igw-2".into(), vpc: Some("vpc-1".into()) })
    );
}

#[test]
fn what_only_shares_a_name_is_foreign_and_never_ours() {
    let ours = group("sg-1", "kubestrap-books-nodes", "vpc-1", Some("group/nodes"));
    let lists = Lists {
        groups: vec![ours.clone()],
        named_groups: vec![ours, group("sg-9", "kubestrap-books-control-plane", "vpc-9", None)],
        keys: vec![
            ec2::KeyPairInfo::builder().key_pair_id("key-9").key_name("kubestrap-books-3f9a2c81").build(),
        ],
        carrying_id: vec![carrying(ResourceType::SecurityGroup, "sg-1")],
        carrying_name: vec![
            carrying(ResourceType::SecurityGroup, "sg-1"),
            carrying(ResourceType::Instance, "i-9"),
        ],
        ..Lists::default()
    };
    let state = assemble(&scope(), &lists);
    assert_eq!(state.groups.keys().collect::<Vec<_>>(), ["nodes"]);
    assert_eq!(state.key_pair, None);
    let foreign: Vec<String> =
        state.foreign.iter().map(|it| format!("{} {} {}", it.kind, it.id, it.name)).collect();
    assert_eq!(
        foreign,
        [
            "instance i-9 books",
            "key pair key-9 kubestrap-books-3f9a2c81",
            "security group sg-9 kubestrap-books-control-plane",
        ]
    );
}

#[test]
fn a_key_pair_of_ours_is_read_without_the_comment() {
    let pair = ec2::KeyPairInfo::builder()
        .key_pair_id("key-1")
        .key_name("kubestrap-books-3f9a2c81")
        .public_key("ssh-ed25519 AAAAC3 someone@somewhere\n")
        .set_tags(Some(tags(&scope(), "key-pair")))
        .build();
    let state = assemble(&scope(), &Lists { keys: vec![pair], ..Lists::default() });
    assert_eq!(state.key_pair.unwrap().public_key.as_deref(), Some("ssh-ed25519 AAAAC3"));
}

#[test]
fn terminating_instances_are_there_and_terminated_ones_are_not() {
    let lists = Lists {
        instances: vec![
            instance("i-1", InstanceStateName::Terminated, "node/general-1"),
            instance("i-2", InstanceStateName::ShuttingDown, "node/general-2"),
            instance("i-3", InstanceStateName::Running, "node/general-10"),
        ],
        ..Lists::default()
    };
    let names: Vec<String> = assemble(&scope(), &lists).instances.into_iter().map(|it| it.node).collect();
    assert_eq!(names, ["general-2", "general-10"]);
}

#[test]
fn a_volume_is_left_over_once_its_instance_is_gone() {
    let mut lists = Lists {
        instances: vec![instance("i-1", InstanceStateName::Running, "node/general-1")],
        carrying_id: vec![
            carrying(ResourceType::Instance, "i-1"),
            carrying(ResourceType::Volume, "vol-of-i-1"),
            carrying(ResourceType::ElasticIp, "eipalloc-1"),
        ],
        ..Lists::default()
    };
    let kinds = |lists: &Lists| {
        assemble(&scope(), lists)
            .others
            .into_iter()
            .map(|it| format!("{} {}", it.kind, it.id))
            .collect::<Vec<_>>()
    };
    assert_eq!(kinds(&lists), ["elastic-ip eipalloc-1"]);
    lists.instances = vec![instance("i-1", InstanceStateName::Terminated, "node/general-1")];
    assert_eq!(kinds(&lists), ["elastic-ip eipalloc-1", "volume vol-of-i-1"]);
}

#[test]
fn a_group_that_somebody_tagged_without_a_logical_name_is_left_over_not_lost() {
    let mut odd = group("sg-7", "kubestrap-books-odd", "vpc-1", None);
    odd.tags = Some(vec![new_tag(tag::CLUSTER, "books-3f9a2c81")]);
    let lists = Lists {
        groups: vec![odd.clone()],
        named_groups: vec![odd],
        carrying_id: vec![carrying(ResourceType::SecurityGroup, "sg-7")],
        ..Lists::default()
    };
    let state = assemble(&scope(), &lists);
    assert!(state.foreign.is_empty());
    assert_eq!(state.others, [OtherResource { kind: "security-group".into(), id: "sg-7".into() }]);
}
