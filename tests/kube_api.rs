//! The Kubernetes adapter against a real kube-apiserver and etcd, taken from the testbed's bundle.
//!
//! No kubelet and no controllers: what they would do is written by the test, so that waits can be proven
//! to react to the change and not to a poll.

mod kube_api {
    pub mod server;
}

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube_api::server::Server;
use kubestrap::kube::{Drift, KubeCluster, configure_calico, objects, probe_manifest};
use kubestrap::ports::{Cluster, ClusterError, Workload, WorkloadKind};
use kubestrap::spec::{Service, ServiceProtocol};
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::mpsc;

const LIMIT: Duration = Duration::from_secs(30);

async fn connect(server: &Server) -> KubeCluster {
    let kubeconfig: SecretString = server.kubeconfig().into();
    let cluster = KubeCluster::from_kubeconfig(&kubeconfig, None).await.unwrap();
    cluster.await_api(LIMIT).await.unwrap();
    cluster
}

fn service(replicas: u16) -> Service {
    Service {
        name: "marketplace".into(),
        source: "services/marketplace".into(),
        image: "jinbi/marketplace:v1".into(),
        platforms: Vec::new(),
        port: 5000,
        protocol: ServiceProtocol::Http,
        node_port: Some(30997),
        replicas,
        env: [("RECOMMENDATIONS_HOST".to_owned(), "recommendations".to_owned())].into(),
        check: None,
    }
}

/// Writes a status as a controller or kubelet would.
async fn set_status<K>(api: &Api<K>, name: &str, status: serde_json::Value)
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({ "status": status })))
        .await
        .unwrap();
}

fn node(name: &str) -> Node {
    serde_json::from_value(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})).unwrap()
}

fn ready(is: bool) -> serde_json::Value {
    let status = if is { "True" } else { "False" };
    json!({"conditions": [{
        "type": "Ready", "status": status, "reason": "KubeletNotReady", "message": "cni plugin not initialized",
    }]})
}

#[tokio::test]
async fn the_real_calico_manifest_applies_and_applying_again_changes_nothing() {
    let server = Server::start().await;
    let cluster = connect(&server).await;
    let upstream = std::fs::read_to_string(server.bundle().join("calico.yaml")).unwrap();
    let calico = configure_calico(&upstream, "192.168.0.0/16".parse().unwrap()).unwrap();
    assert_eq!(configure_calico(&calico, "192.168.0.0/16".parse().unwrap()).unwrap(), calico);
    cluster.apply(&calico).await.unwrap();
    let drift = cluster.drift(&calico).await.unwrap();
    assert_eq!(drift, []);
    cluster.apply(&calico).await.unwrap();
    assert_eq!(cluster.drift(&calico).await.unwrap(), []);

    // The probe comes with a change to CoreDNS that owns one field of what kubeadm has made.
    let coredns: Api<Deployment> = Api::namespaced(server.client().await, "kube-system");
    let made: Deployment = serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "coredns"},
        "spec": {
            "selector": {"matchLabels": {"k8s-app": "kube-dns"}},
            "template": {
                "metadata": {"labels": {"k8s-app": "kube-dns"}},
                "spec": {"containers": [{
                    "name": "coredns", "image": "registry.k8s.io/coredns/coredns:v1.14.2",
                    "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}},
                }]},
            },
        },
    }))
    .unwrap();
    coredns.create(&PostParams::default(), &made).await.unwrap();
    cluster.apply(&probe_manifest()).await.unwrap();
    let container =
        coredns.get("coredns").await.unwrap().spec.unwrap().template.spec.unwrap().containers.remove(0);
    assert_eq!(container.image.as_deref(), Some("registry.k8s.io/coredns/coredns:v1.14.2"));
    assert_eq!(container.readiness_probe.and_then(|probe| probe.period_seconds), Some(2));
    assert_eq!(cluster.drift(&probe_manifest()).await.unwrap(), []);
}

#[tokio::test]
async fn a_definition_and_its_object_and_namespace_apply_in_one_manifest_in_any_order() {
    let server = Server::start().await;
    let cluster = connect(&server).await;
    let manifest = r#"
apiVersion: books.example/v1
kind: Shelf
metadata: {name: mystery, namespace: library}
spec: {books: 3}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: rules, namespace: library}
data: {talking: "no"}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: shelves.books.example}
spec:
  group: books.example
  names: {kind: Shelf, plural: shelves, singular: shelf}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: v1
