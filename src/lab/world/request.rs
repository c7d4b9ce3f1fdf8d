//! The calls, typed. The wire makes these from form parameters; tests make them by hand.

use super::query::Query;
use super::store::Tags;
use crate::network::Direction;

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Only say whether it would succeed.
    pub dry_run: bool,
    /// What to do.
    pub request: Request,
}

/// Tags for what a call creates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagSpec {
    /// e.g. `instance`.
    pub resource_type: String,
    /// The tags.
    pub tags: Tags,
}

/// A set of permissions as EC2 groups them: each range and each pair is a rule of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permission {
    /// `tcp`, `udp`, `icmp`, `-1` or a number.
    pub protocol: Option<String>,
    /// First port, or ICMP type.
    pub from_port: Option<i64>,
    /// Last port, or ICMP code.
    pub to_port: Option<i64>,
    /// IPv4 ranges and descriptions.
    pub ranges: Vec<(String, Option<String>)>,
    /// IPv6 ranges and descriptions.
    pub ranges_v6: Vec<(String, Option<String>)>,
    /// Groups by id or name, and descriptions.
    pub groups: Vec<(GroupName, Option<String>)>,
}

/// How a call names a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupName {
    /// `sg-...`.
    Id(String),
    /// The name in the same VPC.
    Name(String),
}

/// The parameters of RunInstances that the lab understands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunInstances {
    /// `ami-...`.
    pub image: String,
    /// e.g. `t3.medium`; EC2's own default is `m1.small`, which the lab does not list.
    pub instance_type: String,
    /// Fewest to launch.
    pub min_count: i64,
    /// Most to launch.
    pub max_count: i64,
    /// Name of a key pair.
    pub key_name: Option<String>,
    /// Group ids.
    pub groups: Vec<String>,
    /// Where.
    pub subnet: Option<String>,
    /// Zone that the subnet must be in.
    pub zone: Option<String>,
    /// Base64.
    pub user_data: Option<String>,
    /// Wanted address.
    pub private_ip: Option<String>,
    /// Overrides the subnet's MapPublicIpOnLaunch.
    pub public_ip: Option<bool>,
    /// Whether groups and subnet came in a network interface specification.
    pub in_interface: bool,
    /// Root volume.
    pub volume: VolumeSpec,
    /// Metadata options.
    pub metadata: MetadataSpec,
    /// Tags by resource type.
    pub tags: Vec<TagSpec>,
    /// Idempotency token.
    pub client_token: Option<String>,
    /// Refuse TerminateInstances.
    pub disable_api_termination: bool,
    /// Refuse StopInstances.
    pub disable_api_stop: bool,
    /// `stop` or `terminate`.
    pub shutdown_behavior: Option<String>,
    /// Detailed monitoring.
    pub monitoring: bool,
    /// EBS-optimised.
    pub ebs_optimized: bool,
}

/// The root device mapping of a launch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeSpec {
    /// Must be the image's root device.
    pub device: Option<String>,
    /// GiB.
    pub size: Option<i64>,
    /// e.g. `gp3`.
    pub kind: Option<String>,
    /// Encrypted at rest.
    pub encrypted: Option<bool>,
    /// Default true.
    pub delete_on_termination: Option<bool>,
    /// Provisioned.
    pub iops: Option<i64>,
    /// MiB/s.
    pub throughput: Option<i64>,
}

/// Metadata options as a call gives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataSpec {
    /// `optional` or `required`.
    pub tokens: Option<String>,
    /// 1 to 64.
    pub hop_limit: Option<i64>,
    /// `enabled` or `disabled`.
    pub endpoint: Option<String>,
    /// `enabled` or `disabled`.
    pub tags: Option<String>,
}

/// One attribute change of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstanceChange {
    /// Source/destination check.
    SourceDestCheck(bool),
    /// Groups of its interface.
    Groups(Vec<String>),
    /// Termination protection.
    DisableApiTermination(bool),
    /// Stop protection.
    DisableApiStop(bool),
    /// `stop` or `terminate`.
    ShutdownBehavior(String),
    /// Only while stopped.
    InstanceType(String),
    /// Base64; only while stopped.
    UserData(String),
}

/// Every call of the lab.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "variants and fields carry the names of EC2's actions and parameters")]
pub enum Request {
    CreateVpc {
        cidr: String,
        tags: Vec<TagSpec>,
    },
    DeleteVpc {
        id: String,
    },
    DescribeVpcs(Query),
    ModifyVpcAttribute {
        id: String,
        dns_support: Option<bool>,
        dns_hostnames: Option<bool>,
    },
    DescribeVpcAttribute {
        id: String,
        attribute: String,
    },

