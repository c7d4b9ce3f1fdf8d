//! The security groups that the flows ask for: least privilege, or one rule for all member traffic.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use serde::Serialize;

use super::flows::{API_SERVER, ETCD, KUBELET, SSH, VXLAN};
use super::prove::Member;
use super::rule::{Peer, PortRange, Protocol, Rule};
use crate::spec::{Encapsulation, IntraCluster, Role, Spec};

/// Logical name of the group of control plane instances.
pub const CONTROL_PLANE: &str = "control-plane";
/// Logical name of the group that every instance is in.
pub const NODES: &str = "nodes";

/// A security group as planned. Peers are logical names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupPlan {
    /// [`CONTROL_PLANE`] or [`NODES`].
    pub logical: String,
    /// EC2's group name: `kubestrap-books-nodes`.
    pub name: String,
    /// EC2's description; it cannot be changed later.
    pub description: String,
    /// Rules for arriving packets.
    pub ingress: Vec<Rule>,
    /// Rules for packets sent.
    pub egress: Vec<Rule>,
}

/// The rules of one group, planned or observed; its name is the key it is kept under.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupRules {
    /// Rules for arriving packets.
    pub ingress: Vec<Rule>,
    /// Rules for packets sent.
    pub egress: Vec<Rule>,
}

/// The logical groups that a node of this role is a member of.
pub const fn membership(role: Role) -> &'static [&'static str] {
    match role {
        Role::ControlPlane => &[CONTROL_PLANE, NODES],
        Role::Worker => &[NODES],
    }
}

/// EC2's name of a cluster's group.
pub fn group_name(cluster: &str, logical: &str) -> String {
    format!("kubestrap-{cluster}-{logical}")
}

/// The rule that EC2 gives every new group: all traffic to anywhere.
pub fn default_egress() -> Rule {
    Rule { protocol: Protocol::All, ports: None, peer: Peer::Cidr(Ipv4Net::default()) }
}

/// The two groups of a cluster, by logical name.
///
/// No rule is there twice: everyone in [`CONTROL_PLANE`] is in [`NODES`] too, so only `NODES` says
/// what may be sent, and the default egress rule of `CONTROL_PLANE` goes.
pub fn plan_groups(spec: &Spec) -> BTreeMap<String, GroupPlan> {
    let network = &spec.network;
    let mut control_plane = GroupRules::default();
    let mut nodes = GroupRules { ingress: Vec::new(), egress: vec![default_egress()] };
    match network.intra_cluster {
        IntraCluster::Least => {
            control_plane.ingress.push(tcp(API_SERVER, group(NODES)));
            if spec.control_plane.count > 1 {
                control_plane.ingress.push(tcp(ETCD, group(CONTROL_PLANE)));
            }
            nodes.ingress.push(tcp(KUBELET, group(CONTROL_PLANE)));
            nodes.ingress.push(match spec.calico.encapsulation {
                Encapsulation::Vxlan => {
                    Rule { protocol: Protocol::Udp, ports: Some(VXLAN), peer: group(NODES) }
                }
            });
        }
        IntraCluster::All => {
            nodes.ingress.push(Rule { protocol: Protocol::All, ports: None, peer: group(NODES) });
        }
    }
    for cidr in &network.admin_cidrs {
        control_plane.ingress.push(tcp(API_SERVER, Peer::Cidr(*cidr)));
        nodes.ingress.push(tcp(SSH, Peer::Cidr(*cidr)));
    }
    for node_port in &network.node_ports {
        for cidr in &node_port.from {
            nodes.ingress.push(tcp(PortRange::single(node_port.port), Peer::Cidr(*cidr)));
        }
    }
    [(CONTROL_PLANE, "Control plane of", control_plane), (NODES, "All nodes of", nodes)]
        .into_iter()
        .map(|(logical, what, rules)| {
            let plan = GroupPlan {
                logical: logical.to_owned(),
                name: group_name(&spec.name, logical),
                description: format!("{what} the kubestrap cluster {}", spec.name),
                ingress: rules.ingress,
                egress: rules.egress,
            };
            (logical.to_owned(), plan)
        })
        .collect()
}

/// The rules alone, for [`prove()`](super::prove()) and [`excess()`](super::excess()).
pub fn rules_of(plans: &BTreeMap<String, GroupPlan>) -> BTreeMap<String, GroupRules> {
    plans
        .iter()
        .map(|(logical, plan)| {
            let rules = GroupRules { ingress: plan.ingress.clone(), egress: plan.egress.clone() };
            (logical.clone(), rules)
        })
        .collect()
}

/// The nodes of `spec` before they exist: members by logical name, each with some address of the subnet.
pub fn members(spec: &Spec) -> Vec<Member> {
    spec.nodes()
        .map(|(node, role)| Member {
            node,
            role,
            address: spec.network.subnet_cidr,
            groups: membership(role).iter().map(|group| (*group).to_owned()).collect::<BTreeSet<_>>(),
        })
        .collect()
}

const fn tcp(ports: PortRange, peer: Peer) -> Rule {
    Rule { protocol: Protocol::Tcp, ports: Some(ports), peer }
}

fn group(logical: &str) -> Peer {
    Peer::Group(logical.to_owned())
}