kind: Namespace
metadata: {name: library}
"#;
    cluster.apply(manifest).await.unwrap();
    assert_eq!(cluster.drift(manifest).await.unwrap(), []);

    let refused = cluster
        .apply("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {ports: [{port: 0}]}}")
        .await;
    let Err(ClusterError::Refused { object, message }) = refused else { panic!("{refused:?}") };
    assert_eq!(object, "Service a");
    assert!(message.contains("spec.ports[0].port: Invalid value: 0"), "{message}");
    let unknown = cluster.apply("{apiVersion: v1, kind: Shelf, metadata: {name: a}}").await.unwrap_err();
    assert_eq!(unknown.to_string(), "Shelf a: the API server has no kind Shelf in v1");
}

#[tokio::test]
async fn a_service_is_missing_then_there_then_changed_and_listed() {
    let server = Server::start().await;
    let cluster = connect(&server).await;
    let manifest = objects(&service(2), "registry.example/marketplace@sha256:00");
    let missing = |object: &str| Drift::Missing { object: object.into() };
    assert_eq!(
        cluster.drift(&manifest).await.unwrap(),
        [
            missing("Service default/marketplace"),
            missing("Deployment default/marketplace"),
            missing("PodDisruptionBudget default/marketplace"),
        ]
    );
    cluster.apply(&manifest).await.unwrap();
    assert_eq!(cluster.drift(&manifest).await.unwrap(), []);
    let changed = objects(&service(2), "registry.example/marketplace@sha256:22");
    let differs = |object: &str| Drift::Changed { object: object.into() };
    assert_eq!(cluster.drift(&changed).await.unwrap(), [differs("Deployment default/marketplace")]);
    // What a person does to a field that is ours is drift; a status is not.
    let deployments: Api<Deployment> = Api::namespaced(server.client().await, "default");
    set_status(&deployments, "marketplace", json!({"replicas": 2, "readyReplicas": 2})).await;
    assert_eq!(cluster.drift(&manifest).await.unwrap(), []);
    let scaled = Patch::Merge(json!({"spec": {"replicas": 5}}));
    deployments.patch("marketplace", &PatchParams::default(), &scaled).await.unwrap();
    assert_eq!(cluster.drift(&manifest).await.unwrap(), [differs("Deployment default/marketplace")]);
    cluster.apply(&manifest).await.unwrap();
    let listed = cluster.services().await.unwrap();
    let listed: Vec<_> =
        listed.iter().map(|it| (it.name.as_str(), it.replicas, it.ready, it.node_port)).collect();
    assert_eq!(listed, [("marketplace", 2, 2, Some(30997))]);
}

#[tokio::test]
async fn waits_end_with_the_change_and_tell_what_stands_in_the_way() {
    let server = Server::start().await;
    let cluster = connect(&server).await;
    let nodes: Api<Node> = Api::all(server.client().await);
    let names = ["control-plane-1".to_owned(), "general-1".to_owned()];
    nodes.create(&PostParams::default(), &node(&names[0])).await.unwrap();
    set_status(&nodes, &names[0], ready(false)).await;
    let (progress, mut told) = mpsc::unbounded_channel();

    let error = cluster.await_nodes(&names, Duration::from_secs(1), progress.clone()).await.unwrap_err();
    let ClusterError::Deadline { what, evidence, .. } = error else { panic!("{error:?}") };
    assert_eq!(what, "control-plane-1, general-1 did not become Ready");
    assert_eq!(evidence[0], "control-plane-1: KubeletNotReady: cni plugin not initialized");
    assert_eq!(evidence[1], "general-1: no such node; its kubelet has not registered");

    let waiting = tokio::spawn({
        let (cluster, names, progress) = (cluster.clone(), names.clone(), progress.clone());
        async move {
            cluster.await_nodes(&names, LIMIT, progress).await.unwrap();
            Instant::now()
        }
    });
    set_status(&nodes, &names[0], ready(true)).await;
    assert_eq!(told.recv().await.as_deref(), Some("control-plane-1 is Ready"));
    nodes.create(&PostParams::default(), &node(&names[1])).await.unwrap();
    set_status(&nodes, &names[1], ready(true)).await;
    let changed = Instant::now();
    let delay = waiting.await.unwrap().saturating_duration_since(changed);
    assert!(delay < Duration::from_millis(500), "{delay:?}");

    cluster.apply(&objects(&service(1), "registry.example/marketplace:v1")).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(server.client().await, "default");
    let workload =
        Workload { kind: WorkloadKind::Deployment, namespace: "default".into(), name: "marketplace".into() };
    let error = cluster.await_rollout(&workload, Duration::from_secs(1), progress.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), "Deployment default/marketplace did not roll out within 1 s");
    let ClusterError::Deadline { evidence, .. } = error else { panic!("{error:?}") };
    assert_eq!(evidence[0], "0 of 1 available");
    let waiting = tokio::spawn({
        let (cluster, workload) = (cluster.clone(), workload.clone());
        async move {
            cluster.await_rollout(&workload, LIMIT, progress).await.unwrap();
            Instant::now()
        }
    });
    let status = json!({
        "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1,
    });
    set_status(&deployments, "marketplace", status).await;
    let changed = Instant::now();
    let delay = waiting.await.unwrap().saturating_duration_since(changed);
    assert!(delay < Duration::from_millis(500), "{delay:?}");

    let nobody = Workload { name: "nobody".into(), ..workload };
    let (progress, _) = mpsc::unbounded_channel();
    let error = cluster.await_rollout(&nobody, Duration::from_secs(1), progress).await.unwrap_err();
    assert_eq!(error.to_string(), "Deployment default/nobody did not appear within 1 s");
}