    CreateSubnet {
        vpc: String,
        cidr: String,
        zone: Option<String>,
        zone_id: Option<String>,
        tags: Vec<TagSpec>,
    },
    DeleteSubnet {
        id: String,
    },
    DescribeSubnets(Query),
    ModifySubnetAttribute {
        id: String,
        map_public_ip: bool,
    },

    CreateInternetGateway {
        tags: Vec<TagSpec>,
    },
    DeleteInternetGateway {
        id: String,
    },
    AttachInternetGateway {
        id: String,
        vpc: String,
    },
    DetachInternetGateway {
        id: String,
        vpc: String,
    },
    DescribeInternetGateways(Query),

    CreateRouteTable {
        vpc: String,
        tags: Vec<TagSpec>,
        client_token: Option<String>,
    },
    DeleteRouteTable {
        id: String,
    },
    DescribeRouteTables(Query),
    AssociateRouteTable {
        id: String,
        subnet: String,
    },
    DisassociateRouteTable {
        association: String,
    },
    ReplaceRouteTableAssociation {
        association: String,
        id: String,
    },
    CreateRoute {
        table: String,
        destination: String,
        gateway: String,
    },
    ReplaceRoute {
        table: String,
        destination: String,
        gateway: String,
    },
    DeleteRoute {
        table: String,
        destination: String,
    },

    AllocateAddress {
        domain: Option<String>,
        tags: Vec<TagSpec>,
    },
    ReleaseAddress {
        allocation: String,
    },
    AssociateAddress {
        allocation: String,
        instance: Option<String>,
        interface: Option<String>,
        allow_reassociation: bool,
    },
    DisassociateAddress {
        association: String,
    },
    DescribeAddresses {
        query: Query,
        public_ips: Vec<String>,
    },

    CreateSecurityGroup {
        name: String,
        description: String,
        vpc: Option<String>,
        tags: Vec<TagSpec>,
    },
    DeleteSecurityGroup {
        id: String,
    },
    DescribeSecurityGroups {
        query: Query,
        names: Vec<String>,
    },
    Authorize {
        group: String,
        direction: Direction,
        permissions: Vec<Permission>,
        tags: Vec<TagSpec>,
    },
    Revoke {
        group: String,
        direction: Direction,
        permissions: Vec<Permission>,
        rule_ids: Vec<String>,
    },
    DescribeSecurityGroupRules(Query),
    UpdateRuleDescriptions {
        group: String,
        direction: Direction,
        permissions: Vec<Permission>,
        by_id: Vec<(String, Option<String>)>,
    },

    ImportKeyPair {
        name: String,
        material: String,
        tags: Vec<TagSpec>,
    },
    DeleteKeyPair {
        name: Option<String>,
        id: Option<String>,
    },
    DescribeKeyPairs {
        query: Query,
        names: Vec<String>,
        include_public_key: bool,
    },

    RunInstances(Box<RunInstances>),
    DescribeInstances(Query),
    DescribeInstanceStatus {
        query: Query,
        include_all: bool,
    },
    TerminateInstances {
        ids: Vec<String>,
    },
    StopInstances {
        ids: Vec<String>,
        force: bool,
    },
    StartInstances {
        ids: Vec<String>,
    },
    RebootInstances {
        ids: Vec<String>,
    },
    ModifyInstanceAttribute {
        id: String,
        change: InstanceChange,
    },
    DescribeInstanceAttribute {
        id: String,
        attribute: String,
    },
    ModifyInstanceMetadataOptions {
        id: String,
        metadata: MetadataSpec,
    },
    GetConsoleOutput {
        id: String,
    },

    DescribeNetworkInterfaces(Query),
    ModifyNetworkInterfaceAttribute {
        id: String,
        groups: Vec<String>,
        source_dest_check: Option<bool>,
        description: Option<String>,
    },
    DescribeVolumes(Query),

    DescribeImages {
        query: Query,
        owners: Vec<String>,
    },
    DescribeInstanceTypes(Query),
    DescribeInstanceTypeOfferings {
        query: Query,
        location_type: Option<String>,
    },
    DescribeAvailabilityZones {
        query: Query,
        zone_ids: Vec<String>,
    },
    DescribeRegions(Query),

    CreateTags {
        ids: Vec<String>,
        tags: Tags,
    },
    DeleteTags {
        ids: Vec<String>,
        tags: Vec<(String, Option<String>)>,
    },
    DescribeTags(Query),
}
