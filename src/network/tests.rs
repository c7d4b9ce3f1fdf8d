use std::collections::{BTreeMap, BTreeSet};

use insta::assert_snapshot;
use ipnet::Ipv4Net;

use super::*;
use crate::spec::*;

/// The reference deployment, by hand: these tests are about the network, not about reading TOML.
fn reference() -> Spec {
    let pool = |name: &str, role, count| Pool {
        name: name.into(),
        role,
        count,
        instance_type: "t3.medium".into(),
        disk_gib: 20,
    };
    Spec {
        name: "books".into(),
        kubernetes: "1.36.3".into(),
        provider: Provider {
            kind: ProviderKind::Aws,
            region: "ap-northeast-1".into(),
            zone: None,
            profile: None,
            endpoint: None,
            allowed_account_ids: Vec::new(),
            image: ImageSource::Ami("ami-0123456789abcdef0".into()),
        },
        network: Network {
            vpc_cidr: cidr("10.0.0.0/16"),
            subnet_cidr: cidr("10.0.0.0/20"),
            pod_cidr: cidr("192.168.0.0/16"),
            service_cidr: cidr("10.96.0.0/12"),
            admin_cidrs: vec![cidr("203.0.113.7/32")],
            node_ports: vec![NodePort { port: 30997, from: vec![cidr("0.0.0.0/0")] }],
            intra_cluster: IntraCluster::Least,
        },
        calico: Calico { version: "3.31.0".into(), encapsulation: Encapsulation::Vxlan },
        control_plane: pool("control-plane", Role::ControlPlane, 1),
        workers: vec![pool("general", Role::Worker, 2)],
        ssh: Ssh { user: "admin".into(), timeout_seconds: 180 },
        sources: Sources::default(),
        services: Vec::new(),
    }
}

fn cidr(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn rule(protocol: Protocol, port: Option<u16>, peer: &str) -> Rule {
    let peer = peer.parse().map_or_else(|_| Peer::Group(peer.to_owned()), Peer::Cidr);
    Rule { protocol, ports: port.map(PortRange::single), peer }
}

/// What prove, excess and missing_rules take, for a spec.
fn case(spec: &Spec) -> (Vec<Flow>, Vec<Member>, BTreeMap<String, GroupRules>) {
    (required(spec), members(spec), rules_of(&plan_groups(spec)))
}

fn lines<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| format!("{item}\n")).collect()
}

