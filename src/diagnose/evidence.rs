//! Everything the rules judge. Plain data: a captured [`Evidence`] is a regression fixture.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::network::{Endpoint, Flow, GroupRules, Member, PortRange, Protocol, Rule};
use crate::spec::Role;

/// What was seen of one cluster at one time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What Kubernetes says and what its pods can do.
    pub cluster: ClusterEvidence,
    /// What EC2 says.
    pub cloud: CloudEvidence,
}

/// Whether the API server can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum ApiState {
    /// It answers.
    Answers,
    /// It does not.
    Unreachable {
        /// The transport error.
        message: String,
    },
    /// It refuses our certificate.
    Unauthorized {
        /// What it said.
        message: String,
    },
    /// There is no kubeconfig here.
    NoKubeconfig,
}

/// What Kubernetes says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterEvidence {
    /// URL of the API server; empty without a kubeconfig.
    pub endpoint: String,
    /// Whether it answers. If not, everything below is empty.
    pub api: ApiState,
    /// All nodes.
    pub nodes: Vec<NodeEvidence>,
    /// Replicas that the CoreDNS Deployment asks for; `None` when there is no Deployment.
    pub coredns_replicas: Option<i32>,
    /// Its pods.
    pub coredns: Vec<PodEvidence>,
    /// The last lines that a CoreDNS container which does not run wrote.
    pub coredns_log: Vec<String>,
    /// The Service kube-dns; `None` when there is none.
    pub kube_dns: Option<ServiceEvidence>,
    /// calico-node, one pod a node.
    pub calico: Vec<PodEvidence>,
    /// kube-proxy, one pod a node.
    pub kube_proxy: Vec<PodEvidence>,
    /// The probe of every node: whether a lookup could be made from there at all.
    pub probes: Vec<ProbeEvidence>,
    /// The lookups.
    pub lookups: Vec<Lookup>,
    /// Questions to the API server that failed, with its answer.
    pub failures: Vec<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEvidence {
    /// Name.
    pub name: String,
    /// Condition Ready is True.
    pub ready: bool,
    /// Why it is not.
    pub reason: Option<String>,
    /// InternalIP.
    pub internal_ip: Option<String>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodEvidence {
    /// Name.
    pub name: String,
    /// Node it is on; empty while unscheduled.
    pub node: String,
    /// Its address.
    pub ip: Option<String>,
    /// `Pending`, `Running`, ...
    pub phase: String,
    /// Condition Ready is True.
    pub ready: bool,
    /// Why it is not, e.g. `container coredns: CrashLoopBackOff: ...`.
    pub reason: Option<String>,
}

/// The Service kube-dns and what is behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEvidence {
    /// Its address.
    pub cluster_ip: String,
    /// `k8s-app=kube-dns`.
    pub selector: String,
    /// `udp 53`, `tcp 53`.
    pub ports: Vec<String>,
    /// Ready addresses of its EndpointSlices.
    pub ready: Vec<String>,
    /// Addresses that are there and not ready.
    pub not_ready: Vec<String>,
}

/// The probe of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeEvidence {
    /// The node.
    pub node: String,
    /// The pod that the lookups are made from, if there is one.
    pub pod: Option<String>,
    /// What came of it.
    pub outcome: ProbeOutcome,
}

/// What came of asking a probe to look names up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", content = "message")]
pub enum ProbeOutcome {
    /// It did; the lookups are in the evidence.
    Ran,
    /// Its pod does not run: why.
    NotRunning(String),
    /// The API server could not reach the pod's kubelet, or the command failed: what was said.
    ExecFailed(String),
}

/// Who was asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Target {
    /// The Service kube-dns, by its address.
    Service,
    /// One CoreDNS pod, by its address.
    Pod {
        /// Its name.
        name: String,
        /// Node it is on.
        node: String,
    },
}

/// How the question travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// UDP port 53.
    Udp,
    /// TCP port 53.
    Tcp,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum Answer {
    /// The address, after so many milliseconds (in steps of 10).
    Answered {
        /// Milliseconds.
        ms: u64,
    },
    /// Nothing within three seconds.
    TimedOut,
    /// The port is closed.
    Refused,
    /// A server answered that there is no such name.
    NxDomain,
    /// Anything else.
    Other {
        /// What was said.
        text: String,
    },
}

/// One question from one pod to one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    /// Node of the asking pod.
    pub from_node: String,
    /// The asking pod.
    pub from_pod: String,
    /// Who was asked.
    pub target: Target,
    /// By which address.
    pub server: Ipv4Addr,
    /// How.
    pub transport: Transport,
    /// What came back.
    pub answer: Answer,
}

/// What EC2 says of the cluster's groups and instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudEvidence {
    /// Region, for commands.
    pub region: String,
    /// EC2 endpoint URL when it is not AWS's own, for commands.
    pub endpoint: Option<String>,
    /// Why EC2 could not be asked; then the rest is empty.
    pub failure: Option<String>,
    /// The cluster's security groups.
    pub groups: Vec<GroupEvidence>,
    /// Groups of others that a member is in; their logical names are empty.
    #[serde(default)]
    pub attached: Vec<GroupEvidence>,
    /// The instances.
    pub members: Vec<MemberEvidence>,
    /// Nodes of the spec that have no instance.
    #[serde(default)]
    pub absent: Vec<AbsentEvidence>,
    /// What must pass.
    pub flows: Vec<FlowEvidence>,
}

