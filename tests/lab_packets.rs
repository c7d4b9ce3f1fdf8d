//! Packets through the real fabric: what the lab's groups admit, deny, keep and never let through.
//! Needs root (network namespaces); every denial is preceded by the same path seen open.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use kubestrap::lab::desired::{Desired, Group, Interface, Machine, Subnet, Vpc};
use kubestrap::lab::fabric::{Fabric, Netns, Site, VpcSockets, probe};
use kubestrap::lab::{imds, resolver};
use kubestrap::network::{Peer, PortRange, Protocol, Rule};

const PATIENCE: Duration = Duration::from_secs(3);
const SILENCE: Duration = Duration::from_millis(200);
const HOST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const LAB: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
const SERVICE: u16 = 4566;

/// The user's host, the lab's own namespace and the fabric between them and the instances.
struct Bench {
    host: Netns,
    lab: Netns,
    fabric: Fabric,
    vpc: Vpc,
    nodes: Vec<Netns>,
    sockets: Vec<VpcSockets>,
}

impl Bench {
    /// Nodes `a`, `b`, ... at 10.0.1.10, .11, ...; each in a group of its own name and in `all`.
    fn new(names: &[&str]) -> Self {
        let (host, lab) = (Netns::create().expect("root"), Netns::create().expect("root"));
        lab.ip(&format!(
            "link set lo up\n\
             link add eth0 type veth peer name br0 netns {}\n\
             addr add {LAB}/24 dev eth0\n\
             link set eth0 up\n\
             route add default via {HOST}\n",
            host.path()
        ))
        .expect("the lab's uplink");
        host.ip(&format!("link set lo up\naddr add {HOST}/24 dev br0\nlink set br0 up\n")).expect("the host");
        let site = Site {
            subnet: "198.18.0.0/24".parse().expect("a subnet"),
            address: LAB,
            uplink: "eth0".into(),
            services: vec![SERVICE],
            internet: false,
        };
        let mut fabric = Fabric::new(lab.clone(), &site).expect("a fabric");
        let vpc = Vpc {
            id: "vpc-0abc".into(),
            cidr: "10.0.0.0/16".parse().expect("a range"),
            internet_gateway: true,
            subnets: vec![Subnet {
                id: "subnet-1".into(),
                cidr: "10.0.1.0/24".parse().expect("a range"),
                routes_to_internet: true,
            }],
            groups: names
                .iter()
                .chain([&"all"])
                .map(|name| Group { id: format!("sg-{name}"), ingress: vec![], egress: vec![] })
                .collect(),
            interfaces: names
                .iter()
                .enumerate()
                .map(|(index, name)| Interface {
                    id: format!("eni-{name}"),
                    machine: format!("i-{name}"),
                    subnet: "subnet-1".into(),
                    private_ip: Ipv4Addr::new(10, 0, 1, 10 + u8::try_from(index).expect("few nodes")),
                    public_ip: Some(Ipv4Addr::new(198, 18, 0, 130 + u8::try_from(index).expect("few nodes"))),
                    groups: vec![format!("sg-{name}"), "sg-all".into()],
                    source_dest_check: true,
                })
                .collect(),
        };
        let sockets = fabric.apply(std::slice::from_ref(&vpc)).expect("a network");
        let nodes: Vec<Netns> = names
            .iter()
            .map(|name| {
                let node = Netns::create().expect("root");
                fabric.attach(&format!("eni-{name}"), &node).expect("a cable");
                node
            })
            .collect();
        Self { host, lab, fabric, vpc, nodes, sockets }
    }

    fn group(&mut self, name: &str) -> &mut Group {
        let id = format!("sg-{name}");
        self.vpc.groups.iter_mut().find(|group| group.id == id).expect("a group of the bench")
    }

    /// Lets members of `name` send anything anywhere.
    fn open_egress(&mut self, name: &str) -> &mut Self {
        self.group(name).egress = vec![rule(Protocol::All, None, anywhere())];
        self
    }

    fn ingress(&mut self, name: &str, rules: &[Rule]) -> &mut Self {
        self.group(name).ingress = rules.to_vec();
        self
    }

