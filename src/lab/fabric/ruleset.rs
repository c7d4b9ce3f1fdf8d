//! The nftables ruleset of a VPC, as a pure function of what the world asks for.
//!
//! It follows how EC2 evaluates: the source/destination check, then tracked connections, then the
//! sender's egress gate and the receiver's ingress gate as two verdicts. A gate is a chain that
//! `return`s what a rule admits and drops the rest, so passing one never skips the other.
//!
//! nft 1.0.6 aborts on some anonymous sets that mix values and ranges, hence one rule a range.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};

use crate::lab::desired::{Group, Interface, Vpc};
use crate::network::{Direction, Peer, Protocol, Rule};

/// The instance metadata service.
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The resolver's link-local alias.
pub const RESOLVER_ALIAS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// The fabric's end of the link to the internet.
pub const GATEWAY_LINK: &str = "igw";

/// The name of an interface's peer in the fabric: the kernel allows 15 bytes, so the id is cut.
pub fn link_name(eni: &str) -> String {
    cut("eni-", eni)
}

/// The name of a VPC's gateway link in the lab's own namespace.
pub fn gateway_name(vpc: &str) -> String {
    cut("igw-", vpc)
}

fn cut(prefix: &str, id: &str) -> String {
    let tail = id.split_once('-').map_or(id, |(_, tail)| tail);
    let safe = tail.chars().filter(char::is_ascii_alphanumeric).take(15 - prefix.len());
    prefix.chars().chain(safe).collect()
}

/// The hardware address of an interface, the same for the same id: locally administered, unicast,
/// first byte as on EC2.
pub fn mac_of(eni: &str) -> String {
    let hash = Sha256::digest(eni.as_bytes());
    let tail: Vec<String> = hash.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!("06:{}", tail.join(":"))
}

/// The VPC's resolver: its base address plus two.
pub fn resolver_of(vpc: &Vpc) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(vpc.cidr.network()).saturating_add(2))
}

/// A subnet's router: its base address plus one.
pub fn router_of(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()).saturating_add(1))
}

/// The public address through which an interface talks to the internet, if gateway, route and
/// address are all there.
pub fn public_of(vpc: &Vpc, interface: &Interface) -> Option<Ipv4Addr> {
    let routed = vpc.subnets.iter().any(|subnet| subnet.id == interface.subnet && subnet.routes_to_internet);
    interface.public_ip.filter(|_| vpc.internet_gateway && routed)
}

/// The whole table, replaced in one transaction by `nft -f`. Until an interface is named here its
/// packets are dropped.
pub fn ruleset(vpc: &Vpc) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = render(&mut text, vpc);
    text
}

fn render(out: &mut String, vpc: &Vpc) -> fmt::Result {
    let link = |interface: &Interface| format!("\"{}\"", link_name(&interface.id));
    let own = vpc.interfaces.iter().map(|each| format!("{} . {}", link(each), each.private_ip));
    let unchecked = vpc.interfaces.iter().filter(|each| !each.source_dest_check).map(link);
    let public: Vec<(&Interface, Ipv4Addr)> =
        vpc.interfaces.iter().filter_map(|each| Some((each, public_of(vpc, each)?))).collect();

    writeln!(out, "table ip vpc\ndelete table ip vpc\ntable ip vpc {{")?;
    elements(out, "set own", "ifname . ipv4_addr", own)?;
    elements(out, "set unchecked", "ifname", unchecked)?;
    elements(out, "set internet", "ifname", public.iter().map(|(each, _)| link(each)))?;
    let to_private = public.iter().map(|(each, address)| format!("{address} : {}", each.private_ip));
    elements(out, "map to_private", "ipv4_addr : ipv4_addr", to_private)?;
    let to_public = public.iter().map(|(each, address)| format!("{} : {address}", each.private_ip));
    elements(out, "map to_public", "ipv4_addr : ipv4_addr", to_public)?;
    for group in &vpc.groups {
        let members = vpc.interfaces.iter().filter(|each| each.groups.contains(&group.id)).map(link);
        elements(out, &format!("set {}", set_name(&group.id)), "ifname", members)?;
    }

    let resolver = resolver_of(vpc);
    write!(
        out,
        r#"  chain input {{
    type filter hook input priority filter; policy drop;
    iifname . ip saddr != @own drop
    ct state established,related accept
    ip daddr {METADATA} tcp dport 80 accept
    ip daddr {resolver} udp dport 53 accept
    ip daddr {resolver} tcp dport 53 accept
    ip daddr {RESOLVER_ALIAS} udp dport 53 accept
    ip daddr {RESOLVER_ALIAS} tcp dport 53 accept
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    iifname "eni-*" iifname != @unchecked iifname . ip saddr != @own drop
    oifname "eni-*" oifname != @unchecked oifname . ip daddr != @own drop
    iifname "{GATEWAY_LINK}" oifname != @internet drop
    oifname "{GATEWAY_LINK}" iifname != @internet drop
    oifname "{GATEWAY_LINK}" iifname . ip saddr != @own drop
    ct state established,related accept
    ct state invalid drop
    iifname "eni-*" jump egress
    oifname "eni-*" jump ingress
    iifname "eni-*" accept
    oifname "eni-*" accept
  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname "{GATEWAY_LINK}" dnat to ip daddr map @to_private
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "{GATEWAY_LINK}" snat to ip saddr map @to_public
  }}
