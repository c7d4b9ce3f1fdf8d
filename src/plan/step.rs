//! A plan's steps: plain data with stable ids.

use std::fmt;

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::network::{Direction, Rule};
use crate::ports::Delete;

/// A step's name, stable from run to run: `vpc`, `rules/nodes/ingress`, `install/general-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StepId(pub String);

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Its name.
    pub id: StepId,
    /// Steps that must be done before.
    pub after: Vec<StepId>,
    /// What to do.
    #[serde(flatten)]
    pub action: Action,
    /// What it does it to, in words: `security group kubestrap-books-nodes`.
    pub resource: String,
    /// What becomes of the resource.
    pub change: Change,
    /// Why.
    pub reason: String,
}

/// What becomes of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is made.
    Create,
    /// It is altered in place.
    Change,
    /// It is removed.
    Destroy,
    /// Nothing is made or lost: something is run or waited for.
    Run,
}

/// Everything a step can be. Ids that are not known before the run are named by their logical
/// names; the engine's facts resolve them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Import the cluster's SSH public key.
    ImportKeyPair {
        /// Key pair name.
        name: String,
    },
    /// Create the VPC.
    CreateVpc {
        /// Range.
        cidr: Ipv4Net,
        /// What the cluster is built as.
        built: String,
    },
    /// Create and attach the internet gateway.
    CreateGateway,
    /// Create the public subnet.
    CreateSubnet {
        /// Range.
        cidr: Ipv4Net,
        /// Availability zone.
        zone: String,
    },
    /// Create the route table with its default route and association.
    CreateRouteTable,
    /// Create a security group, without rules.
    CreateSecurityGroup {
        /// `nodes`, `control-plane`.
        logical: String,
        /// Group name.
        name: String,
        /// For people.
        description: String,
    },
    /// Add and remove rules of a group; peers are logical names.
    SetRules {
        /// `nodes`, `control-plane`.
        group: String,
        /// Which gate.
        direction: Direction,
        /// To add.
        allow: Vec<Rule>,
        /// To remove.
        revoke: Vec<Rule>,
    },
    /// Make an instance a member of the groups of its role again.
    SetGroups {
        /// `i-...`.
        instance: String,
        /// Logical names of its role's groups.
        groups: Vec<String>,
        /// Ids of groups that are none of ours: what somebody else added stays.
        others: Vec<String>,
    },
    /// Launch a pool's missing instances in one call.
    Launch {
        /// Pool name.
        pool: String,
        /// Node names.
        nodes: Vec<String>,
        /// AMI id.
        image: String,
        /// Instance type.
        instance_type: String,
        /// Root volume, GiB.
        disk_gib: u16,
        /// Logical names of its groups.
        groups: Vec<String>,
    },
    /// Wait for a node to run, log in, pin its host key.
    Connect {
        /// Node.
        node: String,
    },
    /// Install the container runtime and Kubernetes packages, pull images.
    Install {
        /// Node.
        node: String,
    },
    /// `kubeadm init`; then its kubeconfig is ours.
    Initialise {
        /// Node.
        node: String,
    },
    /// Apply Calico and the DNS probe.
    InstallCni,
    /// `kubeadm join`.
    Join {
        /// Node.
        node: String,
    },
    /// Delete the bootstrap token.
    RetireToken,
    /// Wait until nodes are Ready, Calico is healthy and DNS answers from every node; record it.
    Verify {
        /// All nodes.
        nodes: Vec<String>,
    },
    /// Delete something in the cloud.
    Delete {
        /// What.
        target: Delete,
    },
    /// Remove rules of a group that name other groups, so that both can be deleted.
    Unlink {
        /// `sg-...`.
        group: String,
        /// Which gate.
        direction: Direction,
        /// Rules whose peers are group ids.
        rules: Vec<Rule>,
    },
    /// Remove the cluster's local files and its context from the user's kubeconfig.
    Forget,
}

impl Step {
    /// How many resources it makes, alters or removes.
    pub fn resources(&self) -> usize {
        match &self.action {
            Action::Launch { nodes, .. } => nodes.len(),
            Action::Delete { target: Delete::Instances(ids) } => ids.len(),
            _ => 1,
        }
    }

    /// The node that it runs on, if it is about one.
    pub fn node(&self) -> Option<&str> {
        match &self.action {
            Action::Connect { node }
            | Action::Install { node }
            | Action::Initialise { node }
            | Action::Join { node } => Some(node),
            _ => None,
        }
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for StepId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl From<String> for StepId {
    fn from(id: String) -> Self {
        Self(id)
    }
}
