//! Planning: `(Spec, Observed) -> Plan`, pure and deterministic.
//!
//! No clock, randomness, network or async in here. What is printed is what will run, because both
//! read the same data.

mod down;
mod step;
#[cfg(test)]
mod tests;
mod up;

use serde::Serialize;
use thiserror::Error;

use crate::network::Proof;
use crate::ports::{CloudState, Offer, Scope};

pub use down::down;
pub use step::{Action, Change, Step, StepId};
pub use up::up;

/// What planning knows of the world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// Whose resources these are.
    pub scope: Scope,
    /// What exists, by tags.
    pub cloud: CloudState,
    /// The zone and the architectures of the instance types. Absent when nothing is to be launched.
    pub offer: Option<Offer>,
    /// AMI id by architecture. Empty when nothing is to be launched.
    pub images: std::collections::BTreeMap<String, String>,
    /// The cluster's SSH public key, comment dropped.
    pub public_key: String,
}

/// What will run, and what stays as it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Steps in an order in which they could run one by one.
    pub steps: Vec<Step>,
    /// Resources that stay, with their ids.
    pub keeps: Vec<Kept>,
    /// How many of each.
    pub summary: Summary,
    /// The proof that the planned groups let every required flow pass. Absent for `down`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Proof>,
}

/// A resource that is as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// What it is in the plan's words: `vpc`, `instance general-1`.
    pub resource: String,
    /// Its id.
    pub id: String,
}

/// Resources by what happens to them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Made.
    pub create: usize,
    /// Altered in place.
    pub change: usize,
    /// Left alone.
    pub keep: usize,
    /// Removed.
    pub destroy: usize,
}

/// Why there is no plan.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum PlanError {
    /// Something holds a name that we need and is not ours.
    #[error("{count} resource(s) hold names of this cluster without being part of it", count = .0.len())]
    Foreign(Vec<crate::ports::Foreign>),
    /// The planned groups do not let everything pass that must.
    #[error("the planned security groups stop {count} flow(s) that the cluster needs", count = .0.counterexamples.len())]
    NotProven(Box<Proof>),
    /// The spec asks for something that cannot be changed in place.
    #[error("{resource} is {is} and the spec says {wanted}: that cannot be changed while it exists")]
    Immutable {
        /// What.
        resource: String,
        /// Its value in the cloud.
        is: String,
        /// The spec's.
        wanted: String,
    },
    /// An instance of ours that the spec does not name.
    #[error("instance {id} is node {node}, which the spec does not name")]
    Unexpected {
        /// `i-...`.
        id: String,
        /// Node name from its tags.
        node: String,
    },
    /// A node with more than one instance.
    #[error("node {node} has {} instances: {}", ids.len(), ids.join(", "))]
    Twice {
        /// Node.
        node: String,
        /// `i-...`.
        ids: Vec<String>,
    },
    /// A node that has come to a state that only a person should decide about.
    #[error("instance {id} of node {node} is {state}")]
    NotRunning {
        /// `i-...`.
        id: String,
        /// Node.
        node: String,
        /// Its state.
        state: crate::ports::InstanceState,
    },
    /// The control plane is gone while workers still belong to it.
    #[error("node {node} has no instance while others of its cluster are in use: its etcd data is lost")]
    ControlPlaneLost {
        /// Node.
        node: String,
    },
}

impl Plan {
    /// Sums up and seals a plan.
    fn new(steps: Vec<Step>, keeps: Vec<Kept>, network: Option<Proof>) -> Self {
        let count = |change| steps.iter().filter(|step| step.change == change).map(Step::resources).sum();
        let summary = Summary {
            create: count(Change::Create),
            change: count(Change::Change),
            keep: keeps.len(),
            destroy: count(Change::Destroy),
        };
        Self { steps, keeps, summary, network }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}
