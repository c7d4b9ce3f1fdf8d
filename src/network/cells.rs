//! Why a proof over concrete packets is a proof: the cells on which all rules agree.
//!
//! A rule is an interval of addresses times an interval of ports times a set of protocols. Cut an
//! interval of packets at both ends of every rule's interval: inside a piece no rule can tell two packets
//! apart, so one packet of each piece stands for all of them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::rule::{Peer, PortRange, Protocol, Rule};

/// First values of the pieces of `whole` cut by `cuts`, with the last value of each piece.
fn pieces(whole: (u32, u32), cuts: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
    let (low, high) = whole;
    let mut starts = BTreeSet::from([low]);
    for (from, to) in cuts {
        starts.insert(from);
        starts.extend(to.checked_add(1));
    }
    let starts: Vec<u32> = starts.into_iter().filter(|start| (low..=high).contains(start)).collect();
    let ends = starts.iter().skip(1).map(|next| next - 1).chain([high]);
    starts.iter().copied().zip(ends).collect()
}

/// Which side of a packet an address is for; it only makes the two of an example differ.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Source = 4,
    Destination = 5,
}

/// One address of each piece of `range`, as the CIDR peers of `rules` cut it.
pub(super) fn addresses<'a>(
    range: Ipv4Net,
    side: Side,
    rules: impl Iterator<Item = &'a Rule>,
) -> Vec<Ipv4Addr> {
    let cuts = rules.filter_map(|rule| match &rule.peer {
        Peer::Cidr(cidr) => Some(bounds(*cidr)),
        Peer::Group(_) => None,
    });
    pieces(bounds(range), cuts).into_iter().map(|(first, last)| telling(first, last, side)).collect()
}

/// An address of the piece that reads like one: not a network address, if there is room.
fn telling(first: u32, last: u32, side: Side) -> Ipv4Addr {
    // Somewhere on the internet, if that is what the piece is.
    let somewhere = [Ipv4Addr::new(203, 0, 113, 10), Ipv4Addr::new(1, 0, 0, 10)].map(u32::from);
    let address = match somewhere.into_iter().find(|address| (first..=last).contains(address)) {
        Some(address) if first == 0 => address,
        // EC2 keeps the first four addresses of a subnet for itself.
        _ if last - first >= 8 => first + side as u32,
        _ => first,
    };
    Ipv4Addr::from(address)
}

fn bounds(cidr: Ipv4Net) -> (u32, u32) {
    (u32::from(cidr.network()), u32::from(cidr.broadcast()))
}

/// One (protocol, port) of each piece of a flow or a rule, as `rules` cut it. Never [`Protocol::All`].
pub(super) fn protocols<'a>(
    protocol: Protocol,
    ports: Option<PortRange>,
    rules: impl Iterator<Item = &'a Rule> + Clone,
) -> Vec<(Protocol, Option<u16>)> {
    let mut protocols = BTreeSet::from([protocol.canonical()]);
    if protocol == Protocol::All {
        protocols = BTreeSet::from([Protocol::Tcp, Protocol::Udp, Protocol::Icmp]);
        let named = rules.clone().map(|rule| rule.protocol.canonical());
        protocols.extend(named.filter(|protocol| *protocol != Protocol::All));
        // And one that no rule names, so that no list of protocols passes for "all".
        let unnamed = (0..=u8::MAX).rev().map(|number| Protocol::Number(number).canonical());
        protocols.extend(unnamed.into_iter().find(|protocol| !protocols.contains(protocol)));
    }
    let mut cells = Vec::new();
    for protocol in protocols {
        if !protocol.has_ports() {
            cells.push((protocol, None));
            continue;
        }
        let whole = ports.map_or((0, u32::from(u16::MAX)), |range| (range.from.into(), range.to.into()));
        let cuts =
            rules.clone().filter_map(|rule| rule.ports).map(|range| (range.from.into(), range.to.into()));
        // Port 0 is legal in a rule and odd in an example.
        let example = |(first, last)| if first == 0 && last >= 443 { 443 } else { first };
        let examples = pieces(whole, cuts).into_iter().filter_map(|piece| u16::try_from(example(piece)).ok());
        cells.extend(examples.map(|port| (protocol, Some(port))));
    }
    cells
}
