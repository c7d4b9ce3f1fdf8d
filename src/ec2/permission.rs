//! Our rules and EC2's IpPermissions, both ways.
//!
//! EC2 groups rules: one permission is a protocol and a port range with many peers. A rule is one of
//! these peers. What a [`Rule`] cannot say (IPv6 ranges, prefix lists, single ICMP types) was not
//! made by us; it is left out, with a warning.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{IpPermission, IpRange, UserIdGroupPair};

use crate::network::{Peer, PortRange, Protocol, Rule};

/// Rules as EC2 takes them: one permission for each protocol and port range.
pub(super) fn permissions(rules: &[Rule]) -> Vec<IpPermission> {
    let mut grouped: BTreeMap<(Protocol, Option<PortRange>), Vec<&Peer>> = BTreeMap::new();
    for rule in rules {
        grouped.entry((rule.protocol, rule.ports)).or_default().push(&rule.peer);
    }
    grouped
        .into_iter()
        .map(|((protocol, ports), mut peers)| {
            peers.sort();
            peers.dedup();
            let (from, to) = wire_ports(protocol, ports);
            let permission =
                IpPermission::builder().ip_protocol(protocol.ec2_name()).set_from_port(from).set_to_port(to);
            peers
                .into_iter()
                .fold(permission, |permission, peer| match peer {
                    Peer::Cidr(cidr) => {
                        permission.ip_ranges(IpRange::builder().cidr_ip(cidr.to_string()).build())
                    }
                    Peer::Group(id) => {
                        permission.user_id_group_pairs(UserIdGroupPair::builder().group_id(id).build())
                    }
                })
                .build()
        })
        .collect()
}

/// EC2's permissions as rules, sorted, each once.
pub(super) fn rules(permissions: &[IpPermission]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = permissions.iter().flat_map(rules_of).collect();
    rules.sort();
    rules.dedup();
    rules
}

fn rules_of(permission: &IpPermission) -> Vec<Rule> {
    let Some((protocol, ports)) = protocol_and_ports(permission) else {
        tracing::warn!(?permission, "a security group rule that kubestrap cannot express was passed over");
        return Vec::new();
    };
    if !permission.ipv6_ranges().is_empty() || !permission.prefix_list_ids().is_empty() {
        tracing::warn!(?permission, "IPv6 ranges and prefix lists in a security group rule were passed over");
    }
    let ranges =
        permission.ip_ranges().iter().filter_map(|range| range.cidr_ip()?.parse().ok()).map(Peer::Cidr);
    let groups = permission
        .user_id_group_pairs()
        .iter()
        .filter_map(|pair| pair.group_id().map(str::to_owned))
        .map(Peer::Group);
    ranges.chain(groups).map(|peer| Rule { protocol, ports, peer }).collect()
}

/// The ports as EC2 wants them: TCP and UDP always have a range, ICMP has type and code; of other
/// protocols EC2 ignores them, but its imitations want them there.
fn wire_ports(protocol: Protocol, ports: Option<PortRange>) -> (Option<i32>, Option<i32>) {
    match (protocol, ports) {
        (Protocol::Tcp | Protocol::Udp, Some(ports)) => (Some(ports.from.into()), Some(ports.to.into())),
        (Protocol::Tcp | Protocol::Udp, None) => (Some(0), Some(65_535)),
        (Protocol::Icmp | Protocol::Number(_), _) => (Some(-1), Some(-1)),
        (Protocol::All, _) => (None, None),
    }
}

