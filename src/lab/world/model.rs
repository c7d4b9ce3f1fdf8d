//! The resources: what the world remembers about each of them.

use std::net::Ipv4Addr;

use ipnet::{Ipv4Net, Ipv6Net};

use super::Time;
use super::store::{Resource, Tags};
use crate::network::{Direction, PortRange, Protocol};

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    /// `vpc-...`.
    pub id: String,
    /// Address range.
    pub cidr: Ipv4Net,
    /// `vpc-cidr-assoc-...`.
    pub cidr_association: String,
    /// `dopt-...`.
    pub dhcp_options: String,
    /// Whether the resolver answers.
    pub dns_support: bool,
    /// Whether instances get public names.
    pub dns_hostnames: bool,
    /// Tags.
    pub tags: Tags,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// `subnet-...`.
    pub id: String,
    /// `vpc-...`.
    pub vpc: String,
    /// Address range.
    pub cidr: Ipv4Net,
    /// Zone name.
    pub zone: String,
    /// Whether launches here get a public address unless they say otherwise.
    pub map_public_ip: bool,
    /// Tags.
    pub tags: Tags,
}

/// An internet gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternetGateway {
    /// `igw-...`.
    pub id: String,
    /// The VPC it is attached to.
    pub vpc: Option<String>,
    /// Tags.
    pub tags: Tags,
}

/// A route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    /// `rtb-...`.
    pub id: String,
    /// `vpc-...`.
    pub vpc: String,
    /// `rtbassoc-...` that makes it the main table of its VPC.
    pub main: Option<String>,
    /// `rtbassoc-...` and `subnet-...`.
    pub associations: Vec<(String, String)>,
    /// Routes apart from the local one: destination and `igw-...`.
    pub routes: Vec<(Ipv4Net, String)>,
    /// Tags.
    pub tags: Tags,
}

/// An elastic address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// `eipalloc-...`.
    pub id: String,
    /// The address.
    pub ip: Ipv4Addr,
    /// `eipassoc-...` and `eni-...`.
    pub association: Option<(String, String)>,
    /// Tags.
    pub tags: Tags,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroup {
    /// `sg-...`.
    pub id: String,
    /// Unique in the VPC.
    pub name: String,
    /// Required by EC2.
    pub description: String,
    /// `vpc-...`.
    pub vpc: String,
    /// Rules, in the order they were authorised.
    pub rules: Vec<GroupRule>,
    /// Tags.
    pub tags: Tags,
}

/// The other side of a rule in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulePeer {
    /// An IPv4 range.
    V4(Ipv4Net),
    /// An IPv6 range: kept and shown; the lab's network carries no IPv6, so it allows nothing.
    V6(Ipv6Net),
    /// `sg-...`.
    Group(String),
}

/// A rule of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRule {
    /// `sgr-...`.
    pub id: String,
    /// `sg-...` it belongs to.
    pub group: String,
    /// Which gate.
    pub direction: Direction,
    /// Protocol.
    pub protocol: Protocol,
    /// Ports, for TCP and UDP.
    pub ports: Option<PortRange>,
    /// Whom it admits.
    pub peer: RulePeer,
    /// A remark.
    pub description: Option<String>,
    /// Tags.
    pub tags: Tags,
}

/// A key pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// `key-...`.
    pub id: String,
    /// Unique in the region.
    pub name: String,
    /// One line of OpenSSH.
    pub public_key: String,
    /// `ed25519` or `rsa`.
    pub kind: String,
    /// As EC2 shows it.
    pub fingerprint: String,
    /// When it came.
    pub created: Time,
    /// Tags.
    pub tags: Tags,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// `eni-...`.
    pub id: String,
    /// `eni-attach-...`.
    pub attachment: String,
    /// `i-...`.
    pub instance: String,
    /// `vpc-...`.
    pub vpc: String,
    /// `subnet-...`.
    pub subnet: String,
    /// Zone name.
    pub zone: String,
    /// Primary address.
    pub private_ip: Ipv4Addr,
    /// Public address that comes and goes with the running instance.
    pub public_ip: Option<Ipv4Addr>,
    /// MAC.
    pub mac: String,
    /// `sg-...`.
    pub groups: Vec<String>,
    /// Drop what is neither from nor to its own address.
    pub source_dest_check: bool,
    /// A remark.
    pub description: String,
    /// When it was attached.
    pub attached: Time,
    /// Tags.
    pub tags: Tags,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// `vol-...`.
    pub id: String,
    /// `i-...`; a volume that outlives its instance has none.
    pub instance: Option<String>,
    /// e.g. `/dev/xvda`.
    pub device: String,
    /// Zone name.
    pub zone: String,
    /// GiB.
    pub size: i64,
    /// e.g. `gp3`.
    pub kind: String,
    /// IOPS.
    pub iops: i64,
    /// MiB/s, for gp3.
    pub throughput: Option<i64>,
    /// Encrypted at rest.
    pub encrypted: bool,
    /// `snap-...` of the image.
    pub snapshot: String,
    /// Goes with the instance.
    pub delete_on_termination: bool,
    /// When it was made.
    pub created: Time,
    /// Tags.
    pub tags: Tags,
}