#[tokio::test]
async fn the_bootstrap_token_goes_and_going_twice_is_no_error() {
    let server = Server::start().await;
    let cluster = connect(&server).await;
    let secrets: Api<Secret> = Api::namespaced(server.client().await, "kube-system");
    let token: Secret = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token",
        "stringData": {"token-id": "abcdef", "token-secret": "0123456789abcdef"},
    }))
    .unwrap();
    secrets.create(&PostParams::default(), &token).await.unwrap();
    cluster.delete_bootstrap_token("abcdef").await.unwrap();
    assert!(secrets.get_opt("bootstrap-token-abcdef").await.unwrap().is_none());
    cluster.delete_bootstrap_token("abcdef").await.unwrap();
}

#[tokio::test]
async fn a_node_that_died_goes_and_going_twice_is_no_error() {
    let server = Server::start().await;
    let cluster = connect(&server).await;
    let nodes: Api<Node> = Api::all(server.client().await);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "general-2"}});
    nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
    cluster.remove_node("general-2").await.unwrap();
    assert!(nodes.get_opt("general-2").await.unwrap().is_none());
    cluster.remove_node("general-2").await.unwrap();
}

#[tokio::test]
async fn the_evidence_of_a_bare_api_server_says_what_is_not_there() {
    use kubestrap::diagnose::{ApiState, Witness};
    let server = Server::start().await;
    let cluster = connect(&server).await;
    let evidence = cluster.dns_evidence().await;
    assert_eq!(evidence.api, ApiState::Answers);
    assert_eq!((evidence.coredns_replicas, evidence.kube_dns), (None, None));
    drop(server);
    let evidence = cluster.dns_evidence().await;
    assert!(matches!(evidence.api, ApiState::Unreachable { .. }), "{:?}", evidence.api);
}

#[tokio::test]
async fn another_clusters_certificate_is_refused_and_nobody_is_unreachable() {
    let server = Server::start().await;
    connect(&server).await;
    let strange: SecretString = server.kubeconfig_with_token("wrong").into();
    let cluster = KubeCluster::from_kubeconfig(&strange, None).await.unwrap();
    let error = cluster.await_api(Duration::from_secs(2)).await.unwrap_err();
    assert!(matches!(error, ClusterError::Unauthorized { .. }), "{error:?}");

    let kubeconfig: SecretString = server.kubeconfig().into();
    let nowhere = KubeCluster::from_kubeconfig(&kubeconfig, Some("https://127.0.0.1:1")).await.unwrap();
    let error = nowhere.await_api(Duration::from_secs(1)).await.unwrap_err();
    let text = error.to_string();
    let said = "the API server at https://127.0.0.1:1 does not answer: not ready within 1 s: ";
    assert!(text.starts_with(said) && text.contains("onnection refused"), "{text}");
}