fn protocol_and_ports(permission: &IpPermission) -> Option<(Protocol, Option<PortRange>)> {
    let protocol = match permission.ip_protocol()? {
        "-1" => Protocol::All,
        "tcp" | "6" => Protocol::Tcp,
        "udp" | "17" => Protocol::Udp,
        "icmp" | "1" => Protocol::Icmp,
        "icmpv6" => Protocol::Number(58),
        number => Protocol::Number(number.parse().ok()?),
    };
    let ports = match (protocol, permission.from_port(), permission.to_port()) {
        (Protocol::Tcp | Protocol::Udp, None | Some(-1 | 0), None | Some(-1 | 65_535)) => None,
        (Protocol::Tcp | Protocol::Udp, Some(from), Some(to)) => {
            Some(PortRange { from: from.try_into().ok()?, to: to.try_into().ok()? })
        }
        (Protocol::Tcp | Protocol::Udp, ..) => return None,
        (Protocol::Icmp, None | Some(-1), _) => None,
        (Protocol::Icmp, ..) => return None,
        _ => None,
    };
    Some((protocol, ports))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(protocol: Protocol, ports: Option<(u16, u16)>, peer: &str) -> Rule {
        let peer = peer.parse().map(Peer::Cidr).unwrap_or_else(|_| Peer::Group(peer.to_owned()));
        Rule { protocol, ports: ports.map(|(from, to)| PortRange { from, to }), peer }
    }

    #[test]
    fn rules_of_one_protocol_and_range_travel_in_one_permission() {
        let sent = permissions(&[
            rule(Protocol::Tcp, Some((6443, 6443)), "sg-1"),
            rule(Protocol::Udp, Some((4789, 4789)), "sg-1"),
            rule(Protocol::Tcp, Some((6443, 6443)), "203.0.113.7/32"),
        ]);
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0].ip_protocol(), Some("tcp"));
        assert_eq!((sent[0].from_port(), sent[0].to_port()), (Some(6443), Some(6443)));
        assert_eq!(sent[0].ip_ranges()[0].cidr_ip(), Some("203.0.113.7/32"));
        assert_eq!(sent[0].user_id_group_pairs()[0].group_id(), Some("sg-1"));
    }

    #[test]
    fn each_protocol_is_sent_with_the_ports_that_ec2_wants() {
        let ports = |protocol, ports| {
            let sent = permissions(&[rule(protocol, ports, "0.0.0.0/0")]);
            (sent[0].ip_protocol().unwrap_or_default().to_owned(), sent[0].from_port(), sent[0].to_port())
        };
        assert_eq!(ports(Protocol::All, None), ("-1".into(), None, None));
        assert_eq!(ports(Protocol::Icmp, None), ("icmp".into(), Some(-1), Some(-1)));
        assert_eq!(ports(Protocol::Number(4), None), ("4".into(), Some(-1), Some(-1)));
        assert_eq!(ports(Protocol::Tcp, None), ("tcp".into(), Some(0), Some(65_535)));
        assert_eq!(ports(Protocol::Udp, Some((1, 9))), ("udp".into(), Some(1), Some(9)));
    }

    #[test]
    fn what_others_wrote_is_read_by_name_and_by_number() {
        let read = |protocol: &str, from, to| {
            let range = IpRange::builder().cidr_ip("0.0.0.0/0").build();
            rules(&[IpPermission::builder()
                .ip_protocol(protocol)
                .set_from_port(from)
                .set_to_port(to)
                .ip_ranges(range)
                .build()])
        };
        assert_eq!(read("6", Some(22), Some(22)), [rule(Protocol::Tcp, Some((22, 22)), "0.0.0.0/0")]);
        assert_eq!(read("17", Some(0), Some(65_535)), [rule(Protocol::Udp, None, "0.0.0.0/0")]);
        assert_eq!(read("-1", Some(-1), Some(-1)), [rule(Protocol::All, None, "0.0.0.0/0")]);
        assert_eq!(read("4", None, None), [rule(Protocol::Number(4), None, "0.0.0.0/0")]);
        assert_eq!(read("icmp", Some(-1), Some(-1)), [rule(Protocol::Icmp, None, "0.0.0.0/0")]);
        // A single ICMP type must not be mistaken for all of ICMP.
        assert_eq!(read("icmp", Some(8), Some(-1)), []);
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        let named = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
        let ported = (named, proptest::option::of((1u16..=65_535, 1u16..=65_535)))
            .prop_map(|(protocol, ports)| (protocol, ports.map(|(a, b)| (a.min(b), a.max(b)))));
        let bare = prop_oneof![
            Just(Protocol::All),
            Just(Protocol::Icmp),
            (2u8..=5).prop_map(Protocol::Number),
            (18u8..=255).prop_map(Protocol::Number),
        ]
        .prop_map(|protocol| (protocol, None));
        let peer = prop_oneof![
            "sg-[0-9a-f]{8}",
            (any::<u32>(), 0u8..=32).prop_map(|(bits, prefix)| {
                ipnet::Ipv4Net::new(bits.into(), prefix).expect("a prefix of at most 32").trunc().to_string()
            })
        ];
        (prop_oneof![ported, bare], peer).prop_map(|((protocol, ports), peer)| rule(protocol, ports, &peer))
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_is_read_back(mut wanted in proptest::collection::vec(any_rule(), 0..12)) {
            let read = rules(&permissions(&wanted));
            wanted.sort();
            wanted.dedup();
            prop_assert_eq!(read, wanted);
        }
    }
}
