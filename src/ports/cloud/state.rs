//! What exists of a cluster in EC2.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Serialize;

use super::NodePhase;
use crate::network::Rule;

/// What exists of one cluster, found by tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CloudState {
    /// The VPC.
    pub vpc: Option<Vpc>,
    /// Its internet gateway.
    pub gateway: Option<Gateway>,
    /// The public subnet.
    pub subnet: Option<Subnet>,
    /// The route table of the subnet.
    pub route_table: Option<RouteTable>,
    /// The SSH public key.
    pub key_pair: Option<KeyPair>,
    /// Security groups by logical name (`control-plane`, `nodes`).
    pub groups: BTreeMap<String, SecurityGroup>,
    /// Groups of others that our instances are in: their rules admit packets too.
    pub attached: Vec<SecurityGroup>,
    /// Instances that are not yet terminated, by logical name order; duplicates are kept.
    pub instances: Vec<Instance>,
    /// Resources that hold a name we need and do not carry our cluster id.
    pub foreign: Vec<Foreign>,
    /// Whatever else carries our cluster id, of any kind: a second VPC of a create whose answer was
    /// lost, a volume or interface that outlived its instance, an address that somebody tagged.
    pub others: Vec<OtherResource>,
}

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vpc {
    /// `vpc-...`.
    pub id: String,
    /// Address range.
    pub cidr: Ipv4Net,
    /// What the cluster in it was built as, from its tags.
    pub built: Option<String>,
}

/// An internet gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// `igw-...`.
    pub id: String,
    /// The VPC it is attached to.
    pub vpc: Option<String>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subnet {
    /// `subnet-...`.
    pub id: String,
    /// Address range.
    pub cidr: Ipv4Net,
    /// Availability zone.
    pub zone: String,
}

/// A route table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouteTable {
    /// `rtb-...`.
    pub id: String,
    /// Target of 0.0.0.0/0, if any.
    pub default_gateway: Option<String>,
    /// Association with our subnet: association id.
    pub association: Option<String>,
}

/// An EC2 key pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyPair {
    /// `key-...`.
    pub id: String,
    /// Name, unique in the region.
    pub name: String,
    /// The OpenSSH public key (`ssh-ed25519 AAAA...`, comment dropped), when the API tells it.
    pub public_key: Option<String>,
}

/// A security group with its rules; peers are group ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SecurityGroup {
    /// `sg-...`.
    pub id: String,
    /// Group name.
    pub name: String,
    /// Rules for arriving packets.
    pub ingress: Vec<Rule>,
    /// Rules for packets sent.
    pub egress: Vec<Rule>,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// `i-...`.
    pub id: String,
    /// Node name from its tags: `general-1`.
    pub node: String,
    /// Lifecycle state.
    pub state: InstanceState,
    /// e.g. `t3.medium`.
    pub instance_type: String,
    /// `amd64` or `arm64`, as Kubernetes and OCI name it.
    pub arch: String,
    /// Primary private address.
    pub private_ip: Option<Ipv4Addr>,
    /// Public address.
    pub public_ip: Option<Ipv4Addr>,
    /// Security group ids.
    pub groups: Vec<String>,
    /// From its tags.
    pub phase: NodePhase,
    /// Why it is in this state, when EC2 says (`Server.InsufficientInstanceCapacity`, ...).
    pub reason: Option<String>,
}

impl Instance {
    /// The address by which it is reached from here: the public one, where it has one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.public_ip.or(self.private_ip)
    }
}

/// EC2's instance states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Launching.
    Pending,
    /// Running.
    Running,
    /// Stopping.
    Stopping,
    /// Stopped.
    Stopped,
    /// Terminating.
    ShuttingDown,
    /// Gone; EC2 shows it for about an hour more.
    Terminated,
}

/// Something in the way: it holds a name we need but is not ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// What it is, e.g. `security group`, `key pair`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// The name it shares.
    pub name: String,
}

/// Something that carries our cluster id and that no plan knows of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OtherResource {
    /// EC2's name of its kind: `volume`, `network-interface`, `elastic-ip`, ...
    pub kind: String,
    /// Its id.
    pub id: String,
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            InstanceState::Pending => "pending",
            InstanceState::Running => "running",
            InstanceState::Stopping => "stopping",
            InstanceState::Stopped => "stopped",
            InstanceState::ShuttingDown => "shutting-down",
            InstanceState::Terminated => "terminated",
        })
    }
}
