//! The network: which flows a cluster needs, which rules allow them, and the proof that they do.
//!
//! All of it is pure. The same [`prove()`] judges planned groups (by logical name, before anything
//! exists) and observed ones (by `sg-...` id, when something is broken).

mod cells;
mod diff;
mod excess;
mod flows;
mod groups;
mod prove;
mod repair;
mod rule;
#[cfg(test)]
mod tests;

use crate::spec::Spec;

pub use diff::{diff, normal, resolve};
pub use excess::{Excess, excess};
pub use flows::{Endpoint, Flow, required};
pub use groups::{
    CONTROL_PLANE, GroupPlan, GroupRules, NODES, default_egress, group_name, members, membership,
    plan_groups, rules_of,
};
pub use prove::{Counterexample, Gate, Member, Packet, Proof, broken_by_removal, prove};
pub use repair::{MissingRule, missing_rules};
pub use rule::{Direction, Peer, PortRange, Protocol, Rule};

/// Proves the groups that [`plan_groups`] makes of `spec` against the flows that `spec` requires.
pub fn prove_spec(spec: &Spec) -> Proof {
    prove(&required(spec), &members(spec), &rules_of(&plan_groups(spec)))
}
