//! What Kubernetes knows about DNS, gathered for the diagnosis. A question that fails is evidence too.

use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use ::kube::api::{Api, ListParams, LogParams};
use async_trait::async_trait;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::KubeCluster;
use super::answers::Server;
use super::error::innermost;
use super::obstacles::{excerpt, pod_obstacle};
use super::status::node_status;
use crate::diagnose::{
    ApiState, ClusterEvidence, NodeEvidence, PodEvidence, ProbeEvidence, ProbeOutcome, ServiceEvidence,
    Target, Witness,
};
use crate::ports::ClusterError;

/// Longest wait for one list.
const LIST_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for a probe that had to be started first.
const PROBE_LIMIT: Duration = Duration::from_secs(8);
/// Lines of a container's log that say why it stopped.
const LOG_LINES: i64 = 5;

#[async_trait]
impl Witness for KubeCluster {
    /// Looks up from every node, asking the Service and each CoreDNS pod. Starts the probe where it is
    /// missing. Takes a second when all is well and some 15 when packets are lost.
    async fn dns_evidence(&self) -> ClusterEvidence {
        let mut evidence = ClusterEvidence::without_api(&self.endpoint, ApiState::Answers);
        match self.readyz().await {
            Ok(()) => {}
            Err(ClusterError::Unauthorized { message }) => {
                evidence.api = ApiState::Unauthorized { message };
                return evidence;
            }
            Err(error) => {
                let message = match error {
                    ClusterError::Unreachable { message, .. } => message,
                    other => other.to_string(),
                };
                evidence.api = ApiState::Unreachable { message };
                return evidence;
            }
        }
        self.gather_objects(&mut evidence).await;
        self.gather_lookups(&mut evidence).await;
        evidence
    }
}

impl KubeCluster {
    async fn gather_objects(&self, evidence: &mut ClusterEvidence) {
        let system = || self.client.clone();
        let nodes: Api<Node> = Api::all(system());
        let pods: Api<Pod> = Api::namespaced(system(), "kube-system");
        let deployments: Api<Deployment> = Api::namespaced(system(), "kube-system");
        let services: Api<Service> = Api::namespaced(system(), "kube-system");
        let slices: Api<EndpointSlice> = Api::namespaced(system(), "kube-system");
        let labelled = |labels: &str| ListParams::default().labels(labels);
        let (dns, calico, proxy) =
            (labelled("k8s-app=kube-dns"), labelled("k8s-app=calico-node"), labelled("k8s-app=kube-proxy"));
        let (all, of_dns) = (ListParams::default(), labelled("kubernetes.io/service-name=kube-dns"));
        let (nodes, coredns, calico, proxy, deployment, service, slices) = tokio::join!(
            ask("nodes", nodes.list(&all)),
            ask("CoreDNS pods", pods.list(&dns)),
            ask("calico-node pods", pods.list(&calico)),
            ask("kube-proxy pods", pods.list(&proxy)),
            ask("Deployment coredns", deployments.get_opt("coredns")),
            ask("Service kube-dns", services.get_opt("kube-dns")),
            ask("EndpointSlices of kube-dns", slices.list(&of_dns)),
        );
        let failures = &mut evidence.failures;
        let mut keep = |failure: String| failures.push(failure);
        evidence.nodes = nodes.map_or_else(
            |failure| {
                keep(failure);
                Vec::new()
            },
            |nodes| nodes.items.iter().map(node_evidence).collect(),
        );
        for (list, into) in [
            (coredns, &mut evidence.coredns),
            (calico, &mut evidence.calico),
            (proxy, &mut evidence.kube_proxy),
        ] {
            match list {
                Ok(pods) => *into = pods.items.iter().filter(|pod| !is_over(pod)).map(pod_evidence).collect(),
                Err(failure) => keep(failure),
            }
        }
        match deployment {
            Ok(deployment) => {
                evidence.coredns_replicas =
                    deployment.map(|deployment| deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1));
            }
            Err(failure) => keep(failure),
        }
        match (service, slices) {
            (Ok(service), Ok(slices)) => {
                evidence.kube_dns = service.map(|service| service_evidence(&service, &slices.items));
            }
            (service, slices) => {
                service.err().into_iter().chain(slices.err()).for_each(&mut keep);
            }
        }
        let crashing = evidence.coredns.iter().find(|pod| !pod.ready && pod.phase == "Running");
        if let Some(pod) = crashing {
            let api: Api<Pod> = Api::namespaced(self.client.clone(), "kube-system");
            let tail = |previous| LogParams { tail_lines: Some(LOG_LINES), previous, ..LogParams::default() };
            let mut log = ask("log", api.logs(&pod.name, &tail(true))).await;
            if log.is_err() {
                log = ask("log", api.logs(&pod.name, &tail(false))).await;
            }
            evidence.coredns_log = log.unwrap_or_default().lines().map(excerpt).collect();
        }
    }

    async fn gather_lookups(&self, evidence: &mut ClusterEvidence) {
        let nodes: Vec<String> = evidence.nodes.iter().map(|node| node.name.clone()).collect();
        let mut pods = match tokio::time::timeout(LIST_LIMIT, self.probe_pods()).await {
            Ok(Ok(pods)) => pods,
            Ok(Err(error)) => return evidence.failures.push(error.to_string()),
            Err(_) => return evidence.failures.push("the list of probe pods: no answer".into()),
        };
        let missing = |pods: &std::collections::BTreeMap<String, Pod>| {
            // A pod on a node that is not Ready cannot be started; there is nothing to wait for.
            evidence.nodes.iter().any(|node| node.ready && !pods.contains_key(&node.name))
        };
        if missing(&pods) {
            let started = tokio::time::timeout(PROBE_LIMIT * 2, self.ensure_probe(PROBE_LIMIT)).await;
            match started {
                Ok(Ok(())) => {}
                Ok(Err(error)) => evidence.failures.push(format!("starting the probe: {error}")),
                Err(_) => evidence.failures.push("starting the probe: no answer".into()),
            }
            if let Ok(Ok(found)) = tokio::time::timeout(LIST_LIMIT, self.probe_pods()).await {
                pods = found;
            }
        }
        let servers = servers(evidence);
        if servers.is_empty() {
            // Nobody to ask; whether the kubelets can be reached is still worth knowing.
            evidence
                .failures
                .push("no lookup was made: there is no kube-dns Service and no CoreDNS pod".into());
        }
        (evidence.probes, evidence.lookups) = self.look_up(&nodes, &pods, &servers).await;
        for probe in &mut evidence.probes {
            let node = evidence.nodes.iter().find(|node| node.name == probe.node);
            if let (Some(NodeEvidence { ready: false, reason, .. }), ProbeOutcome::NotRunning(_)) =
                (node, &probe.outcome)
            {
                let why = reason.as_deref().unwrap_or("no reason given");
                *probe = ProbeEvidence {
                    outcome: ProbeOutcome::NotRunning(format!("the node is not Ready: {why}")),
                    ..probe.clone()
                };
            }
        }
    }
}