    fn apply(&mut self) {
        self.fabric.apply(std::slice::from_ref(&self.vpc)).expect("applied");
    }

    fn private(&self, node: usize) -> Ipv4Addr {
        self.vpc.interfaces[node].private_ip
    }

    fn public(&self, node: usize) -> Ipv4Addr {
        self.vpc.interfaces[node].public_ip.expect("a public address")
    }
}

fn rule(protocol: Protocol, port: Option<u16>, peer: Peer) -> Rule {
    Rule { protocol, ports: port.map(PortRange::single), peer }
}

fn anywhere() -> Peer {
    Peer::Cidr("0.0.0.0/0".parse().expect("a range"))
}

fn group(name: &str) -> Peer {
    Peer::Group(format!("sg-{name}"))
}

fn cidr(range: &str) -> Peer {
    Peer::Cidr(range.parse().expect("a range"))
}

fn listen(on: &Netns, port: u16) -> TcpListener {
    on.enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))).expect("a listener")
}

fn tcp(from: &Netns, to: Ipv4Addr, port: u16, patience: Duration) -> std::io::Result<TcpStream> {
    from.enter(|| TcpStream::connect_timeout(&SocketAddr::from((to, port)), patience))
}

/// Whether an echo request is answered by its target.
fn ping(from: &Netns, to: Ipv4Addr, patience: Duration) -> bool {
    // type 8, code 0, checksum, identifier 1, sequence 1
    const REQUEST: [u8; 8] = [8, 0, 0xf7, 0xfd, 0, 1, 0, 1];
    let socket = from
        .enter(|| {
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::RAW, Some(socket2::Protocol::ICMPV4))
        })
        .expect("a raw socket");
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(patience)).expect("a timeout");
    socket.send_to(&REQUEST, (to, 0)).expect("sent");
    let mut packet = [0; 64];
    // The IP header is 20 bytes; type 0 is an echo reply.
    socket.recv_from(&mut packet).is_ok_and(|(_, source)| source.ip() == IpAddr::V4(to) && packet[20] == 0)
}

/// Sends one datagram and says from whom it arrived, if it did.
fn datagram(from: &Netns, to: &Netns, target: SocketAddr, patience: Duration) -> Option<IpAddr> {
    let receiver = to.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, target.port()))).expect("a receiver");
    receiver.set_read_timeout(Some(patience)).expect("a timeout");
    let sender = from.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))).expect("a sender");
    sender.send_to(b"hello", target).expect("sent");
    receiver.recv_from(&mut [0; 16]).ok().map(|(_, from)| from.ip())
}

#[test]
#[ignore = "needs root, for network namespaces: make unit"]
fn the_start_up_probe_proves_enforcement_here() {
    let mut bench = Bench::new(&[]);
    probe::prove(&mut bench.fabric).expect("enforcement is proven");
    assert!(bench.fabric.inside("vpc-probe").is_none());
}

#[test]
#[ignore = "needs root, for network namespaces: make unit"]
fn a_group_rule_admits_its_members_and_nobody_else_in_tcp_udp_and_icmp() {
    let mut bench = Bench::new(&["a", "b", "c"]);
    let listener = listen(&bench.nodes[1], 80);
    let target = SocketAddr::from((bench.private(1), 53));
    bench.open_egress("all").ingress(
        "b",
        &[
            rule(Protocol::Tcp, Some(80), group("a")),
            rule(Protocol::Udp, Some(53), group("a")),
            rule(Protocol::Icmp, None, group("a")),
        ],
    );
    bench.apply();
    let [a, b, c] = [0, 1, 2].map(|index| bench.nodes[index].clone());
    let to = bench.private(1);

    tcp(&a, to, 80, PATIENCE).expect("a member connects");
    let (_, seen) = listener.accept().expect("it arrives");
    assert_eq!(seen.ip(), IpAddr::V4(bench.private(0)), "inside a VPC nothing is translated");
    assert_eq!(datagram(&a, &b, target, PATIENCE), Some(IpAddr::V4(bench.private(0))));
    assert!(ping(&a, to, PATIENCE));

    assert!(tcp(&c, to, 80, SILENCE).is_err(), "another group must not connect");
    assert_eq!(datagram(&c, &b, target, SILENCE), None);
    assert!(!ping(&c, to, SILENCE));
    assert!(tcp(&a, to, 81, SILENCE).is_err(), "another port must not connect");
}

