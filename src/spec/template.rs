//! The spec that `kubestrap init` writes.

use super::ProviderKind;

/// A commented spec of the reference deployment that [`parse`](super::parse()) accepts, if `name` is a
/// valid cluster name. For AWS the admin range is a documentation address that its user must replace.
pub fn template(name: &str, kind: ProviderKind) -> String {
    let (provider, admin, sources) = match kind {
        ProviderKind::Lab => (LAB, LAB_ADMIN, LAB_SOURCES),
        ProviderKind::Aws => (AWS, AWS_ADMIN, ""),
    };
    format!("{}\n{provider}\n{admin}{REST}{sources}{SERVICES}", HEAD.replace("{name}", name))
}

const HEAD: &str = r#"# A Kubernetes cluster, as kubestrap makes it. `kubestrap validate` checks this file,
# `kubestrap plan` shows what it means, `kubestrap up` makes it so.

name = "{name}"
kubernetes = "1.36.3"
"#;

const LAB: &str = r#"[provider]
kind = "lab"                        # the EC2 inside kubestrap; "aws" for the real one
"#;

const AWS: &str = r#"[provider]
kind = "aws"
region = "ap-northeast-1"
# profile = "default"               # of ~/.aws/config
# zone = "ap-northeast-1a"          # otherwise the first that offers the instance types
# allowed_account_ids = ["123456789012"]
# image = "ami-0123456789abcdef0"   # otherwise Debian 13
"#;

const LAB_ADMIN: &str = r#"[network]
node_ports = [{ port = 30997, from = ["198.18.0.0/24"] }]
"#;

const AWS_ADMIN: &str = r#"[network]
# Who may reach SSH and the API server. REPLACE THIS by your own address as others see it:
# `curl https://checkip.amazonaws.com` tells it.
admin_cidrs = ["203.0.113.7/32"]
node_ports = [{ port = 30997, from = ["0.0.0.0/0"] }]
"#;

const REST: &str = r#"# vpc_cidr = "10.0.0.0/16"
# pod_cidr = "192.168.0.0/16"
# service_cidr = "10.96.0.0/12"
# intra_cluster = "least"           # "all" lets nodes send each other anything

[control_plane]
instance_type = "t3.medium"

[[workers]]
name = "general"
count = 2
instance_type = "t3.medium"         # t4g.medium for arm64
# disk_gib = 20
"#;

const LAB_SOURCES: &str = r#"
# The lab's instances reach no internet: packages and images come from its bundle.
[sources]
packages = "http://198.18.0.2:8080/apt"
calico_manifest = "http://198.18.0.2:8080/calico.yaml"
# What kubeadm finds in a container and would not find on a machine.
ignore_preflight = ["SystemVerification", "Swap", "FileContent--proc-sys-net-bridge-bridge-nf-call-iptables"]

[sources.mirrors]
"registry.k8s.io" = "http://198.18.0.2:5000"
"quay.io" = "http://198.18.0.2:5000"
"docker.io" = "http://198.18.0.2:5000"
"#;

const SERVICES: &str = r#"
[[services]]
name = "recommendations"
source = "services/recommendations"
image = "jinbi/recommendations:v1"
port = 50051
protocol = "grpc"

[[services]]
name = "marketplace"
source = "services/marketplace"
image = "jinbi/marketplace:v1"
port = 5000
node_port = 30997                   # must be one of network.node_ports
env = { RECOMMENDATIONS_HOST = "recommendations" }
check = { path = "/", contains = "Mystery books you may like" }
"#;
