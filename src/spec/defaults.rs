//! What a spec means by what it does not say: the reference deployment, and the lab's addresses.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::ProviderKind;

/// The reference deployment's region.
pub(super) const REGION: &str = "ap-northeast-1";
/// Kubernetes, in examples and stand-ins only: the version is never chosen silently.
pub(super) const KUBERNETES: &str = "1.36.3";
/// Calico.
pub(super) const CALICO: &str = "3.31.0";
/// 2 CPUs, 4 GiB.
pub(super) const INSTANCE_TYPE: &str = "t3.medium";
/// Root volume, GiB.
pub(super) const DISK_GIB: u16 = 20;
/// Nodes of the default worker pool.
pub(super) const WORKERS: u16 = 2;
/// Name of the default worker pool.
pub(super) const POOL: &str = "general";
/// Replicas of a service: one node may go.
pub(super) const REPLICAS: u16 = 2;
/// Debian's AMIs log in as `admin`.
pub(super) const SSH_USER: &str = "admin";
/// Seconds that a node may take until its sshd lets us in: a cloud image boots in 20 to 60.
pub(super) const SSH_TIMEOUT_SECONDS: u16 = 180;
/// Debian 13's public parameter (<https://wiki.debian.org/Cloud/AmazonEC2Image/Trixie>).
pub(super) const IMAGE_PARAMETER: &str = "/aws/service/debian/release/13/latest/{arch}";

/// VPC of the reference deployment.
pub(super) fn vpc_cidr() -> Ipv4Net {
    range([10, 0, 0, 0], 16)
}

/// Pods of the reference deployment.
pub(super) fn pod_cidr() -> Ipv4Net {
    range([192, 168, 0, 0], 16)
}

/// Services of the reference deployment; kubeadm's default.
pub(super) fn service_cidr() -> Ipv4Net {
    range([10, 96, 0, 0], 12)
}

/// The VPC's first /20, or all of a smaller VPC.
pub(super) fn subnet_of(vpc: Ipv4Net) -> Ipv4Net {
    Ipv4Net::new(vpc.network(), vpc.prefix_len().max(20)).unwrap_or(vpc)
}

/// Where the EC2 API is, if not where AWS has it.
pub(super) fn endpoint(kind: ProviderKind) -> Option<String> {
    match kind {
        ProviderKind::Aws => None,
        ProviderKind::Lab => Some("http://127.0.0.1:4566".to_owned()),
    }
}

/// Who administers, if the spec does not say: nobody can know for AWS; in the lab it is the range that
/// the host and the lab share (the host is 198.18.0.1).
pub(super) fn admin_cidrs(kind: ProviderKind) -> Option<Vec<Ipv4Net>> {
    match kind {
        ProviderKind::Aws => None,
        ProviderKind::Lab => Some(vec![lab_range()]),
    }
}

/// The range that the host, the lab and its instances' public addresses are in: benchmarking space
/// (RFC 2544), which no real network uses.
pub(super) fn lab_range() -> Ipv4Net {
    range([198, 18, 0, 0], 24)
}

fn range(octets: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::from(octets), length)
}