#[test]
#[ignore = "needs root, for network namespaces: make unit"]
fn every_kind_of_rule_is_one_that_nft_takes() {
    let mut bench = Bench::new(&["a"]);
    let ranges = Some(PortRange { from: 30000, to: 32767 });
    let rules: Vec<Rule> =
        [anywhere(), cidr("10.0.1.0/24"), cidr("198.18.0.1/32"), group("a"), group("gone")]
            .into_iter()
            .flat_map(|peer| {
                [
                    rule(Protocol::All, None, peer.clone()),
                    rule(Protocol::Tcp, None, peer.clone()),
                    rule(Protocol::Tcp, Some(22), peer.clone()),
                    Rule { protocol: Protocol::Udp, ports: ranges, peer: peer.clone() },
                    rule(Protocol::Icmp, None, peer.clone()),
                    rule(Protocol::Number(4), None, peer),
                ]
            })
            .collect();
    bench.ingress("a", &rules);
    bench.group("a").egress = rules;
    bench.apply();
}

#[test]
#[ignore = "needs root, for network namespaces: make unit"]
fn an_address_rule_admits_the_range_only() {
    let mut bench = Bench::new(&["a", "b", "c"]);
    let _listener = listen(&bench.nodes[1], 80);
    bench.open_egress("all").ingress("b", &[rule(Protocol::Tcp, Some(80), cidr("10.0.1.10/31"))]);
    bench.apply();
    tcp(&bench.nodes[0], bench.private(1), 80, PATIENCE).expect("10.0.1.10 is inside the range");
    assert!(tcp(&bench.nodes[2], bench.private(1), 80, SILENCE).is_err(), "10.0.1.12 is outside");
}

#[test]
#[ignore = "needs root, for network namespaces: make unit"]
fn an_open_egress_gate_does_not_skip_the_ingress_gate_nor_the_other_way_round() {
    let mut bench = Bench::new(&["a", "b"]);
    let _listener = listen(&bench.nodes[1], 80);
    let (a, to) = (bench.nodes[0].clone(), bench.private(1));
    let admit = [rule(Protocol::Tcp, Some(80), group("a"))];
    bench.open_egress("a").ingress("b", &admit);
    bench.apply();
    tcp(&a, to, 80, PATIENCE).expect("both gates are open");

    bench.ingress("b", &[]);
    bench.apply();
    assert!(tcp(&a, to, 80, SILENCE).is_err(), "only egress is open");

    bench.ingress("b", &admit).group("a").egress.clear();
    bench.apply();
    assert!(tcp(&a, to, 80, SILENCE).is_err(), "only ingress is open");

    bench.group("a").egress = vec![rule(Protocol::Tcp, Some(80), group("b"))];
    bench.apply();
    tcp(&a, to, 80, PATIENCE).expect("egress to the group is open");
}

#[test]
#[ignore = "needs root, for network namespaces: make unit"]
fn revoking_a_rule_leaves_established_connections_and_stops_new_ones() {
    let mut bench = Bench::new(&["a", "b"]);
    let listener = listen(&bench.nodes[1], 80);
    bench.open_egress("a").ingress("b", &[rule(Protocol::Tcp, Some(80), group("a"))]);
    bench.apply();
    let mut held = tcp(&bench.nodes[0], bench.private(1), 80, PATIENCE).expect("admitted");
    let (mut served, _) = listener.accept().expect("it arrives");

    bench.ingress("b", &[]).group("a").egress.clear();
    bench.apply();
    assert!(tcp(&bench.nodes[0], bench.private(1), 80, SILENCE).is_err());
    served.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    held.write_all(b"ping").expect("sent");
    served.read_exact(&mut [0; 4]).expect("the old connection lives");
    held.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    served.write_all(b"pong").expect("sent");
    held.read_exact(&mut [0; 4]).expect("in both directions");
}

