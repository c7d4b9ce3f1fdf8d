//! EC2, as the engine needs it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::state::{
    CloudState, Foreign, Gateway, Instance, InstanceState, KeyPair, OtherResource, RouteTable, SecurityGroup,
    Subnet, Vpc,
};
use crate::network::{Direction, Rule};

mod state;

/// Tag keys. Every resource carries all of [`CLUSTER`](tag::CLUSTER), [`NAME`](tag::NAME) and
/// [`LOGICAL`](tag::LOGICAL) from the call that creates it.
pub mod tag {
    /// Cluster id: what makes a resource ours.
    pub const CLUSTER: &str = "kubestrap:cluster-id";
    /// Cluster name, for people.
    pub const NAME: &str = "kubestrap:cluster";
    /// Logical name of the resource in the plan, e.g. `group/nodes`, `node/general-1`.
    pub const LOGICAL: &str = "kubestrap:logical";
    /// On the VPC: what the cluster was built as and cannot be changed into something else.
    pub const BUILT: &str = "kubestrap:built";
    /// How far a node came: see [`NodePhase`](super::NodePhase).
    pub const PHASE: &str = "kubestrap:phase";
}

/// Which cluster's resources a call is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scope {
    /// `books-3f9a2c81`: name, then a digest of account, region and name.
    pub id: String,
    /// Cluster name.
    pub name: String,
}

/// How far a node has come, kept as a tag on its instance: the cloud's tags are the only record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodePhase {
    /// Launched; nothing is known to be done on it.
    #[default]
    Launched,
    /// kubeadm finished on it: initialised or joined.
    Joined,
    /// The cluster it belongs to was seen Ready with it.
    Ready,
}

/// Something to create. Every variant is tagged in the creating call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Create {
    /// A VPC.
    Vpc {
        /// Range.
        cidr: Ipv4Net,
        /// What the cluster is built as; becomes a tag.
        built: String,
    },
    /// An internet gateway; attached to the VPC right after.
    Gateway {
        /// `vpc-...`.
        vpc: String,
    },
    /// A subnet that gives public addresses on launch.
    Subnet {
        /// `vpc-...`.
        vpc: String,
        /// Range.
        cidr: Ipv4Net,
        /// Zone.
        zone: String,
    },
    /// A route table with 0.0.0.0/0 to the gateway, associated with the subnet.
    RouteTable {
        /// `vpc-...`.
        vpc: String,
        /// `igw-...`.
        gateway: String,
        /// `subnet-...`.
        subnet: String,
    },
    /// A key pair from our public key.
    KeyPair {
        /// Name.
        name: String,
        /// OpenSSH format.
        public_key: String,
    },
    /// A security group without rules beyond EC2's default egress.
    SecurityGroup {
        /// `vpc-...`.
        vpc: String,
        /// Logical name.
        logical: String,
        /// Group name.
        name: String,
        /// For people.
        description: String,
    },
}

/// Instances of one pool, to launch in one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Launch {
    /// Idempotency token, at most 64 ASCII characters: the same call again is the same instances.
    pub client_token: String,
    /// Node names; one instance each, tagged right after in launch order when there are several.
    pub nodes: Vec<String>,
    /// Pool name.
    pub pool: String,
    /// `ami-...`.
    pub image: String,
    /// e.g. `t3.medium`.
    pub instance_type: String,
    /// `subnet-...`.
    pub subnet: String,
    /// Security group ids.
    pub groups: Vec<String>,
    /// Key pair name.
    pub key_name: String,
    /// cloud-init user data, plain text.
    #[serde(skip)]
    pub user_data: String,
    /// Root volume, GiB.
    pub disk_gib: u16,
}

/// A thing to delete, by id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delete {
    /// Terminate these instances.
    Instances(Vec<String>),
    /// A security group.
    SecurityGroup(String),
    /// A route table, with its association dissolved first.
    RouteTable {
        /// `rtb-...`.
        id: String,
        /// Association id.
        association: Option<String>,
    },
    /// A subnet.
    Subnet(String),
    /// An internet gateway, detached first.
    Gateway {
        /// `igw-...`.
        id: String,
        /// `vpc-...` it is attached to.
        vpc: Option<String>,
    },
    /// A VPC.
    Vpc(String),
    /// A key pair, by id.
    KeyPair(String),
}

