//! The validated spec. Whoever holds a [`Spec`] holds one that passed every check.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::image::Platform;

/// One cluster, as asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spec {
    /// Cluster name: a DNS label of at most 32 characters.
    pub name: String,
    /// Kubernetes version without the `v`: `1.36.3`.
    pub kubernetes: String,
    /// Where the instances come from.
    pub provider: Provider,
    /// Address ranges and who may reach what.
    pub network: Network,
    /// The CNI.
    pub calico: Calico,
    /// Control plane instances.
    pub control_plane: Pool,
    /// Worker pools, in the order of the spec.
    pub workers: Vec<Pool>,
    /// How to log in.
    pub ssh: Ssh,
    /// Where packages, images and manifests come from.
    pub sources: Sources,
    /// Services to build and deploy, in the order of the spec.
    pub services: Vec<Service>,
}

/// Which EC2 and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Provider {
    /// AWS, or the lab.
    pub kind: ProviderKind,
    /// e.g. `ap-northeast-1`.
    pub region: String,
    /// Availability zone of the subnet; the region's first that offers the types when absent.
    pub zone: Option<String>,
    /// Named profile of the AWS configuration files.
    pub profile: Option<String>,
    /// EC2 endpoint URL; the lab's own when `kind` is the lab.
    pub endpoint: Option<String>,
    /// Accounts that this spec may touch; empty allows any.
    pub allowed_account_ids: Vec<String>,
    /// AMI id, or `ssm:PARAMETER` for a public alias; Debian 13's when absent.
    pub image: ImageSource,
}

/// The two kinds of provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Amazon EC2, or anything that speaks its API.
    Aws,
    /// The local EC2 inside this binary.
    Lab,
}

/// Which machine image the instances boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageSource {
    /// A fixed `ami-...`.
    Ami(String),
    /// A public SSM parameter whose value is the AMI id; `{arch}` stands for `amd64` or `arm64`.
    Ssm(String),
}

/// Address ranges and admission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// The VPC; /16 to /28.
    pub vpc_cidr: Ipv4Net,
    /// The one public subnet; the VPC's first /20 (or the VPC itself, if smaller) when absent in the spec.
    pub subnet_cidr: Ipv4Net,
    /// Pod addresses.
    pub pod_cidr: Ipv4Net,
    /// Service addresses.
    pub service_cidr: Ipv4Net,
    /// Who may reach SSH and the API server.
    pub admin_cidrs: Vec<Ipv4Net>,
    /// NodePorts open to the outside.
    pub node_ports: Vec<NodePort>,
    /// How members reach each other.
    pub intra_cluster: IntraCluster,
}

/// A NodePort and who may reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodePort {
    /// 30000-32767.
    pub port: u16,
    /// Client ranges.
    pub from: Vec<Ipv4Net>,
}

/// The two profiles of member-to-member rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IntraCluster {
    /// Exactly the flows the cluster needs.
    Least,
    /// One self-referencing rule for all traffic.
    All,
}

/// The CNI's version and encapsulation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Calico {
    /// e.g. `3.31.0`.
    pub version: String,
    /// How pod packets cross nodes.
    pub encapsulation: Encapsulation,
}

/// How pod packets cross nodes. `CrossSubnet` modes are refused: they send bare pod addresses
/// inside a subnet, which the source/destination check drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Encapsulation {
    /// VXLAN always: UDP 4789.
    Vxlan,
}

/// Instances of one kind. The control plane is a pool too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// `control-plane`, or the worker pool's name.
    pub name: String,
    /// What its nodes do.
    pub role: Role,
    /// How many.
    pub count: u16,
    /// e.g. `t3.medium`.
    pub instance_type: String,
    /// Root volume, GiB, encrypted gp3.
    pub disk_gib: u16,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Runs the API server, etcd, scheduler and controller manager.
    ControlPlane,
    /// Runs workloads.
    Worker,
}

/// How to log in to the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ssh {
    /// Login name of the image's default user.
    pub user: String,
    /// How long a node may take from running until its sshd lets us in, seconds.
    pub timeout_seconds: u16,
}

/// Where packages, images and manifests come from. `None` is the upstream location.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sources {
    /// URL of an apt repository with kubeadm, kubelet, kubectl.
    pub packages: Option<String>,
    /// URL of an apt repository with containerd 2.x; `packages` when that one is set and this is not.
    pub runtime: Option<String>,
    /// Registry host to mirror endpoint.
    pub mirrors: BTreeMap<String, String>,
    /// URL or path of the Calico manifest.
    pub calico_manifest: Option<String>,
    /// kubeadm preflight checks to ignore, by name.
    pub ignore_preflight: Vec<String>,
}

/// A service to build and deploy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Service {
    /// DNS label.
    pub name: String,
    /// Folder of its cargo package, relative to the spec file's folder or the working directory.
    pub source: String,
    /// Image reference.
    pub image: String,
    /// Platforms to build for.
    pub platforms: Vec<Platform>,
    /// Container and Service port.
    pub port: u16,
    /// What it speaks; chooses its probes.
    pub protocol: ServiceProtocol,
    /// NodePort, when it is reached from outside.
    pub node_port: Option<u16>,
    /// Replicas.
    pub replicas: u16,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// What must be true of it once it runs.
    pub check: Option<Check>,
}

/// What a service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceProtocol {
    /// HTTP/1.1; `/readyz` and `/healthz` are its probes.
    Http,
    /// gRPC; the health service is its probe.
    Grpc,
}

/// A request through the NodePort of every node, and what its answer must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Request path.
    pub path: String,
    /// Text that the body must contain.
    pub contains: String,
}

impl Spec {
    /// The control plane and then the worker pools.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        std::iter::once(&self.control_plane).chain(&self.workers)
    }

    /// Every node's name and role, in launch order.
    pub fn nodes(&self) -> impl Iterator<Item = (String, Role)> + '_ {
        self.pools().flat_map(|pool| pool.node_names().map(move |name| (name, pool.role)))
    }
}

impl Pool {
    /// `control-plane-1`, `general-1`, `general-2`: what the nodes are called in plan, tags and Kubernetes.
    pub fn node_names(&self) -> impl Iterator<Item = String> + '_ {
        (1..=self.count).map(move |ordinal| format!("{}-{ordinal}", self.name))
    }
}