#[test]
#[ignore = "needs root, for network namespaces: make unit"]
fn the_source_dest_check_drops_foreign_sources_until_it_is_turned_off() {
    let mut bench = Bench::new(&["a", "b"]);
    bench.open_egress("all").ingress("all", &[rule(Protocol::All, None, anywhere())]);
    bench.apply();
    let (a, b) = (bench.nodes[0].clone(), bench.nodes[1].clone());
    let target = SocketAddr::from((bench.private(1), 9000));
    assert!(datagram(&a, &b, target, PATIENCE).is_some(), "its own source passes");

    a.ip("addr add 192.168.7.7/32 dev lo\nroute replace 10.0.1.11/32 dev ens5 src 192.168.7.7\n")
        .expect("another source");
    b.sysctl(&[("ipv4/conf/all/rp_filter", "0"), ("ipv4/conf/ens5/rp_filter", "0")]).expect("set");
    assert_eq!(datagram(&a, &b, target, SILENCE), None);

    bench.vpc.interfaces[0].source_dest_check = false;
    bench.apply();
    let pod = IpAddr::V4(Ipv4Addr::new(192, 168, 7, 7));
    assert_eq!(datagram(&a, &b, target, PATIENCE), Some(pod));
}

#[test]
#[ignore = "needs root, for network namespaces: make unit"]
fn flushing_the_firewall_inside_a_node_opens_nothing() {
    let mut bench = Bench::new(&["a", "b"]);
    let _listener = listen(&bench.nodes[1], 80);
    bench.open_egress("all").ingress("b", &[rule(Protocol::Tcp, Some(80), group("a"))]);
    bench.apply();
    tcp(&bench.nodes[0], bench.private(1), 80, PATIENCE).expect("admitted");
    bench.ingress("b", &[]);
    bench.apply();
    for node in &bench.nodes {
        node.nft("flush ruleset\n").expect("a node may do so to itself");
    }
    assert!(tcp(&bench.nodes[0], bench.private(1), 80, SILENCE).is_err());
}

#[test]
#[ignore = "needs root, for network namespaces: make unit"]
fn the_host_reaches_a_public_address_through_the_ingress_gate_only() {
    let mut bench = Bench::new(&["a", "b"]);
    let listener = listen(&bench.nodes[0], 22);
    bench.ingress("a", &[rule(Protocol::Tcp, Some(22), cidr("198.18.0.1/32"))]);
    bench.apply();
    tcp(&bench.host, bench.public(0), 22, PATIENCE).expect("admitted by the host's address");
    let (_, seen) = listener.accept().expect("it arrives");
    assert_eq!(seen.ip(), IpAddr::V4(HOST), "the source is what is on the wire");
    bench.ingress("a", &[]);
    bench.apply();
    assert!(tcp(&bench.host, bench.public(0), 22, SILENCE).is_err());
}

#[test]
#[ignore = "needs root, for network namespaces: make unit"]
fn a_public_address_of_a_peer_is_reached_by_address_and_never_by_membership() {
    let mut bench = Bench::new(&["a", "b"]);
    let listener = listen(&bench.nodes[1], 80);
    let public = format!("{}/32", bench.public(0));
    bench.open_egress("a").ingress("b", &[rule(Protocol::Tcp, Some(80), cidr(&public))]);
    bench.apply();
    tcp(&bench.nodes[0], bench.public(1), 80, PATIENCE).expect("admitted by the public source");
    let (_, seen) = listener.accept().expect("it arrives");
    assert_eq!(seen.ip(), IpAddr::V4(bench.public(0)));
    bench.ingress("b", &[rule(Protocol::Tcp, Some(80), group("a"))]);
    bench.apply();
    assert!(tcp(&bench.nodes[0], bench.public(1), 80, SILENCE).is_err(), "groups match inside only");
    tcp(&bench.nodes[0], bench.private(1), 80, PATIENCE).expect("as here");
}