"#
    )?;
    gate(out, vpc, Direction::Egress)?;
    gate(out, vpc, Direction::Ingress)?;
    writeln!(out, "}}")
}

fn gate(out: &mut String, vpc: &Vpc, direction: Direction) -> fmt::Result {
    let name = match direction {
        Direction::Egress => "egress",
        Direction::Ingress => "ingress",
    };
    writeln!(out, "  chain {name} {{")?;
    let known: BTreeSet<&str> = vpc.groups.iter().map(|group| group.id.as_str()).collect();
    for group in &vpc.groups {
        let rules = match direction {
            Direction::Egress => &group.egress,
            Direction::Ingress => &group.ingress,
        };
        for rule in rules {
            if let Some(condition) = condition(group, rule, direction, &known) {
                writeln!(out, "    {condition} return")?;
            }
        }
    }
    writeln!(out, "    counter drop\n  }}")
}

/// What a packet must look like for the rule to admit it; `None` where the peer group is unknown,
/// which has no members to match.
fn condition(group: &Group, rule: &Rule, direction: Direction, known: &BTreeSet<&str>) -> Option<String> {
    let (member, peer, address) = match direction {
        Direction::Egress => ("iifname", "oifname", "ip daddr"),
        Direction::Ingress => ("oifname", "iifname", "ip saddr"),
    };
    let mut words = vec![format!("{member} @{}", set_name(&group.id))];
    match &rule.peer {
        // A match on a zero-length prefix is no match at all to nft.
        Peer::Cidr(cidr) if cidr.prefix_len() == 0 => {}
        Peer::Cidr(cidr) => words.push(format!("{address} {}", cidr.trunc())),
        Peer::Group(other) => {
            known.get(other.as_str())?;
            words.push(format!("{peer} @{}", set_name(other)));
        }
    }
    let named = match rule.protocol {
        Protocol::All => None,
        Protocol::Tcp => Some("tcp"),
        Protocol::Udp => Some("udp"),
        Protocol::Icmp => Some("icmp"),
        Protocol::Number(number) => {
            words.push(format!("ip protocol {number}"));
            None
        }
    };
    match (named, rule.ports) {
        (Some(protocol @ ("tcp" | "udp")), Some(ports)) if ports.from == ports.to => {
            words.push(format!("{protocol} dport {}", ports.from));
        }
        (Some(protocol @ ("tcp" | "udp")), Some(ports)) => {
            words.push(format!("{protocol} dport {}-{}", ports.from, ports.to));
        }
        (Some(protocol), _) => words.push(format!("ip protocol {protocol}")),
        (None, _) => {}
    }
    Some(words.join(" "))
}

fn set_name(group: &str) -> String {
    group.chars().map(|each| if each.is_ascii_alphanumeric() { each } else { '_' }).collect()
}

