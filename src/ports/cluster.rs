//! The Kubernetes API, as the engine needs it.

use std::time::Duration;

use async_trait::async_trait;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::mpsc::UnboundedSender;

use crate::spec::Spec;

/// A node as Kubernetes reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// Node name.
    pub name: String,
    /// Condition Ready is True.
    pub ready: bool,
    /// Why it is not.
    pub reason: Option<String>,
    /// kubelet version, `v1.36.3`.
    pub version: String,
    /// `amd64`, `arm64`.
    pub arch: String,
    /// InternalIP.
    pub internal_ip: Option<String>,
}

/// A service (Deployment and Service) as Kubernetes reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Replicas wanted.
    pub replicas: i32,
    /// Replicas ready.
    pub ready: i32,
    /// NodePort, if any.
    pub node_port: Option<u16>,
}

/// A workload whose rollout can be waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Workload {
    /// `Deployment` or `DaemonSet`.
    pub kind: WorkloadKind,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// The kinds of workload that roll out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum WorkloadKind {
    /// apps/v1 Deployment.
    Deployment,
    /// apps/v1 DaemonSet.
    DaemonSet,
}

/// What a Kubernetes call can end in.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The API server does not answer.
    #[error("the API server at {endpoint} does not answer: {message}")]
    Unreachable {
        /// URL.
        endpoint: String,
        /// The transport error.
        message: String,
    },
    /// The API server refuses our certificate.
    #[error("the API server refuses these credentials: {message}")]
    Unauthorized {
        /// What it said.
        message: String,
    },
    /// An object was refused.
    #[error("{object}: {message}")]
    Refused {
        /// Kind and name.
        object: String,
        /// What the API server said.
        message: String,
    },
    /// A wait ran out; the evidence says what stands in the way.
    #[error("{what} within {seconds} s")]
    Deadline {
        /// What did not come true, e.g. `Deployment default/marketplace did not roll out`.
        what: String,
        /// Seconds waited.
        seconds: u64,
        /// Pod states, events, conditions: what was seen last.
        evidence: Vec<String>,
    },
    /// A manifest or kubeconfig that cannot be read.
    #[error("{what}: {message}")]
    Malformed {
        /// What was read.
        what: String,
        /// Why it is not understood.
        message: String,
    },
}

/// The Kubernetes API through the kube crate; no kubectl.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Waits until the API server answers `/readyz`.
    async fn await_api(&self, limit: Duration) -> Result<(), ClusterError>;

    /// Applies every object of a multi-document manifest, server-side, custom resource definitions first.
    async fn apply(&self, manifest: &str) -> Result<(), ClusterError>;

    /// Applies Calico as the spec asks for it, and the probe that looks names up from every node.
    async fn install_network(&self, spec: &Spec) -> Result<(), ClusterError>;

    /// All nodes.
    async fn nodes(&self) -> Result<Vec<NodeStatus>, ClusterError>;

    /// Watches until all the named nodes are Ready; tells each that becomes so.
    async fn await_nodes(
        &self,
        names: &[String],
        limit: Duration,
        progress: UnboundedSender<String>,
    ) -> Result<(), ClusterError>;

    /// Watches until a workload has rolled out; tells how many replicas are there.
    async fn await_rollout(
        &self,
        workload: &Workload,
        limit: Duration,
        progress: UnboundedSender<String>,
    ) -> Result<(), ClusterError>;

    /// Deletes a bootstrap token (`abcdef` of `abcdef.0123456789abcdef`); one already gone is not an error.
    async fn delete_bootstrap_token(&self, id: &str) -> Result<(), ClusterError>;

    /// Removes a node from Kubernetes; one that is not there is not an error.
    async fn remove_node(&self, name: &str) -> Result<(), ClusterError>;

    /// Looks a name up from a pod on every node; an `Err` carries each node's answer as evidence.
    async fn await_dns(&self, limit: Duration, progress: UnboundedSender<String>)
    -> Result<(), ClusterError>;

    /// Deployments and Services that carry our label.
    async fn services(&self) -> Result<Vec<ServiceStatus>, ClusterError>;
}
