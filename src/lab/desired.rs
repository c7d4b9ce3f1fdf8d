//! What the world asks of the effects: a plain-data projection of the EC2 state.
//!
//! The world computes a whole [`Desired`] after every change; the fabric and the machines compare
//! it with what they made last and apply the difference. Data, so it can be golden-tested.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::network::Rule;

/// Everything that must exist outside the world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// Networks, by id.
    pub vpcs: Vec<Vpc>,
    /// Instances that must have a container; one that is gone from here must be gone.
    pub machines: Vec<Machine>,
}

/// One VPC and all that decides about its packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// `vpc-...`.
    pub id: String,
    /// Address range.
    pub cidr: Ipv4Net,
    /// Whether an internet gateway is attached.
    pub internet_gateway: bool,
    /// Subnets with their effective routes.
    pub subnets: Vec<Subnet>,
    /// Security groups; an interface refers to them by id.
    pub groups: Vec<Group>,
    /// Network interfaces in use by a machine.
    pub interfaces: Vec<Interface>,
}

/// A subnet. Its first address is the router, its second (of the VPC) the resolver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// `subnet-...`.
    pub id: String,
    /// Address range.
    pub cidr: Ipv4Net,
    /// Whether the route table that applies sends 0.0.0.0/0 to the internet gateway.
    pub routes_to_internet: bool,
}

/// A security group with the rules in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// `sg-...`.
    pub id: String,
    /// Admitted to members; peers are group ids.
    pub ingress: Vec<Rule>,
    /// Admitted from members; peers are group ids.
    pub egress: Vec<Rule>,
}

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// `eni-...`.
    pub id: String,
    /// `i-...` of the machine that has it.
    pub machine: String,
    /// `subnet-...`.
    pub subnet: String,
    /// Primary private address.
    pub private_ip: Ipv4Addr,
    /// Public address mapped to it 1:1, if any.
    pub public_ip: Option<Ipv4Addr>,
    /// `sg-...` ids whose rules apply.
    pub groups: Vec<String>,
    /// Whether packets neither from nor to its own address are dropped.
    pub source_dest_check: bool,
}

/// An instance as the container engine and the metadata service see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// `i-...`.
    pub id: String,
    /// `ami-...`.
    pub image: String,
    /// e.g. `t3.medium`.
    pub instance_type: String,
    /// e.g. `ap-northeast-1a`.
    pub zone: String,
    /// Twelve digits.
    pub account: String,
    /// `r-...`.
    pub reservation: String,
    /// Position in its RunInstances call.
    pub launch_index: u32,
    /// Name and OpenSSH public key.
    pub key: Option<(String, String)>,
    /// Raw user data, already base64-decoded.
    pub user_data: Option<Vec<u8>>,
    /// Whether IMDS refuses requests without a session token.
    pub tokens_required: bool,
    /// IMDS answer hop limit.
    pub hop_limit: u8,
    /// Whether IMDS answers this machine at all.
    #[serde(default = "yes")]
    pub metadata_enabled: bool,
    /// Whether IMDS serves the tags (`instance-metadata-tags`).
    #[serde(default)]
    pub metadata_tags: bool,
    /// How often it was told to reboot; a number higher than the one it was started with asks for
    /// a restart of the container.
    #[serde(default)]
    pub reboots: u32,
    /// Tags, also served by IMDS when asked for in the launch.
    pub tags: BTreeMap<String, String>,
    /// Whether it should be powered on (a stopped instance keeps its container and disk).
    pub running: bool,
}

/// Default of [`Machine::metadata_enabled`].
fn yes() -> bool {
    true
}

/// What the effects report back to the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// The container runs and its interface is attached.
    Started {
        /// `i-...`.
        machine: String,
    },
    /// The container stopped (asked for, or died on its own).
    Stopped {
        /// `i-...`.
        machine: String,
    },
    /// The container and all it had are gone.
    Gone {
        /// `i-...`.
        machine: String,
    },
    /// What it has written to its console so far, whole: GetConsoleOutput answers with it.
    Console {
        /// `i-...`.
        machine: String,
        /// The last 64 KiB.
        text: String,
    },
    /// It could not be started; the state reason of the instance.
    Failed {
        /// `i-...`.
        machine: String,
        /// Why.
        reason: String,
    },
}