#[test]
#[ignore = "needs root, for network namespaces: make unit"]
fn nodes_reach_the_named_services_of_the_lab_and_neither_its_other_ports_nor_the_host() {
    let mut bench = Bench::new(&["a"]);
    let _service = listen(&bench.lab, SERVICE);
    let _other = listen(&bench.lab, SERVICE + 1);
    let _host = listen(&bench.host, SERVICE);
    bench.open_egress("a");
    bench.apply();
    let a = &bench.nodes[0];
    tcp(a, LAB, SERVICE, PATIENCE).expect("the endpoint");
    assert!(tcp(a, LAB, SERVICE + 1, SILENCE).is_err(), "another port of the lab");
    assert!(tcp(a, HOST, SERVICE, SILENCE).is_err(), "the user's host");
    let (inside, router) = (bench.fabric.inside("vpc-0abc").expect("a VPC"), Ipv4Addr::new(10, 0, 1, 1));
    let _in_fabric = listen(&inside, 9999);
    assert!(tcp(a, router, 9999, SILENCE).is_err(), "the router itself");
}

#[test]
#[ignore = "needs root, for network namespaces: make unit"]
fn without_a_route_to_the_gateway_nothing_passes_it() {
    let mut bench = Bench::new(&["a"]);
    let _listener = listen(&bench.nodes[0], 22);
    let _service = listen(&bench.lab, SERVICE);
    bench.open_egress("a").ingress("a", &[rule(Protocol::All, None, anywhere())]);
    bench.apply();
    tcp(&bench.host, bench.public(0), 22, PATIENCE).expect("in");
    tcp(&bench.nodes[0], LAB, SERVICE, PATIENCE).expect("out");
    bench.vpc.subnets[0].routes_to_internet = false;
    bench.apply();
    assert!(tcp(&bench.host, bench.public(0), 22, SILENCE).is_err());
    assert!(tcp(&bench.nodes[0], LAB, SERVICE, SILENCE).is_err());
}

#[test]
#[ignore = "needs root, for network namespaces: make unit"]
fn a_terminated_interface_is_cut_off_at_once() {
    let mut bench = Bench::new(&["a", "b"]);
    let listener = listen(&bench.nodes[1], 80);
    bench.open_egress("all").ingress("all", &[rule(Protocol::All, None, anywhere())]);
    bench.apply();
    let held = tcp(&bench.nodes[0], bench.private(1), 80, PATIENCE).expect("admitted");
    let _served = listener.accept().expect("it arrives");
    bench.vpc.interfaces.remove(1);
    bench.apply();
    assert!(tcp(&bench.nodes[0], Ipv4Addr::new(10, 0, 1, 11), 80, SILENCE).is_err());
    drop(held);
}

fn machine(name: &str) -> Machine {
    Machine {
        id: format!("i-{name}"),
        image: "ami-debian".into(),
        instance_type: "t3.medium".into(),
        zone: "ap-northeast-1a".into(),
        account: "000000000000".into(),
        reservation: "r-1".into(),
        launch_index: 0,
        key: Some(("admin".into(), "ssh-ed25519 AAAA test".into())),
        user_data: Some(b"#cloud-config\n".to_vec()),
        tokens_required: true,
        hop_limit: 1,
        metadata_enabled: true,
        metadata_tags: false,
        reboots: 0,
        tags: Default::default(),
        running: true,
    }
}