/// What an EC2 call can end in, by what a caller can do about it.
#[derive(Debug, Error)]
pub enum CloudError {
    /// No credentials, or expired or refused ones. Exit code 4.
    #[error("EC2 did not accept the credentials: {message}")]
    Credentials {
        /// What the SDK or the service said.
        message: String,
    },
    /// The credentials are valid and may not do this.
    #[error("{operation} is not allowed: {message}")]
    Forbidden {
        /// The API operation.
        operation: &'static str,
        /// What EC2 said.
        message: String,
    },
    /// Nothing answers at the endpoint.
    #[error("nothing answers at {endpoint}: {message}")]
    Unreachable {
        /// URL, or the region's default.
        endpoint: String,
        /// The transport error.
        message: String,
    },
    /// EC2 has no capacity, or a quota is used up.
    #[error("{operation}: {code}: {message}")]
    Capacity {
        /// The API operation.
        operation: &'static str,
        /// EC2's error code.
        code: String,
        /// What EC2 said.
        message: String,
    },
    /// Something else still uses the thing to be deleted.
    #[error("{operation}: {message}")]
    InUse {
        /// The API operation.
        operation: &'static str,
        /// What EC2 said.
        message: String,
    },
    /// The name is taken.
    #[error("{operation}: {code}: {message}")]
    Duplicate {
        /// The API operation.
        operation: &'static str,
        /// EC2's error code.
        code: String,
        /// What EC2 said.
        message: String,
    },
    /// A wait ran out.
    #[error("{what} after {seconds} s")]
    Deadline {
        /// What did not come true.
        what: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Anything else EC2 said.
    #[error("{operation}: {code}: {message}")]
    Refused {
        /// The API operation.
        operation: &'static str,
        /// EC2's error code.
        code: String,
        /// What EC2 said.
        message: String,
    },
}

/// EC2. All calls retry throttling and transport errors inside their own deadline; everything
/// created is tagged in the creating call, and a fresh id that EC2 does not know yet is waited for.
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Account id of the credentials in use (STS GetCallerIdentity).
    async fn account(&self) -> Result<String, CloudError>;

    /// Everything of the cluster, by tags, all pages.
    async fn observe(&self, scope: &Scope) -> Result<CloudState, CloudError>;

    /// The first zone that offers all the types, with each type's architecture (`amd64`, `arm64`).
    /// A type or zone that does not exist is `Refused` with EC2's words.
    async fn offer(&self, zone: Option<&str>, types: &[String]) -> Result<Offer, CloudError>;

    /// The AMI id behind a public SSM parameter.
    async fn image(&self, parameter: &str) -> Result<String, CloudError>;

    /// Creates one thing and returns its id; adopts what the same cluster already has by that name.
    async fn create(&self, scope: &Scope, create: &Create) -> Result<String, CloudError>;

    /// Adds (`allow`) or removes rules of a group in one call each; a rule already so is not an error.
    async fn set_rules(
        &self,
        group: &str,
        direction: Direction,
        allow: &[Rule],
        revoke: &[Rule],
    ) -> Result<(), CloudError>;

    /// Makes an instance a member of these groups, by id, and of no others.
    async fn set_groups(&self, instance: &str, groups: &[String]) -> Result<(), CloudError>;

    /// Launches a pool's instances: IMDSv2 required, encrypted gp3 root, public address.
    async fn launch(&self, scope: &Scope, launch: &Launch) -> Result<Vec<Instance>, CloudError>;

    /// Waits until all instances are in `state`, with one batched poll for all callers. An instance
    /// that will not come to `state` by itself is an error at once, with EC2's reason. Of terminated
    /// instances EC2 may know nothing any more: these are left out of the answer.
    async fn await_state(&self, ids: &[String], state: InstanceState) -> Result<Vec<Instance>, CloudError>;

    /// Sets the phase tag of instances.
    async fn mark(&self, ids: &[String], phase: NodePhase) -> Result<(), CloudError>;

    /// Deletes one thing; what is already gone is not an error.
    async fn delete(&self, delete: &Delete) -> Result<(), CloudError>;

    /// The last lines of an instance's console, when EC2 has them.
    async fn console(&self, instance: &str) -> Result<String, CloudError>;
}

/// What a zone offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// Zone name.
    pub zone: String,
    /// Architecture by instance type.
    pub arch: BTreeMap<String, String>,
}