/// A node of the spec that has no instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsentEvidence {
    /// Node name.
    pub node: String,
    /// Whether it is of the control plane.
    pub control_plane: bool,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupEvidence {
    /// `nodes`, `control-plane`.
    pub logical: String,
    /// `sg-...`.
    pub id: String,
    /// Name.
    pub name: String,
    /// Rules for arriving packets; peers are ids.
    pub ingress: Vec<Rule>,
    /// Rules for packets sent.
    pub egress: Vec<Rule>,
}

/// An instance and the groups of its interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberEvidence {
    /// Node name.
    pub node: String,
    /// Whether it is of the control plane.
    pub control_plane: bool,
    /// `i-...`.
    pub instance: String,
    /// `running`, ...
    pub state: String,
    /// Primary private address.
    pub private_ip: Option<Ipv4Addr>,
    /// Group ids.
    pub groups: Vec<String>,
}

/// Packets that must pass; see [`Flow`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowEvidence {
    /// `vxlan`, `api/nodes`, `kubelet`, ...
    pub name: String,
    /// Protocol on the wire.
    pub protocol: Protocol,
    /// Destination ports; absent is all.
    pub ports: Option<PortRange>,
    /// Who opens it.
    pub from: FlowEnd,
    /// Who is reached.
    pub to: FlowEnd,
}

/// One side of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlowEnd {
    /// Every node.
    AnyNode,
    /// The control plane's nodes.
    ControlPlane,
    /// The workers.
    Workers,
    /// Addresses outside.
    Outside(Ipv4Net),
}

impl ClusterEvidence {
    /// What is known when the API server cannot be asked: nothing but that.
    pub fn without_api(endpoint: &str, api: ApiState) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            api,
            nodes: Vec::new(),
            coredns_replicas: None,
            coredns: Vec::new(),
            coredns_log: Vec::new(),
            kube_dns: None,
            calico: Vec::new(),
            kube_proxy: Vec::new(),
            probes: Vec::new(),
            lookups: Vec::new(),
            failures: Vec::new(),
        }
    }
}

impl CloudEvidence {
    /// The flows in the words of the proof.
    pub fn flows(&self) -> Vec<Flow> {
        let flow = |flow: &FlowEvidence| Flow {
            name: flow.name.clone(),
            protocol: flow.protocol,
            ports: flow.ports,
            from: flow.from.into(),
            to: flow.to.into(),
            why: "",
        };
        self.flows.iter().map(flow).collect()
    }

    /// The instances that run, in the words of the proof.
    pub fn members(&self) -> Vec<Member> {
        let member = |member: &MemberEvidence| {
            Some(Member {
                node: member.node.clone(),
                role: if member.control_plane { Role::ControlPlane } else { Role::Worker },
                address: Ipv4Net::new_assert(member.private_ip?, 32),
                groups: member.groups.iter().cloned().collect(),
            })
        };
        self.members.iter().filter(|member| member.state == "running").filter_map(member).collect()
    }

    /// The rules of all groups, by id.
    pub fn rules(&self) -> BTreeMap<String, GroupRules> {
        let rules = |group: &GroupEvidence| {
            (group.id.clone(), GroupRules { ingress: group.ingress.clone(), egress: group.egress.clone() })
        };
        self.groups.iter().chain(&self.attached).map(rules).collect()
    }
}

impl From<&Flow> for FlowEvidence {
    fn from(flow: &Flow) -> Self {
        Self {
            name: flow.name.clone(),
            protocol: flow.protocol,
            ports: flow.ports,
            from: flow.from.into(),
            to: flow.to.into(),
        }
    }
}

impl From<Endpoint> for FlowEnd {
    fn from(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::AnyNode => FlowEnd::AnyNode,
            Endpoint::Role(Role::ControlPlane) => FlowEnd::ControlPlane,
            Endpoint::Role(Role::Worker) => FlowEnd::Workers,
            Endpoint::Cidr(cidr) => FlowEnd::Outside(cidr),
        }
    }
}

impl From<FlowEnd> for Endpoint {
    fn from(end: FlowEnd) -> Self {
        match end {
            FlowEnd::AnyNode => Endpoint::AnyNode,
            FlowEnd::ControlPlane => Endpoint::Role(Role::ControlPlane),
            FlowEnd::Workers => Endpoint::Role(Role::Worker),
            FlowEnd::Outside(cidr) => Endpoint::Cidr(cidr),
        }
    }
}

impl Lookup {
    /// Whether the server asked is a pod on the asking pod's node; `None` for the Service.
    pub fn same_node(&self) -> Option<bool> {
        match &self.target {
            Target::Service => None,
            Target::Pod { node, .. } => Some(*node == self.from_node),
        }
    }

    /// Whether the address came back.
    pub fn answered(&self) -> bool {
        matches!(self.answer, Answer::Answered { .. })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Answered { ms } => write!(f, "answered in {ms} ms"),
            Answer::TimedOut => f.write_str("no answer"),
            Answer::Refused => f.write_str("connection refused"),
            Answer::NxDomain => f.write_str("no such name"),
            Answer::Other { text } => f.write_str(text),
        }
    }
}

impl fmt::Display for Lookup {
    /// `general-1 -> coredns-abc on control-plane-1 (192.168.1.2), UDP: no answer`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> ", self.from_node)?;
        match &self.target {
            Target::Service => write!(f, "kube-dns ({})", self.server)?,
            Target::Pod { name, node } => write!(f, "{name} on {node} ({})", self.server)?,
        }
        write!(f, ", {}: {}", self.transport, self.answer)
    }
}
