//! What must pass for a kubeadm cluster with Calico to work: the table of flows, as data.

use std::fmt;

use ipnet::Ipv4Net;
use serde::Serialize;

use super::rule::{PortRange, Protocol};
use crate::spec::{Encapsulation, Role, Spec};

/// One side of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// Every node.
    AnyNode,
    /// Every node of this role.
    Role(Role),
    /// Addresses outside the cluster, as seen on the wire. A node that uses another node's *public*
    /// address belongs here: the internet gateway rewrites its source, and no group matches it.
    Cidr(Ipv4Net),
}

/// Packets that must pass from every `from` to every *other* `to`. An instance's traffic to itself
/// never meets a security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flow {
    /// Unique in a cluster: `api/nodes`, `node-port-30997/0.0.0.0/0`.
    pub name: String,
    /// Protocol on the wire.
    pub protocol: Protocol,
    /// Destination ports; `None` is all of them.
    pub ports: Option<PortRange>,
    /// Who opens the flow. Answers need no rule: groups are stateful.
    pub from: Endpoint,
    /// Who is reached.
    pub to: Endpoint,
    /// What it is for and who says that it is needed.
    pub why: &'static str,
}

const PORTS_PAGE: &str = "https://kubernetes.io/docs/reference/networking/ports-and-protocols/";
const CALICO_PAGE: &str =
    "https://docs.tigera.io/calico/latest/getting-started/kubernetes/requirements#network-requirements";

/// The flows that `spec` needs, in a fixed order.
///
/// Not here, with the reason:
/// * DNS and everything else between pods rides in VXLAN; kube-proxy rewrites a NodePort's packet on the
///   node it arrives at, and what goes on to another node's pod is VXLAN again.
/// * The scheduler (10259) and the controller manager (10257) are asked by their own node only.
/// * ICMP for path MTU discovery: a "fragmentation needed" answer belongs to a tracked flow, and EC2 lets
///   answers to a tracked flow in whatever the rules say
///   (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/network_mtu.html>). Inside the subnet all
///   interfaces have the same MTU, and Calico subtracts VXLAN's 50 bytes itself.
/// * Typha, Prometheus, WireGuard and load balancers: this version installs none of them.
pub fn required(spec: &Spec) -> Vec<Flow> {
    let mut flows = Vec::new();
    let mut tcp = |name: String, ports: PortRange, from: Endpoint, to: Endpoint, why: &'static str| {
        flows.push(Flow { name, protocol: Protocol::Tcp, ports: Some(ports), from, to, why });
    };
    let control_plane = Endpoint::Role(Role::ControlPlane);
    tcp("api/nodes".into(), API_SERVER, Endpoint::AnyNode, control_plane, PORTS_PAGE);
    for cidr in &spec.network.admin_cidrs {
        tcp(format!("api/{cidr}"), API_SERVER, Endpoint::Cidr(*cidr), control_plane, "kubestrap and kubectl");
    }
    if spec.control_plane.count > 1 {
        tcp("etcd".into(), ETCD, control_plane, control_plane, PORTS_PAGE);
    }
    tcp("kubelet".into(), KUBELET, control_plane, Endpoint::AnyNode, PORTS_PAGE);
    for cidr in &spec.network.admin_cidrs {
        tcp(
            format!("ssh/{cidr}"),
            SSH,
            Endpoint::Cidr(*cidr),
            Endpoint::AnyNode,
            "kubestrap installs over SSH",
        );
    }
    for node_port in &spec.network.node_ports {
        for cidr in &node_port.from {
            tcp(
                format!("node-port-{}/{cidr}", node_port.port),
                PortRange::single(node_port.port),
                Endpoint::Cidr(*cidr),
                Endpoint::AnyNode,
                "network.node_ports of the spec",
            );
        }
    }
    flows.push(match spec.calico.encapsulation {
        Encapsulation::Vxlan => Flow {
            name: "vxlan".into(),
            protocol: Protocol::Udp,
            ports: Some(VXLAN),
            from: Endpoint::AnyNode,
            to: Endpoint::AnyNode,
            why: CALICO_PAGE,
        },
    });
    flows.push(Flow {
        name: "egress".into(),
        protocol: Protocol::All,
        ports: None,
        from: Endpoint::AnyNode,
        to: Endpoint::Cidr(Ipv4Net::default()),
        why: "packages, images, time, and what pods ask of the internet",
    });
    flows
}

/// kube-apiserver.
pub(super) const API_SERVER: PortRange = PortRange::single(6443);
/// etcd, for clients and peers.
pub(super) const ETCD: PortRange = PortRange { from: 2379, to: 2380 };
/// kubelet: logs, exec, port-forward, metrics.
pub(super) const KUBELET: PortRange = PortRange::single(10250);
/// sshd.
pub(super) const SSH: PortRange = PortRange::single(22);
/// Calico's VXLAN device.
pub(super) const VXLAN: PortRange = PortRange::single(4789);

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::AnyNode => f.write_str("every node"),
            Endpoint::Role(Role::ControlPlane) => f.write_str("the control plane"),
            Endpoint::Role(Role::Worker) => f.write_str("the workers"),
            Endpoint::Cidr(cidr) => cidr.fmt(f),
        }
    }
}

impl fmt::Display for Flow {
    /// `vxlan: udp 4789 from every node to every node`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.protocol)?;
        if let Some(ports) = self.ports {
            write!(f, " {ports}")?;
        }
        write!(f, " from {} to {}", self.from, self.to)
    }
}
