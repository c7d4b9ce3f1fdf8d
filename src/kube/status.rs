//! What is there: nodes, services; and what is to go: the token, a node that died.

use std::collections::BTreeMap;
use std::fmt::Debug;

use ::kube::api::{Api, DeleteParams, ListParams};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Secret, Service};
use serde::de::DeserializeOwned;

use super::error::failure;
use super::{KubeCluster, MANAGED_BY};
use crate::ports::{ClusterError, NodeStatus, ServiceStatus};

impl KubeCluster {
    pub(super) async fn list_nodes(&self) -> Result<Vec<NodeStatus>, ClusterError> {
        let api: Api<Node> = Api::all(self.client.clone());
        let nodes = api
            .list(&ListParams::default())
            .await
            .map_err(|error| failure(&self.endpoint, "the list of nodes", error))?;
        Ok(nodes.items.iter().map(node_status).collect())
    }

    pub(super) async fn delete_token(&self, id: &str) -> Result<(), ClusterError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), "kube-system");
        let name = format!("bootstrap-token-{id}");
        self.delete(&api, &name, &format!("Secret kube-system/{name}")).await
    }

    pub(super) async fn delete_node(&self, name: &str) -> Result<(), ClusterError> {
        let api: Api<Node> = Api::all(self.client.clone());
        self.delete(&api, name, &format!("Node {name}")).await
    }

    async fn delete<K>(&self, api: &Api<K>, name: &str, object: &str) -> Result<(), ClusterError>
    where
        K: Clone + DeserializeOwned + Debug,
    {
        match api.delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(::kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(failure(&self.endpoint, object, error)),
        }
    }

    pub(super) async fn list_services(&self) -> Result<Vec<ServiceStatus>, ClusterError> {
        let ours = ListParams::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), "default");
        let services: Api<Service> = Api::namespaced(self.client.clone(), "default");
        let (deployments, services) = tokio::try_join!(deployments.list(&ours), services.list(&ours))
            .map_err(|error| failure(&self.endpoint, "the list of services", error))?;
        let node_ports: BTreeMap<String, u16> = services
            .items
            .into_iter()
            .filter_map(|service| {
                let port = service.spec?.ports?.into_iter().find_map(|port| port.node_port)?;
                Some((service.metadata.name?, u16::try_from(port).ok()?))
            })
            .collect();
        Ok(deployments
            .items
            .into_iter()
            .map(|deployment| {
                let name = deployment.metadata.name.unwrap_or_default();
                ServiceStatus {
                    replicas: deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1),
                    ready: deployment.status.and_then(|status| status.ready_replicas).unwrap_or(0),
                    node_port: node_ports.get(&name).copied(),
                    name,
                }
            })
            .collect())
    }
}

/// A node in the port's words.
pub(super) fn node_status(node: &Node) -> NodeStatus {
    let status = node.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    let is_ready = ready.is_some_and(|condition| condition.status == "True");
    let info = status.node_info.as_ref();
    NodeStatus {
        name: node.metadata.name.clone().unwrap_or_default(),
        ready: is_ready,
        reason: (!is_ready).then(|| match ready {
            Some(condition) => [condition.reason.as_deref(), condition.message.as_deref()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(": "),
            None => "kubelet has not reported yet".into(),
        }),
        version: info.map(|info| info.kubelet_version.clone()).unwrap_or_default(),
        arch: info.map(|info| info.architecture.clone()).unwrap_or_default(),
        internal_ip: status
            .addresses
            .iter()
            .flatten()
            .find(|address| address.type_ == "InternalIP")
            .map(|address| address.address.clone()),
    }
}
