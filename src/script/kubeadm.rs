//! kubeadm's configuration files (kubeadm.k8s.io/v1beta4) as typed data.

use serde::Serialize;
use std::collections::BTreeMap;

use super::{BootstrapToken, Initialise, Join};
use crate::spec::Spec;

const API_VERSION: &str = "kubeadm.k8s.io/v1beta4";
const API_PORT: u16 = 6443;
const CRI_SOCKET: &str = "unix:///run/containerd/containerd.sock";

/// `InitConfiguration`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InitConfiguration {
    api_version: &'static str,
    kind: &'static str,
    bootstrap_tokens: [Token; 1],
    node_registration: NodeRegistration,
    #[serde(rename = "localAPIEndpoint")]
    local_api_endpoint: LocalEndpoint,
}

#[derive(Serialize)]
struct Token {
    token: String,
    description: &'static str,
    ttl: &'static str,
    usages: [&'static str; 2],
    groups: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LocalEndpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    advertise_address: Option<String>,
    bind_port: u16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeRegistration {
    name: String,
    cri_socket: &'static str,
    ignore_preflight_errors: Vec<String>,
    image_pull_serial: bool,
    kubelet_extra_args: Vec<Argument>,
}

#[derive(Serialize)]
struct Argument {
    name: &'static str,
    value: String,
}

/// `ClusterConfiguration`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ClusterConfiguration {
    api_version: &'static str,
    kind: &'static str,
    cluster_name: String,
    kubernetes_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    control_plane_endpoint: Option<String>,
    networking: Networking,
    api_server: ApiServer,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Networking {
    dns_domain: &'static str,
    pod_subnet: String,
    service_subnet: String,
}

#[derive(Serialize)]
struct ApiServer {
    #[serde(rename = "certSANs")]
    cert_sans: Vec<String>,
}

/// `KubeletConfiguration`, for all nodes. What depends on the machine is added on the node.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KubeletConfiguration {
    api_version: &'static str,
    kind: &'static str,
    cgroup_driver: &'static str,
    /// Absolute, because the defaults are shares of the disk: on a large disk that others fill too
    /// (a laptop's, under the lab) a share is reached with hundreds of gigabytes to spare.
    eviction_hard: BTreeMap<&'static str, &'static str>,
}

/// `KubeProxyConfiguration`. What depends on the machine is added on the node.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KubeProxyConfiguration {
    api_version: &'static str,
    kind: &'static str,
    mode: &'static str,
}

/// `JoinConfiguration`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JoinConfiguration {
    api_version: &'static str,
    kind: &'static str,
    discovery: Discovery,
    node_registration: NodeRegistration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Discovery {
    bootstrap_token: TokenDiscovery,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenDiscovery {
    token: String,
    api_server_endpoint: String,
    ca_cert_hashes: [String; 1],
}

pub(super) fn init_configuration(spec: &Spec, of: &Initialise) -> InitConfiguration {
    InitConfiguration {
        api_version: API_VERSION,
        kind: "InitConfiguration",
        bootstrap_tokens: [Token {
            token: of.token.expose(),
            description: "kubestrap: joins of one run",
            ttl: BootstrapToken::LIFETIME,
            usages: ["signing", "authentication"],
            groups: ["system:bootstrappers:kubeadm:default-node-token"],
        }],
        node_registration: registration(spec, &of.node, of.private_ip.map(|it| it.to_string())),
        local_api_endpoint: LocalEndpoint {
            advertise_address: of.private_ip.map(|it| it.to_string()),
            bind_port: API_PORT,
        },
    }
}

pub(super) fn cluster_configuration(spec: &Spec, of: &Initialise) -> ClusterConfiguration {
    let mut cert_sans: Vec<String> =
        [of.public_ip, of.private_ip].into_iter().flatten().map(|it| it.to_string()).collect();
    cert_sans.extend([of.node.clone(), "localhost".to_owned(), "127.0.0.1".to_owned()]);
    cert_sans.dedup();
    ClusterConfiguration {
        api_version: API_VERSION,
        kind: "ClusterConfiguration",
        cluster_name: spec.name.clone(),
        kubernetes_version: format!("v{}", spec.kubernetes),
        control_plane_endpoint: of.private_ip.map(|address| format!("{address}:{API_PORT}")),
        networking: Networking {
            dns_domain: "cluster.local",
            pod_subnet: spec.network.pod_cidr.to_string(),
            service_subnet: spec.network.service_cidr.to_string(),
        },
        api_server: ApiServer { cert_sans },
    }
}

pub(super) fn kubelet_configuration() -> KubeletConfiguration {
    KubeletConfiguration {
        api_version: "kubelet.config.k8s.io/v1beta1",
        kind: "KubeletConfiguration",
        cgroup_driver: "systemd",
        eviction_hard: [
            ("imagefs.available", "2Gi"),
            ("memory.available", "100Mi"),
            ("nodefs.available", "2Gi"),
            ("nodefs.inodesFree", "5%"),
        ]
        .into(),
    }
}

pub(super) fn proxy_configuration() -> KubeProxyConfiguration {
    KubeProxyConfiguration {
        api_version: "kubeproxy.config.k8s.io/v1alpha1",
        kind: "KubeProxyConfiguration",
        mode: "nftables",
    }
}

pub(super) fn join_configuration(spec: &Spec, of: &Join) -> JoinConfiguration {
    JoinConfiguration {
        api_version: API_VERSION,
        kind: "JoinConfiguration",
        discovery: Discovery {
            bootstrap_token: TokenDiscovery {
                token: of.token.expose(),
                api_server_endpoint: of.api_endpoint.clone(),
                ca_cert_hashes: [of.ca_hash.clone()],
            },
        },
        node_registration: registration(spec, &of.node, of.private_ip.map(|it| it.to_string())),
    }
}

fn registration(spec: &Spec, node: &str, address: Option<String>) -> NodeRegistration {
    // A kubelet goes by its machine's host name, which a reboot may bring back to the cloud's.
    let named = Argument { name: "hostname-override", value: node.to_owned() };
    let addressed = address.map(|value| Argument { name: "node-ip", value });
    NodeRegistration {
        name: node.to_owned(),
        cri_socket: CRI_SOCKET,
        ignore_preflight_errors: spec.sources.ignore_preflight.clone(),
        image_pull_serial: false,
        kubelet_extra_args: [named].into_iter().chain(addressed).collect(),
    }
}