#[test]
fn the_reference_deployment_requires_the_flows_of_the_table() {
    assert_snapshot!(lines(required(&reference())), @"
    api/nodes: tcp 6443 from every node to the control plane
    api/203.0.113.7/32: tcp 6443 from 203.0.113.7/32 to the control plane
    kubelet: tcp 10250 from the control plane to every node
    ssh/203.0.113.7/32: tcp 22 from 203.0.113.7/32 to every node
    node-port-30997/0.0.0.0/0: tcp 30997 from 0.0.0.0/0 to every node
    vxlan: udp 4789 from every node to every node
    egress: all from every node to 0.0.0.0/0
    ");
}

#[test]
fn least_privilege_is_one_rule_a_flow() {
    let groups = plan_groups(&reference());
    let text: String = groups
        .values()
        .flat_map(|group| {
            let ingress = group.ingress.iter().map(move |rule| format!("{} ingress {rule}\n", group.name));
            ingress.chain(group.egress.iter().map(move |rule| format!("{} egress {rule}\n", group.name)))
        })
        .collect();
    assert_snapshot!(text, @"
    kubestrap-books-control-plane ingress tcp 6443 nodes
    kubestrap-books-control-plane ingress tcp 6443 203.0.113.7/32
    kubestrap-books-nodes ingress tcp 10250 control-plane
    kubestrap-books-nodes ingress udp 4789 nodes
    kubestrap-books-nodes ingress tcp 22 203.0.113.7/32
    kubestrap-books-nodes ingress tcp 30997 0.0.0.0/0
    kubestrap-books-nodes egress all 0.0.0.0/0
    ");
}

#[test]
fn both_profiles_are_proven_with_one_and_with_three_control_planes() {
    for profile in [IntraCluster::Least, IntraCluster::All] {
        for control_planes in [1, 3] {
            let mut spec = reference();
            spec.network.intra_cluster = profile;
            spec.control_plane.count = control_planes;
            let proof = prove_spec(&spec);
            assert_eq!(proof.counterexamples, [], "{profile:?} {control_planes}");
            assert_eq!(proof.proven, proof.required);
            assert_eq!(proof.required, if control_planes == 1 { 7 } else { 8 });
        }
    }
}

#[test]
fn no_planned_rule_of_least_privilege_admits_more_than_the_flows() {
    let mut spec = reference();
    for control_planes in [1, 3] {
        spec.control_plane.count = control_planes;
        let (flows, members, groups) = case(&spec);
        assert_eq!(lines(excess(&flows, &members, &groups)), "");
    }
}

#[test]
fn deleting_each_rule_breaks_exactly_the_flows_it_is_for() {
    for profile in [IntraCluster::Least, IntraCluster::All] {
        let mut spec = reference();
        spec.control_plane.count = 3;
        spec.network.intra_cluster = profile;
        let (flows, members, groups) = case(&spec);
        let mut table = String::new();
        for (group, rules) in &groups {
            for (direction, rules) in
                [(Direction::Ingress, &rules.ingress), (Direction::Egress, &rules.egress)]
            {
                for rule in rules {
                    let broken = broken_by_removal(&flows, &members, &groups, group, direction, rule);
                    assert!(!broken.is_empty(), "{rule} of {group} is for nothing");
                    let broken: Vec<String> = broken.into_iter().collect();
                    table.push_str(&format!("{group} {direction} {rule}: {}\n", broken.join(", ")));
                }
            }
        }
        match profile {
            IntraCluster::Least => assert_snapshot!(table, @"
            control-plane ingress tcp 6443 nodes: api/nodes
            control-plane ingress tcp 2379-2380 control-plane: etcd
            control-plane ingress tcp 6443 203.0.113.7/32: api/203.0.113.7/32
            nodes ingress tcp 10250 control-plane: kubelet
            nodes ingress udp 4789 nodes: vxlan
            nodes ingress tcp 22 203.0.113.7/32: ssh/203.0.113.7/32
            nodes ingress tcp 30997 0.0.0.0/0: node-port-30997/0.0.0.0/0
            nodes egress all 0.0.0.0/0: api/nodes, egress, etcd, kubelet, vxlan
            "),
            IntraCluster::All => assert_snapshot!(table, @"
            control-plane ingress tcp 6443 203.0.113.7/32: api/203.0.113.7/32
            nodes ingress all nodes: api/nodes, etcd, kubelet, vxlan
            nodes ingress tcp 22 203.0.113.7/32: ssh/203.0.113.7/32
            nodes ingress tcp 30997 0.0.0.0/0: node-port-30997/0.0.0.0/0
            nodes egress all 0.0.0.0/0: api/nodes, egress, etcd, kubelet, vxlan
            "),
        }
    }
}

#[test]
fn the_dns_incident_members_cannot_reach_each_other() {
    let (flows, members, mut groups) = case(&reference());
    // SSH, the API server and NodePorts are open, and nothing lets members reach each other.
    let nodes = groups.get_mut(NODES).unwrap();
    nodes.ingress.retain(|rule| matches!(rule.peer, Peer::Cidr(_)));
    let proof = prove(&flows, &members, &groups);
    assert_snapshot!(lines(&proof.counterexamples), @"
    kubelet: tcp 10250 from control-plane-1 (10.0.0.4) to general-1 (10.0.0.5) is stopped by the ingress rules of general-1 (nodes); missing: ingress of nodes: tcp 10250 control-plane
    vxlan: udp 4789 from control-plane-1 (10.0.0.4) to general-1 (10.0.0.5) is stopped by the ingress rules of general-1 (nodes); missing: ingress of nodes: udp 4789 nodes
    vxlan: udp 4789 from general-1 (10.0.0.4) to control-plane-1 (10.0.0.5) is stopped by the ingress rules of control-plane-1 (control-plane, nodes); missing: ingress of nodes: udp 4789 nodes
    vxlan: udp 4789 from general-1 (10.0.0.4) to general-2 (10.0.0.5) is stopped by the ingress rules of general-2 (nodes); missing: ingress of nodes: udp 4789 nodes
    ");
    assert_eq!((proof.required, proof.proven), (7, 5));
}

#[test]
fn a_tcp_only_self_reference_leaves_vxlan_without_a_way() {
    let (flows, members, mut groups) = case(&reference());
    let nodes = groups.get_mut(NODES).unwrap();
    nodes.ingress.retain(|rule| matches!(rule.peer, Peer::Cidr(_)));
    nodes.ingress.push(rule(Protocol::Tcp, None, NODES));
    let proof = prove(&flows, &members, &groups);
    assert!(proof.counterexamples.iter().all(|counterexample| counterexample.flow == "vxlan"));
    assert_snapshot!(&proof.counterexamples[0], @"vxlan: udp 4789 from control-plane-1 (10.0.0.4) to general-1 (10.0.0.5) is stopped by the ingress rules of general-1 (nodes); missing: ingress of nodes: udp 4789 nodes");
    let missing = missing_rules(&flows, &members, &groups);
    assert_snapshot!(lines(&missing), @"ingress of nodes: udp 4789 nodes");
}

#[test]
fn ip_in_ip_is_protocol_4_and_not_94() {
    let (_, members, mut groups) = case(&reference());
    let flows = [Flow {
        name: "ip-in-ip".into(),
        protocol: Protocol::Number(4),
        ports: None,
        from: Endpoint::AnyNode,
        to: Endpoint::AnyNode,
        why: "Calico's other encapsulation",
    }];
    groups.get_mut(NODES).unwrap().ingress.push(rule(Protocol::Number(94), None, NODES));
    let proof = prove(&flows, &members, &groups);
    assert_snapshot!(&proof.counterexamples[0], @"ip-in-ip: protocol 4 from control-plane-1 (10.0.0.4) to general-1 (10.0.0.5) is stopped by the ingress rules of general-1 (nodes); missing: ingress of nodes: protocol 4 nodes");
    groups.get_mut(NODES).unwrap().ingress.push(rule(Protocol::Number(4), None, NODES));
    assert_eq!(prove(&flows, &members, &groups).counterexamples, []);
}

#[test]
fn a_node_that_takes_the_public_way_is_no_member() {
    // The internet gateway rewrites the source to 198.51.100.9: the group rule does not match it.
    let (_, members, groups) = case(&reference());
    let mut flow = required(&reference()).remove(0);
    assert_eq!(flow.name, "api/nodes");
    assert_eq!(prove(std::slice::from_ref(&flow), &members, &groups).proven, 1);
    flow.from = Endpoint::Cidr(cidr("198.51.100.9/32"));
    assert_snapshot!(&prove(&[flow], &members, &groups).counterexamples[0], @"api/nodes: tcp 6443 from 198.51.100.9/32 (198.51.100.9) to control-plane-1 (10.0.0.5) is stopped by the ingress rules of control-plane-1 (control-plane, nodes); missing: ingress of control-plane: tcp 6443 198.51.100.9/32");
}

#[test]
fn a_range_that_leaves_out_one_address_is_not_enough() {
    let (flows, members, mut groups) = case(&reference());
    let nodes = groups.get_mut(NODES).unwrap();
    nodes.ingress.retain(|kept| kept.ports != Some(PortRange::single(30997)));
    // All of 0.0.0.0/0 but 77.1.2.3.
    let mut rest = cidr("0.0.0.0/0");
    let hole = cidr("77.1.2.3/32");
    while rest != hole {
        let halves: Vec<Ipv4Net> = rest.subnets(rest.prefix_len() + 1).unwrap().collect();
        let (with, without) =
            if halves[0].contains(&hole) { (halves[0], halves[1]) } else { (halves[1], halves[0]) };
        nodes.ingress.push(rule(Protocol::Tcp, Some(30997), &without.to_string()));
        rest = with;
    }
    let proof = prove(&flows, &members, &groups);
    assert!(proof.counterexamples.iter().all(|found| found.packet.source == hole.addr()));
    assert_eq!(proof.counterexamples.len(), 2, "the control plane and the workers");
}

#[test]
fn observed_groups_are_judged_by_id_and_the_fix_is_a_command() {
    let spec = reference();
    let ids = BTreeMap::from([
        (CONTROL_PLANE.to_owned(), "sg-0c".to_owned()),
        (NODES.to_owned(), "sg-0e".to_owned()),
    ]);
    let mut groups: BTreeMap<String, GroupRules> = rules_of(&plan_groups(&spec))
        .into_iter()
        .map(|(logical, rules)| {
            let ingress = resolve(&rules.ingress, &ids).unwrap();
            (ids[&logical].clone(), GroupRules { ingress, egress: rules.egress })
        })
        .collect();
    let members: Vec<Member> = members(&spec)
        .into_iter()
        .zip(11_u8..)
        .map(|(member, last)| Member {
            address: cidr(&format!("10.0.0.{last}/32")),
            groups: member.groups.iter().map(|logical| ids[logical].clone()).collect(),
            ..member
        })
        .collect();
    let flows = required(&spec);
    assert_eq!(prove(&flows, &members, &groups).counterexamples, []);
    groups.get_mut("sg-0e").unwrap().ingress.retain(|rule| rule.protocol != Protocol::Udp);
    let proof = prove(&flows, &members, &groups);
    assert_snapshot!(lines(&proof.counterexamples), @"
    vxlan: udp 4789 from control-plane-1 (10.0.0.11) to general-1 (10.0.0.12) is stopped by the ingress rules of general-1 (sg-0e); missing: ingress of sg-0e: udp 4789 sg-0e
    vxlan: udp 4789 from general-1 (10.0.0.12) to control-plane-1 (10.0.0.11) is stopped by the ingress rules of control-plane-1 (sg-0c, sg-0e); missing: ingress of sg-0e: udp 4789 sg-0e
    vxlan: udp 4789 from general-1 (10.0.0.12) to general-2 (10.0.0.13) is stopped by the ingress rules of general-2 (sg-0e); missing: ingress of sg-0e: udp 4789 sg-0e
    ");
    let commands = missing_rules(&flows, &members, &groups);
    assert_snapshot!(lines(commands.iter().map(MissingRule::command)), @"aws ec2 authorize-security-group-ingress --group-id sg-0e --ip-permissions 'IpProtocol=udp,FromPort=4789,ToPort=4789,UserIdGroupPairs=[{GroupId=sg-0e}]'");
}

#[test]
fn missing_rules_rebuild_least_privilege_from_nothing() {
    let mut spec = reference();
    spec.control_plane.count = 3;
    let (flows, members, planned) = case(&spec);
    let empty: BTreeMap<String, GroupRules> =
        planned.keys().map(|group| (group.clone(), GroupRules::default())).collect();
    let mut rebuilt = empty.clone();
    for missing in missing_rules(&flows, &members, &empty) {
        let rules = rebuilt.get_mut(&missing.group).unwrap();
        match missing.direction {
            Direction::Ingress => rules.ingress.push(missing.rule),
            Direction::Egress => rules.egress.push(missing.rule),
        }
    }
    for (group, rules) in &planned {
        assert_eq!(diff(&rules.ingress, &rebuilt[group].ingress), (vec![], vec![]), "{group}");
    }
    // Only what may be sent differs: narrow rules, as narrow as the flows.
    assert_eq!(prove(&flows, &members, &rebuilt).counterexamples, []);
    assert_eq!(lines(excess(&flows, &members, &rebuilt)), "");
}

#[test]
fn an_interface_without_groups_has_a_counterexample_and_no_missing_rule() {
    let (flows, mut members, groups) = case(&reference());
    members[1].groups = BTreeSet::new();
    let proof = prove(&flows, &members, &groups);
    let stopped = proof.counterexamples.iter().find(|found| found.gate.node == "general-1").unwrap();
    assert_eq!(stopped.missing, None);
    assert_snapshot!(stopped, @"api/nodes: tcp 6443 from general-1 (10.0.0.4) to control-plane-1 (10.0.0.5) is stopped by the egress rules of general-1 (in no group)");
}

#[test]
fn a_port_open_to_the_world_that_nobody_declared_is_excess() {
    let (flows, members, mut groups) = case(&reference());
    let nodes = groups.get_mut(NODES).unwrap();
    nodes.ingress.push(Rule {
        protocol: Protocol::Tcp,
        ports: Some(PortRange { from: 30990, to: 30999 }),
        peer: Peer::Cidr(cidr("0.0.0.0/0")),
    });
    nodes.ingress.push(rule(Protocol::Tcp, Some(10250), NODES));
    assert_snapshot!(lines(excess(&flows, &members, &groups)), @"
    ingress of nodes: tcp 30990-30999 0.0.0.0/0 admits tcp 30990 from 0.0.0.0/0 (1.0.0.10) to control-plane-1 (10.0.0.5), which no flow of the cluster needs
    ingress of nodes: tcp 10250 nodes admits tcp 10250 from general-1 (10.0.0.4) to control-plane-1 (10.0.0.5), which no flow of the cluster needs
    ");
}

#[test]
fn the_profile_for_all_traffic_says_what_it_opens_beyond_need() {
    let mut spec = reference();
    spec.network.intra_cluster = IntraCluster::All;
    let (flows, members, groups) = case(&spec);
    let found = excess(&flows, &members, &groups);
    assert_snapshot!(lines(&found), @"ingress of nodes: all nodes admits tcp 0 from general-1 (10.0.0.4) to control-plane-1 (10.0.0.5), which no flow of the cluster needs");
    assert!(!found[0].outside);
}

#[test]
fn a_narrowed_egress_gate_is_a_counterexample_of_its_own() {
    let (flows, members, mut groups) = case(&reference());
    groups.get_mut(NODES).unwrap().egress = vec![rule(Protocol::Tcp, None, "0.0.0.0/0")];
    assert_snapshot!(lines(prove(&flows, &members, &groups).counterexamples), @"
    vxlan: udp 4789 from control-plane-1 (10.0.0.4) to general-1 (10.0.0.5) is stopped by the egress rules of control-plane-1 (control-plane, nodes); missing: egress of nodes: udp 4789 nodes
    vxlan: udp 4789 from general-1 (10.0.0.4) to control-plane-1 (10.0.0.5) is stopped by the egress rules of general-1 (nodes); missing: egress of nodes: udp 4789 nodes
    vxlan: udp 4789 from general-1 (10.0.0.4) to general-2 (10.0.0.5) is stopped by the egress rules of general-1 (nodes); missing: egress of nodes: udp 4789 nodes
    egress: udp 443 from control-plane-1 (10.0.0.4) to 0.0.0.0/0 (203.0.113.10) is stopped by the egress rules of control-plane-1 (control-plane, nodes); missing: egress of nodes: all 0.0.0.0/0
    egress: udp 443 from general-1 (10.0.0.4) to 0.0.0.0/0 (203.0.113.10) is stopped by the egress rules of general-1 (nodes); missing: egress of nodes: all 0.0.0.0/0
    ");
}

#[test]
fn diff_adds_and_revokes_each_rule_once_whatever_its_spelling() {
    let all = default_egress();
    let tcp_all = Rule { ports: Some(PortRange { from: 0, to: 65535 }), ..rule(Protocol::Tcp, None, NODES) };
    let planned = [
        rule(Protocol::Tcp, None, NODES),
        rule(Protocol::Udp, Some(4789), NODES),
        rule(Protocol::Tcp, Some(22), "10.1.2.3/8"),
        all.clone(),
    ];
    let observed = [
        rule(Protocol::Number(17), Some(4789), NODES),
        tcp_all,
        rule(Protocol::Tcp, Some(22), "10.0.0.0/8"),
        rule(Protocol::Tcp, Some(80), "0.0.0.0/0"),
        Rule { ports: Some(PortRange { from: 0, to: 0 }), ..all },
    ];
    let (add, revoke) = diff(&planned, &observed);
    assert_eq!((lines(add), lines(revoke)), (String::new(), "tcp 80 0.0.0.0/0\n".to_owned()));
    let (add, revoke) = diff(&planned[1..3], &observed[2..]);
    assert_eq!(lines(add), "udp 4789 nodes\n");
    assert_eq!(lines(revoke), "all 0 0.0.0.0/0\ntcp 80 0.0.0.0/0\n");
}

#[test]
fn resolve_names_the_group_it_does_not_know() {
    let rules = [rule(Protocol::Udp, Some(4789), NODES)];
    assert_eq!(resolve(&rules, &BTreeMap::new()), Err("nodes".to_owned()));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    fn any_rule() -> impl Strategy<Value = Rule> {
        let protocol = prop_oneof![
            Just(Protocol::All),
            Just(Protocol::Tcp),
            Just(Protocol::Udp),
            Just(Protocol::Icmp),
            any::<u8>().prop_map(Protocol::Number)
        ];
        let port = prop_oneof![Just(22_u16), Just(4789), Just(6443), Just(10250), any::<u16>()];
        let peer = prop_oneof![
            Just(Peer::Group(NODES.to_owned())),
            Just(Peer::Group(CONTROL_PLANE.to_owned())),
            (any::<[u8; 4]>(), 0..=32_u8).prop_map(|(octets, length)| {
                Peer::Cidr(Ipv4Net::new(octets.into(), length).unwrap().trunc())
            })
        ];
        (protocol, proptest::option::of((port, 0..100_u16)), peer).prop_map(|(protocol, ports, peer)| Rule {
            protocol,
            ports: ports.map(|(from, more)| PortRange { from, to: from.saturating_add(more) }),
            peer,
        })
    }

    fn any_groups() -> impl Strategy<Value = BTreeMap<String, GroupRules>> {
        let rules = || proptest::collection::vec(any_rule(), 0..6);
        let group = || (rules(), rules()).prop_map(|(ingress, egress)| GroupRules { ingress, egress });
        (group(), group())
            .prop_map(|(one, two)| BTreeMap::from([(CONTROL_PLANE.to_owned(), one), (NODES.to_owned(), two)]))
    }

    proptest! {
        #[test]
        fn a_rule_more_never_stops_a_flow(groups in any_groups(), rule in any_rule(), egress: bool, nodes: bool) {
            let (flows, members, _) = case(&reference());
            let before = prove(&flows, &members, &groups);
            let mut more = groups;
            let group = more.get_mut(if nodes { NODES } else { CONTROL_PLANE }).unwrap();
            if egress { group.egress.push(rule) } else { group.ingress.push(rule) }
            let after = prove(&flows, &members, &more);
            prop_assert!(after.proven >= before.proven);
            let stopped = |proof: &Proof| -> BTreeSet<String> {
                proof.counterexamples.iter().map(|found| found.flow.clone()).collect()
            };
            prop_assert!(stopped(&after).is_subset(&stopped(&before)));
        }

        #[test]
        fn the_missing_rules_make_every_flow_pass(groups in any_groups()) {
            let (flows, members, _) = case(&reference());
            let mut repaired = groups.clone();
            for missing in missing_rules(&flows, &members, &groups) {
                let rules = repaired.get_mut(&missing.group).unwrap();
                match missing.direction {
                    Direction::Ingress => rules.ingress.push(missing.rule),
                    Direction::Egress => rules.egress.push(missing.rule),
                }
            }
            prop_assert_eq!(prove(&flows, &members, &repaired).counterexamples, vec![]);
        }

        #[test]
        fn applying_the_diff_leaves_no_diff(planned in proptest::collection::vec(any_rule(), 0..8),
                                            observed in proptest::collection::vec(any_rule(), 0..8)) {
            let (add, revoke) = diff(&planned, &observed);
            let mut applied: Vec<Rule> =
                observed.into_iter().filter(|rule| !revoke.iter().any(|gone| normal(gone) == normal(rule))).collect();
            applied.extend(add);
            prop_assert_eq!(diff(&planned, &applied), (vec![], vec![]));
        }
    }
}
