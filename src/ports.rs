//! The outside worlds as this program sees them: narrow ports, one adapter each.
//!
//! [`Cloud`] is EC2 (src/ec2), [`Remote`] is a shell on a node (src/ssh), [`Cluster`] is the
//! Kubernetes API (src/kube). Adapters know ports and never each other; only commands build them.

mod cloud;
mod cluster;
mod remote;

pub use cloud::*;
pub use cluster::*;
pub use remote::*;
