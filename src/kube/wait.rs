//! Waiting by watch: a change is acted on when the API server tells it, never at the next poll.

use std::collections::BTreeMap;
use std::time::Duration;

use ::kube::api::{Api, ListParams};
use ::kube::runtime::{WatchStreamExt, watcher};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

use super::KubeCluster;
use super::error::failure;
use super::status::node_status;
use crate::ports::{ClusterError, NodeStatus, Workload, WorkloadKind};

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rollout {
    /// Everything is updated and available, and nothing old is left.
    done: bool,
    /// Available replicas.
    available: i32,
    /// Replicas wanted.
    wanted: i32,
    /// The workload controller has given up: why.
    stuck: Option<String>,
    selector: String,
}

impl KubeCluster {
    pub(super) async fn watch_nodes(
        &self,
        names: &[String],
        limit: Duration,
        progress: &UnboundedSender<String>,
    ) -> Result<(), ClusterError> {
        let mut seen: BTreeMap<String, NodeStatus> = BTreeMap::new();
        let all_ready = async {
            let api: Api<Node> = Api::all(self.client.clone());
            let mut changes =
                watcher(api, watcher::Config::default()).default_backoff().applied_objects().boxed();
            // Watch errors are retried inside the stream; `limit` bounds them.
            while let Some(change) = changes.next().await {
                let Ok(node) = change else { continue };
                let status = node_status(&node);
                if names.contains(&status.name) {
                    let was_ready = seen.get(&status.name).is_some_and(|node| node.ready);
                    if status.ready && !was_ready {
                        let _ = progress.send(format!("{} is Ready", status.name));
                    }
                    seen.insert(status.name.clone(), status);
                }
                if names.iter().all(|name| seen.get(name).is_some_and(|node| node.ready)) {
                    return;
                }
            }
        };
        let finished = timeout(limit, all_ready).await.is_ok();
        if finished {
            return Ok(());
        }
        let missing: Vec<&String> =
            names.iter().filter(|name| !seen.get(*name).is_some_and(|node| node.ready)).collect();
        let evidence = missing
            .iter()
            .map(|name| match seen.get(*name) {
                Some(node) => format!("{name}: {}", node.reason.as_deref().unwrap_or("not Ready")),
                None => format!("{name}: no such node; its kubelet has not registered"),
            })
            .chain(self.obstacles("kube-system", "k8s-app=calico-node", "calico-node").await)
            .collect();
        let list = missing.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        Err(ClusterError::Deadline {
            what: format!("{list} did not become Ready"),
            seconds: limit.as_secs(),
            evidence,
        })
    }

    pub(super) async fn watch_rollout(
        &self,
        workload: &Workload,
        limit: Duration,
        progress: &UnboundedSender<String>,
    ) -> Result<(), ClusterError> {
        match workload.kind {
            WorkloadKind::Deployment => {
                self.watch_until_rolled_out(workload, limit, progress, deployment_rollout).await
            }
            WorkloadKind::DaemonSet => {
                self.watch_until_rolled_out(workload, limit, progress, daemon_set_rollout).await
            }
        }
    }

    async fn watch_until_rolled_out<K>(
        &self,
        workload: &Workload,
        limit: Duration,
        progress: &UnboundedSender<String>,
        judge: fn(&K) -> Rollout,
    ) -> Result<(), ClusterError>
    where
        K: ::kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    {
        let Workload { namespace, name, .. } = workload;
        let label = format!("{:?} {namespace}/{name}", workload.kind);
        let mut last: Option<Rollout> = None;
        let done = async {
            let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
            let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
            let mut changes = watcher(api, only).default_backoff().applied_objects().boxed();
            while let Some(change) = changes.next().await {
                let Ok(object) = change else { continue };
                let rollout = judge(&object);
                if last.as_ref() != Some(&rollout) {
                    let _ =
                        progress.send(format!("{name}: {}/{} available", rollout.available, rollout.wanted));
                }
                // A deadline that passed earlier is evidence and no verdict: the cause may just have been mended.
                let done = rollout.done;
                last = Some(rollout);
                if done {
                    return;
                }
            }
        };
        let in_time = timeout(limit, done).await.is_ok();
        match &last {
            Some(rollout) if in_time && rollout.done => Ok(()),
            Some(rollout) => {
                let mut evidence = vec![format!("{} of {} available", rollout.available, rollout.wanted)];
                evidence.extend(rollout.stuck.clone());
                evidence.extend(self.obstacles(namespace, &rollout.selector, name).await);
                Err(ClusterError::Deadline {
                    what: format!("{label} did not roll out"),
                    seconds: limit.as_secs(),
                    evidence,
                })
            }
            None => {
                // Nothing was seen: it is not there, or the API server does not answer.
                self.readyz().await?;
                Err(ClusterError::Deadline {
                    what: format!("{label} did not appear"),
                    seconds: limit.as_secs(),
                    evidence: Vec::new(),
                })
            }
        }
    }

    /// Names of all nodes.
    pub(super) async fn node_names(&self) -> Result<Vec<String>, ClusterError> {
        let api: Api<Node> = Api::all(self.client.clone());
        let nodes = api
            .list_metadata(&ListParams::default())
            .await
            .map_err(|error| failure(&self.endpoint, "the list of nodes", error))?;
        Ok(nodes.items.into_iter().filter_map(|node| node.metadata.name).collect())
    }
}

fn deployment_rollout(deployment: &Deployment) -> Rollout {
    let status = deployment.status.clone().unwrap_or_default();
    let spec = deployment.spec.clone().unwrap_or_default();
    let wanted = spec.replicas.unwrap_or(1);
    let observed = status.observed_generation >= deployment.metadata.generation;
    let updated = status.updated_replicas.unwrap_or(0);
    let available = status.available_replicas.unwrap_or(0);
    let failed = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.reason.as_deref() == Some("ProgressDeadlineExceeded"));
    Rollout {
        done: observed && updated >= wanted && available >= wanted && status.replicas.unwrap_or(0) <= updated,
        available,
        wanted,
        stuck: failed.filter(|_| observed).map(|condition| {
            condition.message.clone().unwrap_or_else(|| "the rollout made no progress".into())
        }),
        selector: selector(&spec.selector),
    }
}

fn daemon_set_rollout(daemon_set: &DaemonSet) -> Rollout {
    let status = daemon_set.status.clone().unwrap_or_default();
    let wanted = status.desired_number_scheduled;
    let observed = status.observed_generation >= daemon_set.metadata.generation;
    let available = status.number_available.unwrap_or(0);
    Rollout {
        done: observed
            && wanted > 0
            && status.updated_number_scheduled.unwrap_or(0) >= wanted
            && available >= wanted,
        available,
        wanted,
        stuck: None,
        selector: daemon_set.spec.as_ref().map(|spec| selector(&spec.selector)).unwrap_or_default(),
    }
}

/// `app=web,tier=front`.
fn selector(selector: &LabelSelector) -> String {
    let labels = selector.match_labels.iter().flatten();
    labels.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