fn curl(node: &Netns, arguments: &str, path: &str) -> String {
    let url = format!("http://169.254.169.254/{path}");
    let argv: Vec<&str> = ["curl", "-s", "-m3", "-w", "|%{http_code}"]
        .into_iter()
        .chain(arguments.split('^').filter(|each| !each.is_empty()))
        .chain([url.as_str()])
        .collect();
    node.tool(&argv, "").unwrap_or_else(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, for network namespaces: make unit"]
async fn metadata_and_names_are_served_by_interface_whatever_the_groups_say() {
    let mut bench = Bench::new(&["a", "b"]);
    let desired = Desired { vpcs: vec![bench.vpc.clone()], machines: vec![machine("a"), machine("b")] };
    let (keep, receiver) = tokio::sync::watch::channel(Arc::new(desired));
    for sockets in bench.sockets.drain(..) {
        tokio::spawn(imds::serve(sockets.metadata, sockets.vpc.clone(), receiver.clone()));
        let zone = resolver::Zone { vpc: sockets.vpc, desired: receiver.clone(), upstream: None };
        for socket in sockets.dns_udp {
            tokio::spawn(resolver::serve_udp(socket, zone.clone()));
        }
    }
    tokio::task::block_in_place(|| {
        let a = &bench.nodes[0];
        assert_eq!(curl(a, "", "latest/meta-data/instance-id"), "Unauthorized|401");
        let put = "-X^PUT^-H^X-aws-ec2-metadata-token-ttl-seconds: 60";
        let answer = curl(a, put, "latest/api/token");
        let token = answer.strip_suffix("|200").expect("a token");
        let with = format!("-H^X-aws-ec2-metadata-token: {token}");
        assert_eq!(curl(a, &with, "latest/meta-data/instance-id"), "i-a|200");
        assert_eq!(curl(a, &with, "2021-03-23/meta-data/placement/region"), "ap-northeast-1|200");
        assert_eq!(curl(a, &with, "latest/user-data"), "#cloud-config\n|200");
        assert_eq!(curl(a, &with, "latest/meta-data/public-keys/"), "0=admin|200");
        assert_eq!(curl(a, &with, "latest/meta-data/public-keys/0/openssh-key"), "ssh-ed25519 AAAA test|200");
        assert_eq!(curl(&bench.nodes[1], &with, "latest/meta-data/instance-id"), "Unauthorized|401");
        // Behind one more hop the answer must not arrive: the hop limit is 1.
        let pod = Netns::create().expect("root");
        a.ip(&format!(
            "link add pod0 type veth peer name eth0 netns {}\n\
             addr add 192.168.9.1/24 dev pod0\nlink set pod0 up\n",
            pod.path()
        ))
        .expect("a pod's link");
        pod.ip("link set eth0 up\naddr add 192.168.9.2/24 dev eth0\nroute add default via 192.168.9.1\n")
            .expect("a pod");
        a.sysctl(&[("ipv4/ip_forward", "1")]).expect("forwarding");
        a.nft("table ip n {\n chain p {\n type nat hook postrouting priority 100;\n oifname ens5 masquerade\n }\n}\n")
            .expect("masquerading");
        assert!(!curl(&pod, put, "latest/api/token").ends_with("|200"));
        keep.send_modify(|desired| Arc::make_mut(desired).machines[0].hop_limit = 2);
        assert!(curl(&pod, put, "latest/api/token").ends_with("|200"), "a limit of 2 lets it through");

        let ask = |name: &str, kind: hickory_proto::rr::RecordType| {
            use hickory_proto::op::{Message, Query};
            let socket = a.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))).expect("a socket");
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut question = Message::query();
            question.add_query(Query::query(name.parse().expect("a name"), kind));
            socket.send_to(&question.to_vec().expect("bytes"), ("10.0.0.2", 53)).expect("sent");
            let mut buffer = [0; 1500];
            let length = socket.recv(&mut buffer).expect("an answer");
            let answer = Message::from_vec(&buffer[..length]).expect("a message");
            let data: Vec<String> = answer.answers.iter().map(|each| each.data.to_string()).collect();
            (answer.metadata.response_code.to_string(), data)
        };
        use hickory_proto::rr::RecordType::{A, AAAA, PTR};
        let name = "ip-10-0-1-11.ap-northeast-1.compute.internal.";
        assert_eq!(ask(name, A), ("No Error".into(), vec!["10.0.1.11".into()]));
        assert_eq!(ask(name, AAAA), ("No Error".into(), vec![]));
        assert_eq!(ask("11.1.0.10.in-addr.arpa.", PTR), ("No Error".into(), vec![name.into()]));
        assert_eq!(ask("instance-data.", A), ("Non-Existent Domain".into(), vec![]));
    });
}
