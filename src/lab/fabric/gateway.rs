//! The lab's own namespace seen as the internet: where gateway links of every VPC end, public
//! addresses are answered for, and nodes reach the endpoint, the registry and the sources.

use std::fmt::Write;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// How the lab stands in its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The network between the user's host and the lab; public addresses come from it.
    pub subnet: Ipv4Net,
    /// The lab's own address there.
    pub address: Ipv4Addr,
    /// The interface that has it.
    pub uplink: String,
    /// TCP ports of the lab that nodes may use.
    pub services: Vec<u16>,
    /// Whether nodes may reach beyond `subnet`.
    pub internet: bool,
}

/// The fabric's end of every gateway link.
pub const INSIDE: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The internet's end of every gateway link.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);

/// Kernel settings of the lab's own namespace.
pub fn settings(site: &Site) -> Vec<(String, String)> {
    let uplink = &site.uplink;
    [
        ("ipv4/ip_forward".to_owned(), "1"),
        // A hairpin between public addresses leaves by the link it came from.
        ("ipv4/conf/all/send_redirects".to_owned(), "0"),
        ("ipv4/conf/default/send_redirects".to_owned(), "0"),
        ("ipv4/conf/all/rp_filter".to_owned(), "0"),
        ("ipv4/conf/default/rp_filter".to_owned(), "0"),
        (format!("ipv4/conf/{uplink}/send_redirects"), "0"),
        // The uplink answers for the public addresses; at once, not after the usual random delay.
        (format!("ipv4/conf/{uplink}/proxy_arp"), "1"),
        (format!("ipv4/neigh/{uplink}/proxy_delay"), "0"),
    ]
    .into_iter()
    .map(|(name, value)| (name, value.to_owned()))
    .collect()
}

/// The table of the lab's own namespace: nodes reach the named services, each other's public
/// addresses and, only if asked for, the world. The user's host reaches public addresses; nodes
/// do not reach the host.
pub fn ruleset(site: &Site) -> String {
    let Site { subnet, address, uplink, services, internet } = site;
    let mut text = String::from("table ip lab\ndelete table ip lab\ntable ip lab {\n");
    let mut line = |depth: usize, words: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:width$}{words}", "", width = depth * 2);
    };
    line(1, "chain input {");
    line(2, "type filter hook input priority filter; policy accept;");
    line(2, "iifname \"igw-*\" ct state established,related accept");
    for port in services {
        line(2, &format!("iifname \"igw-*\" ip daddr {address} tcp dport {port} accept"));
    }
    line(2, &format!("iifname \"igw-*\" ip daddr {address} icmp type echo-request accept"));
    line(2, "iifname \"igw-*\" counter drop");
    line(1, "}");
    line(1, "chain forward {");
    line(2, "type filter hook forward priority filter; policy drop;");
    line(2, "ct state established,related accept");
    line(2, &format!("iifname \"{uplink}\" oifname \"igw-*\" ip saddr {subnet} accept"));
    line(2, "iifname \"igw-*\" oifname \"igw-*\" accept");
    if *internet {
        line(2, &format!("iifname \"igw-*\" oifname \"{uplink}\" ip daddr != {subnet} accept"));
    }
    line(2, "iifname \"igw-*\" reject with icmp type admin-prohibited");
    line(1, "}");
    text.push_str("}\n");
    text
}
