//! Security group rules as EC2 evaluates them: allow-lists of (protocol, ports, peer).

use std::fmt;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Which gate a rule belongs to. EC2 evaluates them independently: the sender's egress, then the
/// receiver's ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Packets that arrive at a member of the group.
    Ingress,
    /// Packets that a member of the group sends.
    Egress,
}

/// An IP protocol as a rule names it. `-1` on the wire is [`Protocol::All`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Every protocol and port.
    All,
    /// TCP, protocol 6.
    Tcp,
    /// UDP, protocol 17.
    Udp,
    /// ICMP, protocol 1.
    Icmp,
    /// Any other protocol by its IANA number: IP-in-IP is 4 (94 is a classic mistake).
    Number(u8),
}

/// Ports, both ends included. For ICMP on the wire these are type and code; we carry no ICMP
/// rule narrower than "all types", so a range is TCP or UDP only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortRange {
    /// First port.
    pub from: u16,
    /// Last port.
    pub to: u16,
}

/// Whom a rule admits: an address range, or the *interfaces* that are members of a group.
///
/// `G` is how a group is named: its logical name in a plan, its `sg-...` id in the cloud.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Peer<G = String> {
    /// Addresses as seen on the wire.
    Cidr(Ipv4Net),
    /// Members of a group, told by their interface and not by their address.
    Group(G),
}

/// One rule: allow `protocol` to `ports` from (ingress) or to (egress) `peer`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rule<G = String> {
    /// The protocol allowed.
    pub protocol: Protocol,
    /// The destination ports allowed; `None` is all of them.
    pub ports: Option<PortRange>,
    /// The other side.
    pub peer: Peer<G>,
}

impl PortRange {
    /// A range of one port.
    pub const fn single(port: u16) -> Self {
        Self { from: port, to: port }
    }

    /// Whether `port` is inside.
    pub const fn contains(&self, port: u16) -> bool {
        self.from <= port && port <= self.to
    }
}

impl Protocol {
    /// As the EC2 API writes it: `-1`, `tcp`, `udp`, `icmp`, or the number.
    pub fn ec2_name(&self) -> String {
        match self {
            Protocol::All => "-1".into(),
            Protocol::Tcp => "tcp".into(),
            Protocol::Udp => "udp".into(),
            Protocol::Icmp => "icmp".into(),
            Protocol::Number(number) => number.to_string(),
        }
    }

    /// The one way to write a protocol: 6, 17 and 1 are TCP, UDP and ICMP.
    pub const fn canonical(self) -> Self {
        match self {
            Protocol::Number(1) => Protocol::Icmp,
            Protocol::Number(6) => Protocol::Tcp,
            Protocol::Number(17) => Protocol::Udp,
            other => other,
        }
    }

    /// Whether its packets have ports that a rule can tell apart.
    pub const fn has_ports(self) -> bool {
        matches!(self.canonical(), Protocol::Tcp | Protocol::Udp)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Protocol::All => f.write_str("all"),
            Protocol::Number(number) => write!(f, "protocol {number}"),
            named => f.write_str(&named.ec2_name()),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.from == self.to { write!(f, "{}", self.from) } else { write!(f, "{}-{}", self.from, self.to) }
    }
}

impl<G: fmt::Display> fmt::Display for Peer<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Cidr(cidr) => cidr.fmt(f),
            Peer::Group(group) => group.fmt(f),
        }
    }
}

impl<G: fmt::Display> fmt::Display for Rule<G> {
    /// `udp 4789 sg-0abc`, `all 0.0.0.0/0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ports {
            Some(ports) => write!(f, "{} {} {}", self.protocol, ports, self.peer),
            None => write!(f, "{} {}", self.protocol, self.peer),
        }
    }
}

impl Rule {
    /// The rule as the AWS CLI's `--ip-permissions` takes it, in shorthand.
    pub fn ip_permission(&self) -> String {
        let mut text = format!("IpProtocol={}", self.protocol.canonical().ec2_name());
        if self.protocol.has_ports() {
            let ports = self.ports.unwrap_or(PortRange { from: 0, to: u16::MAX });
            text.push_str(&format!(",FromPort={},ToPort={}", ports.from, ports.to));
        } else if self.protocol.canonical() == Protocol::Icmp {
            text.push_str(",FromPort=-1,ToPort=-1");
        }
        match &self.peer {
            Peer::Cidr(cidr) => text.push_str(&format!(",IpRanges=[{{CidrIp={cidr}}}]")),
            Peer::Group(group) => text.push_str(&format!(",UserIdGroupPairs=[{{GroupId={group}}}]")),
        }
        text
    }
}
