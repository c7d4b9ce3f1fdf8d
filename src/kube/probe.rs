//! The DNS probe: one small pod on every node, from which names are looked up.
//!
//! `up` starts it together with Calico, so that it costs no time, and it stays for the diagnosis.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use ::kube::api::{Api, AttachParams, ListParams};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::UnboundedSender;

use super::answers::{NAME, Server, lookups, tcp_query};
use super::error::{failure, innermost};
use super::obstacles::{excerpt, pod_obstacle};
use super::{KubeCluster, yaml};
use crate::diagnose::{Lookup, ProbeEvidence, ProbeOutcome, Target};
use crate::ports::{ClusterError, Workload, WorkloadKind};

/// The probe's image: busybox, for `nslookup` and `nc`.
pub const PROBE_IMAGE: &str = "docker.io/library/busybox:1.37";
/// The probe's namespace.
pub const PROBE_NAMESPACE: &str = "kubestrap-system";
/// The probe's DaemonSet.
const PROBE: &str = "kubestrap-probe";
/// What the probe runs for one round of lookups.
const SCRIPT: &str = include_str!("probe.sh");
/// Longest round of lookups: each takes 4 s at most and all run at once; the rest is for the way to the
/// kubelet. The API server itself would wait 30 s for a kubelet that it cannot reach.
const ROUND_LIMIT: Duration = Duration::from_secs(8);
/// Pause between two rounds while DNS is not there yet.
const PAUSE: Duration = Duration::from_millis(300);

/// Everything that is applied with Calico: the probe, and a faster look at CoreDNS's readiness.
///
/// kubeadm leaves CoreDNS's readiness probe at Kubernetes' default of 10 s, and its first look comes
/// before CoreDNS has seen the API server: a cluster whose DNS answers waits 10 s to be told so. Only
/// that one field is owned by kubestrap.
pub fn probe_manifest() -> String {
    let mut documents = probe_objects();
    documents.push(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "coredns", "namespace": "kube-system" },
        "spec": { "template": { "spec": { "containers": [
            { "name": "coredns", "readinessProbe": { "periodSeconds": 2 } },
        ] } } },
    }));
    yaml::render_all(&documents)
}

/// The namespace and the DaemonSet.
fn probe_objects() -> Vec<Value> {
    let labels = json!({ "app.kubernetes.io/name": PROBE, "app.kubernetes.io/part-of": "kubestrap" });
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": PROBE_NAMESPACE,
            "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
        },
    });
    let container = json!({
        "name": "probe",
        "image": PROBE_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "2147483647"],
        "resources": {
            "requests": { "cpu": "1m", "memory": "4Mi" },
            "limits": { "memory": "32Mi" },
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
    });
    let daemon_set = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": { "name": PROBE, "namespace": PROBE_NAMESPACE, "labels": labels },
        "spec": {
            "selector": { "matchLabels": { "app.kubernetes.io/name": PROBE } },
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "100%" } },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": 0,
                    "tolerations": [{ "operator": "Exists" }],
                    "priorityClassName": "system-node-critical",
                    "securityContext": {
                        "runAsNonRoot": true,
                        "runAsUser": 65532,
                        "runAsGroup": 65532,
                        "seccompProfile": { "type": "RuntimeDefault" },
                    },
                    "containers": [container],
                },
            },
        },
    });
    vec![namespace, daemon_set]
}