/// The Service, and each CoreDNS pod that has an address.
fn servers(evidence: &ClusterEvidence) -> Vec<Server> {
    let address = |text: &str| text.parse::<Ipv4Addr>().ok();
    let service = evidence.kube_dns.as_ref().and_then(|service| address(&service.cluster_ip));
    let mut servers: Vec<Server> =
        service.map(|address| Server { target: Target::Service, address }).into_iter().collect();
    for pod in evidence.coredns.iter().filter(|pod| pod.phase == "Running") {
        if let Some(address) = pod.ip.as_deref().and_then(address) {
            let target = Target::Pod { name: pod.name.clone(), node: pod.node.clone() };
            servers.push(Server { target, address });
        }
    }
    servers
}

/// An answer, or what to say when there is none.
async fn ask<T>(what: &str, question: impl Future<Output = Result<T, ::kube::Error>>) -> Result<T, String> {
    match tokio::time::timeout(LIST_LIMIT, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(::kube::Error::Api(status))) => Err(format!("{what}: {}", status.message)),
        Ok(Err(error)) => Err(format!("{what}: {}", innermost(&error))),
        Err(_) => Err(format!("{what}: no answer within {} s", LIST_LIMIT.as_secs())),
    }
}

/// A pod that has ended or is being deleted.
fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
}

fn node_evidence(node: &Node) -> NodeEvidence {
    let status = node_status(node);
    NodeEvidence {
        name: status.name,
        ready: status.ready,
        reason: status.reason,
        internal_ip: status.internal_ip,
    }
}

fn pod_evidence(pod: &Pod) -> PodEvidence {
    let status = pod.status.clone().unwrap_or_default();
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    PodEvidence {
        name: pod.metadata.name.clone().unwrap_or_default(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
        ip: status.pod_ip,
        phase: status.phase.unwrap_or_else(|| "Unknown".into()),
        ready,
        reason: pod_obstacle(pod),
    }
}

fn service_evidence(service: &Service, slices: &[EndpointSlice]) -> ServiceEvidence {
    let spec = service.spec.clone().unwrap_or_default();
    let (mut ready, mut not_ready) = (Vec::new(), Vec::new());
    for endpoint in slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()) {
        let is_ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
        if is_ready { &mut ready } else { &mut not_ready }.extend(endpoint.addresses.iter().cloned());
    }
    let selector = spec.selector.unwrap_or_default();
    ServiceEvidence {
        cluster_ip: spec.cluster_ip.unwrap_or_default(),
        selector: selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(","),
        ports: spec
            .ports
            .iter()
            .flatten()
            .map(|port| format!("{} {}", port.protocol.as_deref().unwrap_or("TCP").to_lowercase(), port.port))
            .collect(),
        ready,
        not_ready,
    }
}
