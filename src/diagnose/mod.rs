//! Diagnosis: collect [`Evidence`] from the cluster and the cloud, then judge it with pure rules.

mod evidence;

pub use evidence::{
    Answer, ApiState, CloudEvidence, ClusterEvidence, Evidence, FlowEnd, FlowEvidence, GroupEvidence, Lookup,
    MemberEvidence, NodeEvidence, PodEvidence, ProbeEvidence, ProbeOutcome, ServiceEvidence, Target,
    Transport,
};