impl KubeCluster {
    /// Looks the API server's name up from every node until it is answered everywhere.
    pub(super) async fn wait_for_dns(
        &self,
        limit: Duration,
        progress: &UnboundedSender<String>,
    ) -> Result<(), ClusterError> {
        let start = Instant::now();
        let workload =
            Workload { kind: WorkloadKind::DaemonSet, namespace: PROBE_NAMESPACE.into(), name: PROBE.into() };
        self.watch_rollout(&workload, limit, progress).await?;
        let nodes = self.node_names().await?;
        let mut answered: Vec<String> = Vec::new();
        loop {
            let server = Server { target: Target::Service, address: self.dns_address().await? };
            let pods = self.probe_pods().await?;
            let (probes, lookups) = self.look_up(&nodes, &pods, &[server]).await;
            for node in &nodes {
                let mut here = lookups.iter().filter(|lookup| lookup.from_node == *node).peekable();
                let all = here.peek().is_some() && here.all(Lookup::answered);
                if all && !answered.contains(node) {
                    let _ = progress.send(format!("DNS answers on {node}"));
                    answered.push(node.clone());
                }
            }
            if nodes.iter().all(|node| answered.contains(node)) {
                return Ok(());
            }
            if start.elapsed() + PAUSE >= limit {
                let silent = nodes.iter().filter(|node| !answered.contains(node));
                let list = silent.map(String::as_str).collect::<Vec<_>>().join(", ");
                let mut evidence: Vec<String> = probes.iter().filter_map(obstacle).collect();
                evidence.extend(lookups.iter().map(Lookup::to_string));
                evidence.extend(self.obstacles("kube-system", "k8s-app=kube-dns", "coredns").await);
                return Err(ClusterError::Deadline {
                    what: format!("DNS did not answer on {list}"),
                    seconds: limit.as_secs(),
                    evidence,
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Starts the probe where it is missing and waits until its pods run, but not for longer than `limit`.
    pub(super) async fn ensure_probe(&self, limit: Duration) -> Result<(), ClusterError> {
        self.apply_documents(probe_objects()).await?;
        let workload =
            Workload { kind: WorkloadKind::DaemonSet, namespace: PROBE_NAMESPACE.into(), name: PROBE.into() };
        let (progress, _) = tokio::sync::mpsc::unbounded_channel();
        self.watch_rollout(&workload, limit, &progress).await
    }

    /// The newest probe pod of every node.
    pub(super) async fn probe_pods(&self) -> Result<BTreeMap<String, Pod>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), PROBE_NAMESPACE);
        let labels = ListParams::default().labels(&format!("app.kubernetes.io/name={PROBE}"));
        let mut pods = api
            .list(&labels)
            .await
            .map_err(|error| failure(&self.endpoint, &format!("the pods of {PROBE_NAMESPACE}"), error))?
            .items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
        let on_node = |pod: Pod| Some((pod.spec.as_ref()?.node_name.clone()?, pod));
        Ok(pods.into_iter().filter_map(on_node).collect())
    }

    /// Asks all `servers` from the probe of every node, all at once.
    pub(super) async fn look_up(
        &self,
        nodes: &[String],
        pods: &BTreeMap<String, Pod>,
        servers: &[Server],
    ) -> (Vec<ProbeEvidence>, Vec<Lookup>) {
        let rounds = nodes.iter().map(|node| async move {
            let evidence = |pod: Option<&str>, outcome| ProbeEvidence {
                node: node.clone(),
                pod: pod.map(str::to_owned),
                outcome,
            };
            let Some(pod) = pods.get(node) else {
                let outcome = ProbeOutcome::NotRunning("there is no probe pod on it".into());
                return (evidence(None, outcome), Vec::new());
            };
            let name = pod.metadata.name.clone().unwrap_or_default();
            if let Some(obstacle) = pod_obstacle(pod) {
                return (evidence(Some(&name), ProbeOutcome::NotRunning(obstacle)), Vec::new());
            }
            match self.round(&name, servers).await {
                Ok(output) => {
                    (evidence(Some(&name), ProbeOutcome::Ran), lookups(node, &name, servers, &output))
                }
                Err(message) => (evidence(Some(&name), ProbeOutcome::ExecFailed(message)), Vec::new()),
            }
        });
        let (probes, lookups): (Vec<_>, Vec<_>) = join_all(rounds).await.into_iter().unzip();
        (probes, lookups.into_iter().flatten().collect())
    }

    /// Runs the script in a probe pod; what it printed.
    async fn round(&self, pod: &str, servers: &[Server]) -> Result<String, String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), PROBE_NAMESPACE);
        let mut command = vec!["sh".to_owned(), "-c".into(), SCRIPT.into(), "probe".into()];
        command.extend([NAME.to_owned(), BASE64.encode(tcp_query())]);
        command.extend(servers.iter().map(|server| server.address.to_string()));
        let params =
            AttachParams::default().stdin(false).stdout(true).stderr(true).max_stdout_buf_size(64 * 1024);
        let run = async {
            let mut process = api.exec(pod, command, &params).await.map_err(|error| innermost(&error))?;
            let (stdout, stderr) = (process.stdout(), process.stderr());
            let status = process.take_status();
            let (mut output, mut errors) = (String::new(), String::new());
            let read_output = async {
                if let Some(mut stdout) = stdout {
                    let _ = stdout.read_to_string(&mut output).await;
                }
            };
            let read_errors = async {
                if let Some(mut stderr) = stderr {
                    let _ = stderr.read_to_string(&mut errors).await;
                }
            };
            tokio::join!(read_output, read_errors);
            let status = match status {
                Some(status) => status.await,
                None => None,
            };
            let succeeded = status.as_ref().is_some_and(|status| status.status.as_deref() == Some("Success"));
            if succeeded || !output.is_empty() {
                return Ok(output);
            }
            let said = status.and_then(|status| status.message).unwrap_or_default();
            Err(excerpt(&format!("{said} {errors}")))
        };
        match tokio::time::timeout(ROUND_LIMIT, run).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("the kubelet did not answer within {} s", ROUND_LIMIT.as_secs())),
        }
    }

    /// Address of the Service kube-dns.
    async fn dns_address(&self) -> Result<Ipv4Addr, ClusterError> {
        let object = "Service kube-system/kube-dns";
        let api: Api<Service> = Api::namespaced(self.client.clone(), "kube-system");
        let service = api.get("kube-dns").await.map_err(|error| failure(&self.endpoint, object, error))?;
        let address = service.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
        address.parse().map_err(|_| ClusterError::Refused {
            object: object.into(),
            message: format!("its address is `{address}`"),
        })
    }
}

/// Why nothing was asked from a node.
fn obstacle(probe: &ProbeEvidence) -> Option<String> {
    match &probe.outcome {
        ProbeOutcome::Ran => None,
        ProbeOutcome::NotRunning(why) | ProbeOutcome::ExecFailed(why) => {
            Some(format!("{}: {why}", probe.node))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_applied_with_calico() {
        insta::assert_snapshot!(probe_manifest());
    }
}
