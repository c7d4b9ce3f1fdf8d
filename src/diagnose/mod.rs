//! Diagnosis: collect [`Evidence`] from the cluster and the cloud, then judge it with pure rules.
//!
//! [`Collector::diagnose`] does both; [`fix_and_verify`] mends what it may and collects again.

mod collect;
mod evidence;
mod fix;
mod report;
mod rules;

pub use collect::{Collector, Witness};
pub use evidence::{
    AbsentEvidence, Answer, ApiState, CloudEvidence, ClusterEvidence, Evidence, FlowEnd, FlowEvidence,
    GroupEvidence, Lookup, MemberEvidence, NodeEvidence, PodEvidence, ProbeEvidence, ProbeOutcome,
    ServiceEvidence, Target, Transport,
};
pub use fix::{Fix, fix_and_verify, fixes};
pub use report::{Check, CheckState, Finding, FixCommand, Report, Severity, Verdict, render};
pub use rules::judge;