fn elements(out: &mut String, what: &str, of: &str, items: impl Iterator<Item = String>) -> fmt::Result {
    writeln!(out, "  {what} {{\n    type {of}")?;
    let items: Vec<String> = items.collect();
    if !items.is_empty() {
        writeln!(out, "    elements = {{ {} }}", items.join(", "))?;
    }
    writeln!(out, "  }}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::desired::Subnet;
    use crate::network::PortRange;

    fn vpc() -> Vpc {
        let interface = |id: &str, last, public: Option<u8>, groups: &[&str]| Interface {
            id: id.into(),
            machine: format!("i-{last}"),
            subnet: "subnet-1".into(),
            private_ip: Ipv4Addr::new(10, 0, 1, last),
            public_ip: public.map(|last| Ipv4Addr::new(198, 18, 0, last)),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            source_dest_check: last != 5,
        };
        let rule = |protocol, ports: Option<(u16, u16)>, peer| Rule {
            protocol,
            ports: ports.map(|(from, to)| PortRange { from, to }),
            peer,
        };
        let cidr = |text: &str| Peer::Cidr(text.parse().expect("a range"));
        let group = |id: &str| Peer::Group(id.to_owned());
        Vpc {
            id: "vpc-0123456789abcdef0".into(),
            cidr: "10.0.0.0/16".parse().expect("a range"),
            internet_gateway: true,
            subnets: vec![Subnet {
                id: "subnet-1".into(),
                cidr: "10.0.1.0/24".parse().expect("a range"),
                routes_to_internet: true,
            }],
            groups: vec![
                Group {
                    id: "sg-cp".into(),
                    ingress: vec![
                        rule(Protocol::Tcp, Some((6443, 6443)), group("sg-node")),
                        rule(Protocol::Tcp, Some((2379, 2380)), group("sg-cp")),
                        rule(Protocol::Icmp, None, cidr("198.18.0.0/24")),
                        rule(Protocol::Number(4), None, group("sg-node")),
                        rule(Protocol::All, None, group("sg-deleted")),
                    ],
                    egress: vec![rule(Protocol::All, None, cidr("0.0.0.0/0"))],
                },
                Group {
                    id: "sg-node".into(),
                    ingress: vec![rule(Protocol::Udp, Some((4789, 4789)), group("sg-node"))],
                    egress: vec![rule(Protocol::All, None, group("sg-node"))],
                },
            ],
            interfaces: vec![
                interface("eni-0aaaaaaaaaaaaaaa1", 4, Some(130), &["sg-cp", "sg-node"]),
                interface("eni-0bbbbbbbbbbbbbbb2", 5, None, &["sg-node"]),
            ],
        }
    }

    #[test]
    fn the_ruleset_of_a_vpc_reads_as_ec2_evaluates() {
        insta::assert_snapshot!(ruleset(&vpc()), @r#"
        table ip vpc
        delete table ip vpc
        table ip vpc {
          set own {
            type ifname . ipv4_addr
            elements = { "eni-0aaaaaaaaaa" . 10.0.1.4, "eni-0bbbbbbbbbb" . 10.0.1.5 }
          }
          set unchecked {
            type ifname
            elements = { "eni-0bbbbbbbbbb" }
          }
          set internet {
            type ifname
            elements = { "eni-0aaaaaaaaaa" }
          }
          map to_private {
            type ipv4_addr : ipv4_addr
            elements = { 198.18.0.130 : 10.0.1.4 }
          }
          map to_public {
            type ipv4_addr : ipv4_addr
            elements = { 10.0.1.4 : 198.18.0.130 }
          }
          set sg_cp {
            type ifname
            elements = { "eni-0aaaaaaaaaa" }
          }
          set sg_node {
            type ifname
            elements = { "eni-0aaaaaaaaaa", "eni-0bbbbbbbbbb" }
          }
          chain input {
            type filter hook input priority filter; policy drop;
            iifname . ip saddr != @own drop
            ct state established,related accept
            ip daddr 169.254.169.254 tcp dport 80 accept
            ip daddr 10.0.0.2 udp dport 53 accept
            ip daddr 10.0.0.2 tcp dport 53 accept
            ip daddr 169.254.169.253 udp dport 53 accept
            ip daddr 169.254.169.253 tcp dport 53 accept
          }
          chain forward {
            type filter hook forward priority filter; policy drop;
            iifname "eni-*" iifname != @unchecked iifname . ip saddr != @own drop
            oifname "eni-*" oifname != @unchecked oifname . ip daddr != @own drop
            iifname "igw" oifname != @internet drop
            oifname "igw" iifname != @internet drop
            oifname "igw" iifname . ip saddr != @own drop
            ct state established,related accept
            ct state invalid drop
            iifname "eni-*" jump egress
            oifname "eni-*" jump ingress
            iifname "eni-*" accept
            oifname "eni-*" accept
          }
          chain prerouting {
            type nat hook prerouting priority dstnat; policy accept;
            iifname "igw" dnat to ip daddr map @to_private
          }
          chain postrouting {
            type nat hook postrouting priority srcnat; policy accept;
            oifname "igw" snat to ip saddr map @to_public
          }
          chain egress {
            iifname @sg_cp return
            iifname @sg_node oifname @sg_node return
            counter drop
          }
          chain ingress {
            oifname @sg_cp iifname @sg_node tcp dport 6443 return
            oifname @sg_cp iifname @sg_cp tcp dport 2379-2380 return
            oifname @sg_cp ip saddr 198.18.0.0/24 ip protocol icmp return
            oifname @sg_cp iifname @sg_node ip protocol 4 return
            oifname @sg_node iifname @sg_node udp dport 4789 return
            counter drop
          }
        }
        "#);
    }

    #[test]
    fn a_vpc_without_interfaces_admits_nothing() {
        let empty = Vpc { interfaces: Vec::new(), groups: Vec::new(), ..vpc() };
        let text = ruleset(&empty);
        assert_eq!(text.matches("policy drop").count(), 2);
        assert!(text.contains("  chain egress {\n    counter drop\n  }\n"));
        assert!(text.contains("  chain ingress {\n    counter drop\n  }\n"));
    }

    #[test]
    fn a_public_address_counts_only_with_a_gateway_and_a_route_to_it() {
        let vpc = vpc();
        let interface = &vpc.interfaces[0];
        assert_eq!(public_of(&vpc, interface), Some(Ipv4Addr::new(198, 18, 0, 130)));
        assert_eq!(public_of(&Vpc { internet_gateway: false, ..vpc.clone() }, interface), None);
        let mut closed = vpc.clone();
        closed.subnets[0].routes_to_internet = false;
        assert_eq!(public_of(&closed, interface), None);
    }

    #[test]
    fn names_fit_the_kernel_and_carry_nothing_that_nft_would_read() {
        assert_eq!(link_name("eni-0123456789abcdef0"), "eni-0123456789a");
        assert_eq!(gateway_name("vpc-0123456789abcdef0"), "igw-0123456789a");
        assert_eq!(link_name("eni-\"; flush ruleset"), "eni-flushrulese");
        assert_eq!(set_name("sg-0a;b"), "sg_0a_b");
    }
}