/// State of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Launched, not yet running.
    Pending,
    /// Runs.
    Running,
    /// Told to stop.
    Stopping,
    /// Off, kept.
    Stopped,
    /// Told to go.
    ShuttingDown,
    /// Gone; a tombstone.
    Terminated,
}

impl State {
    /// EC2's name.
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Running => "running",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
            State::ShuttingDown => "shutting-down",
            State::Terminated => "terminated",
        }
    }

    /// EC2's number.
    pub fn code(self) -> u16 {
        match self {
            State::Pending => 0,
            State::Running => 16,
            State::ShuttingDown => 32,
            State::Terminated => 48,
            State::Stopping => 64,
            State::Stopped => 80,
        }
    }
}

/// Metadata options in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Session tokens required (IMDSv2 only).
    pub tokens_required: bool,
    /// Hop limit of answers.
    pub hop_limit: u8,
    /// Served at all.
    pub enabled: bool,
    /// Tags served.
    pub tags: bool,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// `i-...`.
    pub id: String,
    /// `r-...`.
    pub reservation: String,
    /// Position in its launch.
    pub launch_index: u32,
    /// `ami-...`.
    pub image: String,
    /// e.g. `t3.medium`.
    pub instance_type: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// e.g. `/dev/xvda`.
    pub root_device: String,
    /// Zone name.
    pub zone: String,
    /// `vpc-...`.
    pub vpc: String,
    /// `subnet-...`.
    pub subnet: String,
    /// Name and OpenSSH public key as they were at launch.
    pub key: Option<(String, String)>,
    /// Decoded.
    pub user_data: Option<Vec<u8>>,
    /// Whether a start gives it a public address.
    pub wants_public_ip: bool,
    /// State.
    pub state: State,
    /// When it came into this state.
    pub since: Time,
    /// Code and message of the last transition that needs one.
    pub reason: Option<(String, String)>,
    /// Launch, or last start.
    pub launched: Time,
    /// Whether the effects reported that it runs.
    pub started: bool,
    /// `eni-...`, until it is terminated.
    pub interface: Option<String>,
    /// `vol-...` of the root.
    pub volume: String,
    /// Metadata options.
    pub metadata: Metadata,
    /// Refuse TerminateInstances.
    pub disable_api_termination: bool,
    /// Refuse StopInstances.
    pub disable_api_stop: bool,
    /// Terminate when it powers itself off.
    pub terminate_on_shutdown: bool,
    /// Detailed monitoring.
    pub monitoring: bool,
    /// EBS-optimised.
    pub ebs_optimized: bool,
    /// Idempotency token of the launch.
    pub client_token: Option<String>,
    /// RebootInstances so far.
    pub reboots: u32,
    /// Tags.
    pub tags: Tags,
}

macro_rules! resources {
    ($($type:ident: $prefix:literal, $kind:literal, $noun:literal, $code:literal;)*) => {$(
        impl Resource for $type {
            const PREFIX: &'static str = $prefix;
            const KIND: &'static str = $kind;
            const NOUN: &'static str = $noun;
            const NOT_FOUND: &'static str = concat!($code, ".NotFound");
            const MALFORMED: &'static str = concat!($code, ".Malformed");

            fn id(&self) -> &str {
                &self.id
            }

            fn tags(&self) -> &Tags {
                &self.tags
            }

            fn tags_mut(&mut self) -> &mut Tags {
                &mut self.tags
            }
        }
    )*};
}

resources! {
    Vpc: "vpc-", "vpc", "vpc ID", "InvalidVpcID";
    Subnet: "subnet-", "subnet", "subnet ID", "InvalidSubnetID";
    InternetGateway: "igw-", "internet-gateway", "internetGateway ID", "InvalidInternetGatewayID";
    RouteTable: "rtb-", "route-table", "routeTable ID", "InvalidRouteTableID";
    Address: "eipalloc-", "elastic-ip", "allocation ID", "InvalidAllocationID";
    GroupRule: "sgr-", "security-group-rule", "security group rule ID", "InvalidSecurityGroupRuleId";
    KeyPair: "key-", "key-pair", "key pair ID", "InvalidKeyPair";
    Interface: "eni-", "network-interface", "networkInterface ID", "InvalidNetworkInterfaceID";
    Volume: "vol-", "volume", "volume ID", "InvalidVolumeID";
    Instance: "i-", "instance", "instance ID", "InvalidInstanceID";
}

// EC2 leaves "ID" out of the group's codes and texts.
impl Resource for SecurityGroup {
    const PREFIX: &'static str = "sg-";
    const KIND: &'static str = "security-group";
    const NOUN: &'static str = "security group";
    const NOT_FOUND: &'static str = "InvalidGroup.NotFound";
    const MALFORMED: &'static str = "InvalidGroupId.Malformed";

    fn id(&self) -> &str {
        &self.id
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}
