//! The adapter to Kubernetes: the [`Cluster`] port on the kube crate. No kubectl anywhere.
//!
//! [`KubeCluster`] connects with a kubeconfig; `apply` applies manifests server-side, `wait` watches
//! until things are so, `probe` looks names up from a pod on every node, `observe` gathers what the
//! diagnosis judges. Pure parts: [`configure_calico`], [`objects()`], [`Kubeconfigs`]' merging.

mod answers;
mod apply;
mod calico;
mod check;
mod connection;
mod drift;
mod error;
mod kubeconfig;
mod objects;
mod observe;
mod obstacles;
mod probe;
mod status;
mod wait;
mod yaml;

use std::time::Duration;

use ::kube::Client;
use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedSender;

use crate::ports::{Cluster, ClusterError, NodeStatus, ServiceStatus, Workload};
use crate::spec::Spec;

pub use calico::{calico_manifest, configure_calico, fetch_manifest};
pub use check::{CheckFailure, check_service};
pub use drift::Drift;
pub use kubeconfig::{Kubeconfigs, Merged, context_name};
pub use objects::{MANAGED_BY, objects};
pub use probe::{PROBE_IMAGE, PROBE_NAMESPACE, probe_manifest};

/// Names us in every object's managed fields.
const FIELD_MANAGER: &str = "kubestrap";

/// A connection to one cluster's API server.
#[derive(Clone)]
pub struct KubeCluster {
    client: Client,
    endpoint: String,
}

#[async_trait]
impl Cluster for KubeCluster {
    async fn await_api(&self, limit: Duration) -> Result<(), ClusterError> {
        self.wait_for_api(limit).await
    }

    async fn apply(&self, manifest: &str) -> Result<(), ClusterError> {
        self.apply_documents(yaml::documents("the manifest", manifest)?).await
    }

    async fn install_network(&self, spec: &Spec) -> Result<(), ClusterError> {
        let calico = calico_manifest(spec).await?;
        let probe = probe_manifest();
        tokio::try_join!(self.apply(&calico), self.apply(&probe))?;
        Ok(())
    }

    async fn nodes(&self) -> Result<Vec<NodeStatus>, ClusterError> {
        self.list_nodes().await
    }

    async fn await_nodes(
        &self,
        names: &[String],
        limit: Duration,
        progress: UnboundedSender<String>,
    ) -> Result<(), ClusterError> {
        self.watch_nodes(names, limit, &progress).await
    }

    async fn await_rollout(
        &self,
        workload: &Workload,
        limit: Duration,
        progress: UnboundedSender<String>,
    ) -> Result<(), ClusterError> {
        self.watch_rollout(workload, limit, &progress).await
    }

    async fn delete_bootstrap_token(&self, id: &str) -> Result<(), ClusterError> {
        self.delete_token(id).await
    }

    async fn remove_node(&self, name: &str) -> Result<(), ClusterError> {
        self.delete_node(name).await
    }

    async fn await_dns(
        &self,
        limit: Duration,
        progress: UnboundedSender<String>,
    ) -> Result<(), ClusterError> {
        self.wait_for_dns(limit, &progress).await
    }

    async fn services(&self) -> Result<Vec<ServiceStatus>, ClusterError> {
        self.list_services().await
    }
}
