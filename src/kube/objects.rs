//! A service of the spec as Kubernetes objects: Deployment, Service, PodDisruptionBudget.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EnvVar, GRPCAction, HTTPGetAction, Lifecycle, LifecycleHandler,
    PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile,
    SecurityContext, Service as KubeService, ServicePort, ServiceSpec, SleepAction, TopologySpreadConstraint,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Serialize;
use serde_json::Value;

use super::yaml;
use crate::spec::{Service, ServiceProtocol};

/// The label that marks what kubestrap deployed.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "kubestrap");

/// Namespace of the spec's services.
const NAMESPACE: &str = "default";
/// The unprivileged user of distroless images.
const NOBODY: i64 = 65532;

/// The manifest of a service: its Deployment, its Service and, with more than one replica, its
/// PodDisruptionBudget. `image` is pinned by digest.
pub fn objects(service: &Service, image: &str) -> String {
    let mut documents = vec![value(&kube_service(service)), value(&deployment(service, image))];
    if service.replicas > 1 {
        documents.push(value(&disruption_budget(service)));
    }
    yaml::render_all(&documents)
}

fn deployment(service: &Service, image: &str) -> Deployment {
    Deployment {
        metadata: metadata(service),
        spec: Some(DeploymentSpec {
            replicas: Some(i32::from(service.replicas)),
            revision_history_limit: Some(3),
            progress_deadline_seconds: Some(120),
            selector: selector(service),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_unavailable: Some(IntOrString::Int(0)),
                    max_surge: Some(IntOrString::Int(1)),
                }),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels(service)), ..ObjectMeta::default() }),
                spec: Some(pod(service, image)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    }
}

fn pod(service: &Service, image: &str) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        // Kubernetes would set RECOMMENDATIONS_PORT=tcp://... for every Service, over what a program
        // may read under that name.
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(30),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(NOBODY),
            run_as_group: Some(NOBODY),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        // Replicas of one rollout spread over the nodes that they may run on: tainted nodes do not count.
        topology_spread_constraints: Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".into(),
            when_unsatisfiable: "DoNotSchedule".into(),
            label_selector: Some(selector(service)),
            match_label_keys: Some(vec!["pod-template-hash".into()]),
            node_taints_policy: Some("Honor".into()),
            ..TopologySpreadConstraint::default()
        }]),
        containers: vec![container(service, image)],
        ..PodSpec::default()
    }
}

fn container(service: &Service, image: &str) -> Container {
    let env = service.env.iter().map(|(name, value)| EnvVar {
        name: name.clone(),
        value: Some(value.clone()),
        ..EnvVar::default()
    });
    Container {
        name: service.name.clone(),
        image: Some(image.to_owned()),
        env: Some(env.collect()),
        ports: Some(vec![ContainerPort {
            name: Some(port_name(service).into()),
            container_port: i32::from(service.port),
            protocol: Some("TCP".into()),
            ..ContainerPort::default()
        }]),
        readiness_probe: Some(Probe { period_seconds: Some(2), ..probe(service, "/readyz") }),
        liveness_probe: Some(Probe {
            period_seconds: Some(10),
            initial_delay_seconds: Some(10),
            ..probe(service, "/healthz")
        }),
        // Kube-proxy on every node forgets the pod before the pod stops to accept.
        lifecycle: Some(Lifecycle {
            pre_stop: Some(LifecycleHandler {
                sleep: Some(SleepAction { seconds: 3 }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        resources: Some(ResourceRequirements {
            requests: Some(quantities(&[("cpu", "50m"), ("memory", "32Mi")])),
            limits: Some(quantities(&[("memory", "128Mi")])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

/// Kubernetes asks gRPC services by the gRPC health protocol, HTTP ones by path.
fn probe(service: &Service, path: &str) -> Probe {
    let port = i32::from(service.port);
    let mut probe = Probe { timeout_seconds: Some(2), failure_threshold: Some(3), ..Probe::default() };
    match service.protocol {
        ServiceProtocol::Http => {
            probe.http_get = Some(HTTPGetAction {
                path: Some(path.to_owned()),
                port: IntOrString::Int(port),
                ..HTTPGetAction::default()
            });
        }
        ServiceProtocol::Grpc => probe.grpc = Some(GRPCAction { port, service: None }),
    }
    probe
}

fn kube_service(service: &Service) -> KubeService {
    let app_protocol = match service.protocol {
        ServiceProtocol::Http => "http",
        ServiceProtocol::Grpc => "kubernetes.io/h2c",
    };
    KubeService {
        metadata: metadata(service),
        spec: Some(ServiceSpec {
            type_: Some(if service.node_port.is_some() { "NodePort" } else { "ClusterIP" }.into()),
            selector: selector(service).match_labels,
            ports: Some(vec![ServicePort {
                name: Some(port_name(service).into()),
                port: i32::from(service.port),
                target_port: Some(IntOrString::String(port_name(service).into())),
                protocol: Some("TCP".into()),
                app_protocol: Some(app_protocol.into()),
                node_port: service.node_port.map(i32::from),
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

fn disruption_budget(service: &Service) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: metadata(service),
        spec: Some(PodDisruptionBudgetSpec {
            min_available: Some(IntOrString::Int(1)),
            selector: Some(selector(service)),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

fn metadata(service: &Service) -> ObjectMeta {
    ObjectMeta {
        name: Some(service.name.clone()),
        namespace: Some(NAMESPACE.into()),
        labels: Some(labels(service)),
        ..ObjectMeta::default()
    }
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = selector(service).match_labels.unwrap_or_default();
    labels.insert(MANAGED_BY.0.into(), MANAGED_BY.1.into());
    labels
}

fn selector(service: &Service) -> LabelSelector {
    let labels = BTreeMap::from([("app.kubernetes.io/name".to_owned(), service.name.clone())]);
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

fn port_name(service: &Service) -> &'static str {
    match service.protocol {
        ServiceProtocol::Http => "http",
        ServiceProtocol::Grpc => "grpc",
    }
}

fn quantities(amounts: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    amounts.iter().map(|(name, amount)| ((*name).to_owned(), Quantity((*amount).to_owned()))).collect()
}

pub(super) fn value<T: Serialize>(object: &T) -> Value {
    serde_json::to_value(object).expect("Kubernetes objects are plain data")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Platform;

    fn service(name: &str, protocol: ServiceProtocol, replicas: u16) -> Service {
        Service {
            name: name.into(),
            source: format!("services/{name}"),
            image: format!("jinbi/{name}:v1"),
            platforms: vec![Platform::LinuxAmd64],
            port: 5000,
            protocol,
            node_port: matches!(protocol, ServiceProtocol::Http).then_some(30997),
            replicas,
            env: BTreeMap::from([("RECOMMENDATIONS_HOST".into(), "recommendations".into())]),
            check: None,
        }
    }

    #[test]
    fn an_http_service_on_a_node_port_with_two_replicas() {
        let service = service("marketplace", ServiceProtocol::Http, 2);
        insta::assert_snapshot!(objects(&service, "registry/marketplace@sha256:00"));
    }

    #[test]
    fn a_grpc_service_inside_the_cluster_with_one_replica_has_native_probes_and_no_budget() {
        let service = service("recommendations", ServiceProtocol::Grpc, 1);
        insta::assert_snapshot!(objects(&service, "registry/recommendations@sha256:00"));
    }
}
