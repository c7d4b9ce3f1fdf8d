//! The whole life of a cluster's EC2 resources through the port: whatever speaks EC2 must bear it.

use std::collections::BTreeSet;

use aws_sdk_ec2::config::{BehaviorVersion, Region};
use aws_sdk_ec2::types::Filter;
use kubestrap::ec2::Ec2;
use kubestrap::network::{Direction, Peer, PortRange, Protocol, Rule};
use kubestrap::ports::{Cloud, CloudState, Create, Delete, Instance, InstanceState, Launch, NodePhase};

use crate::client::{REGION, connect, credentials, scope};

pub const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINVY0cRl1ehtlwTxO4t6BhxQaWtTgkHODcNN1fPZmTwb";

/// The bare SDK, to look behind the adapter.
pub fn bare(endpoint: &str) -> aws_sdk_ec2::Client {
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new(REGION))
        .credentials_provider(credentials())
        .build();
    aws_sdk_ec2::Client::from_conf(config)
}

/// Everything below the instances, by id.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    pub vpc: String,
    pub gateway: String,
    pub subnet: String,
    pub table: String,
    pub key: String,
    pub control_plane: String,
    pub nodes: String,
}

pub fn key_name() -> String {
    format!("kubestrap-{}", scope().id)
}

pub fn group(vpc: &str, logical: &str) -> Create {
    Create::SecurityGroup {
        vpc: vpc.into(),
        logical: logical.into(),
        name: format!("kubestrap-books-{logical}"),
        description: format!("{logical} of cluster books"),
    }
}

/// Creates (or adopts) all of the network, in the order that the plan has.
pub async fn network(cloud: &Ec2, zone: &str) -> Network {
    let scope = scope();
    let create = async |it: &Create| match cloud.create(&scope, it).await {
        Ok(id) => id,
        Err(error) => panic!("{it:?}: {error}"),
    };
    let vpc =
        create(&Create::Vpc { cidr: "10.0.0.0/16".parse().unwrap(), built: "kubernetes=1.36.3".into() })
            .await;
    let gateway = create(&Create::Gateway { vpc: vpc.clone() }).await;
    let cidr = "10.0.0.0/20".parse().unwrap();
    let subnet = create(&Create::Subnet { vpc: vpc.clone(), cidr, zone: zone.into() }).await;
    let table = Create::RouteTable { vpc: vpc.clone(), gateway: gateway.clone(), subnet: subnet.clone() };
    let table = create(&table).await;
    let key =
        create(&Create::KeyPair { name: key_name(), public_key: format!("{PUBLIC_KEY} me@here") }).await;
    let control_plane = create(&group(&vpc, "control-plane")).await;
    let nodes = create(&group(&vpc, "nodes")).await;
    Network { vpc, gateway, subnet, table, key, control_plane, nodes }
}

pub fn rule(protocol: Protocol, port: Option<u16>, peer: &str) -> Rule {
    let peer = peer.parse().map(Peer::Cidr).unwrap_or_else(|_| Peer::Group(peer.to_owned()));
    Rule { protocol, ports: port.map(PortRange::single), peer }
}

pub fn launch(net: &Network, image: &str, pool: &str, nodes: &[&str]) -> Launch {
    Launch {
        client_token: format!("token-of-{}", nodes.join("-")),
        nodes: nodes.iter().map(|it| (*it).to_owned()).collect(),
        pool: pool.into(),
        image: image.into(),
        instance_type: "t3.medium".into(),
        subnet: net.subnet.clone(),
        groups: vec![net.nodes.clone()],
        key_name: key_name(),
        user_data: "#cloud-config\n".into(),
        disk_gib: 20,
    }
}

fn ids(instances: &[Instance]) -> Vec<String> {
    instances.iter().map(|it| it.id.clone()).collect()
}

fn names(instances: &[Instance]) -> Vec<&str> {
    instances.iter().map(|it| it.node.as_str()).collect()
}

/// Everything, from nothing to nothing. Returns how many requests it took.
pub async fn cycle(endpoint: &str, image: &str) -> usize {
    let cloud = connect(endpoint).await;
    let scope = scope();
    assert_eq!(cloud.account().await.unwrap().len(), 12);
    assert_eq!(cloud.observe(&scope).await.unwrap(), CloudState::default(), "nothing there at first");
    let offer = cloud.offer(None, &["t3.medium".into()]).await.unwrap();
    assert_eq!(offer.arch["t3.medium"], "amd64");

    let net = network(&cloud, &offer.zone).await;
    let adopted = network(&connect(endpoint).await, &offer.zone).await;
    assert_eq!(adopted, net, "what is there is adopted by the next run");
    let state = cloud.observe(&scope).await.unwrap();
    assert_eq!(state.vpc.as_ref().unwrap().id, net.vpc);
    assert_eq!(state.vpc.unwrap().cidr.to_string(), "10.0.0.0/16");
    assert_eq!(state.gateway.as_ref().unwrap().vpc.as_ref(), Some(&net.vpc));
    assert_eq!(state.subnet.as_ref().unwrap().zone, offer.zone);
    let table = state.route_table.unwrap();
    assert_eq!((table.default_gateway.as_ref(), table.association.is_some()), (Some(&net.gateway), true));
    assert_eq!(state.key_pair.unwrap().name, key_name());
    assert_eq!(state.groups.keys().collect::<Vec<_>>(), ["control-plane", "nodes"]);
    assert_eq!((state.foreign, state.others), (Vec::new(), Vec::new()));

    rules(&cloud, &net).await;
    let instances = instances(&cloud, endpoint, &net, image).await;
    down(&cloud, &net, &instances).await;
    assert_eq!(cloud.observe(&scope).await.unwrap(), CloudState::default(), "nothing is left");
    cloud.calls()
}

/// Rules are added and removed, again and partly again, in one call each.
async fn rules(cloud: &Ec2, net: &Network) {
    let everything = rule(Protocol::All, None, "0.0.0.0/0");
    let mut wanted = vec![
        rule(Protocol::Tcp, Some(6443), &net.nodes),
        rule(Protocol::Tcp, Some(6443), "203.0.113.7/32"),
        rule(Protocol::Tcp, Some(2379), &net.control_plane),
        rule(Protocol::Number(4), None, &net.nodes),
        rule(Protocol::Icmp, None, "203.0.113.0/24"),
    ];
    wanted.sort();
    let (first, rest) = wanted.split_at(2);
    let before = cloud.calls();
    cloud.set_rules(&net.control_plane, Direction::Ingress, first, &[]).await.unwrap();
    assert_eq!(cloud.calls() - before, 1, "many rules, one call");
    // The first two are there already: the rest must come in spite of them.
    cloud.set_rules(&net.control_plane, Direction::Ingress, &wanted, &[]).await.unwrap();
    cloud.set_rules(&net.control_plane, Direction::Ingress, &wanted, &[]).await.unwrap();
    let nodes =
        [rule(Protocol::Udp, Some(4789), &net.nodes), rule(Protocol::Tcp, Some(10250), &net.control_plane)];
    cloud.set_rules(&net.nodes, Direction::Ingress, &nodes, &[]).await.unwrap();
    let state = cloud.observe(&scope()).await.unwrap();
    assert_eq!(state.groups["control-plane"].ingress, wanted);
    assert_eq!(state.groups["control-plane"].egress, std::slice::from_ref(&everything));
    assert_eq!(state.groups["nodes"].ingress.len(), 2);

    let narrow = [rule(Protocol::Tcp, Some(443), "0.0.0.0/0")];
    for _ in 0..2 {
        let revoke = std::slice::from_ref(&everything);
        cloud.set_rules(&net.control_plane, Direction::Egress, &narrow, revoke).await.unwrap();
    }
    // One of these is gone already.
    cloud.set_rules(&net.control_plane, Direction::Ingress, &[], rest).await.unwrap();
    cloud.set_rules(&net.control_plane, Direction::Ingress, &[], &wanted[1..]).await.unwrap();
    let state = cloud.observe(&scope()).await.unwrap();
    assert_eq!(state.groups["control-plane"].egress, narrow);
    assert_eq!(state.groups["control-plane"].ingress, wanted[..1]);
}

/// Launches one node and then two, again, waits for them and marks them.
async fn instances(cloud: &Ec2, endpoint: &str, net: &Network, image: &str) -> Vec<Instance> {
    let first = launch(net, image, "control-plane", &["control-plane-1"]);
    let workers = launch(net, image, "general", &["general-1", "general-3"]);
    let control_plane = cloud.launch(&scope(), &first).await.unwrap();
    let launched = cloud.launch(&scope(), &workers).await.unwrap();
    assert_eq!(
        (names(&control_plane), names(&launched)),
        (vec!["control-plane-1"], vec!["general-1", "general-3"])
    );
    let again = connect(endpoint).await.launch(&scope(), &workers).await.unwrap();
    assert_eq!(ids(&again), ids(&launched), "the same launch again is the same instances");

    let all = [ids(&control_plane), ids(&launched)].concat();
    let running = cloud.await_state(&all, InstanceState::Running).await.unwrap();
    assert!(running.iter().all(|it| it.private_ip.is_some() && it.public_ip.is_some()), "{running:?}");
    cloud.mark(&ids(&launched), NodePhase::Joined).await.unwrap();
    let state = cloud.observe(&scope()).await.unwrap();
    assert_eq!(names(&state.instances), ["control-plane-1", "general-1", "general-3"]);
    let phases: Vec<NodePhase> = state.instances.iter().map(|it| it.phase).collect();
    assert_eq!(phases, [NodePhase::Launched, NodePhase::Joined, NodePhase::Joined]);
    assert_eq!(state.instances[1].groups, std::slice::from_ref(&net.nodes));
    let both = [net.nodes.clone(), net.control_plane.clone()];
    for groups in [&both[..], &both[..1]] {
        cloud.set_groups(&all[1], groups).await.unwrap();
        let state = cloud.observe(&scope()).await.unwrap();
        let held: BTreeSet<&String> = state.instances[1].groups.iter().collect();
        assert_eq!(held, groups.iter().collect(), "exactly the groups asked for");
    }
    // A group of somebody else's, with its rules.
    let default = default_group(endpoint, &net.vpc).await;
    cloud.set_groups(&all[1], &[net.nodes.clone(), default.clone()]).await.unwrap();
    let state = cloud.observe(&scope()).await.unwrap();
    let attached: Vec<&str> = state.attached.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(attached, [default.as_str()]);
    assert!(!state.attached[0].egress.is_empty(), "its rules came along");
    cloud.set_groups(&all[1], &both[..1]).await.unwrap();
    let state = cloud.observe(&scope()).await.unwrap();
    assert_eq!(state.attached, []);
    assert_eq!(state.others, [], "volumes and interfaces of living instances are theirs");
    cloud.console(&all[0]).await.unwrap();
    as_asked_for(endpoint, &all).await;
    state.instances
}

/// The group that EC2 made with the VPC.
async fn default_group(endpoint: &str, vpc: &str) -> String {
    let named = |name: &str, value: &str| Filter::builder().name(name).values(value).build();
    let request = bare(endpoint).describe_security_groups();
    let request = request.filters(named("vpc-id", vpc)).filters(named("group-name", "default"));
    request.send().await.unwrap().security_groups()[0].group_id().unwrap().to_owned()
}

/// Looks behind the adapter: metadata sessions required, root volume encrypted gp3.
async fn as_asked_for(endpoint: &str, ids: &[String]) {
    let ec2 = bare(endpoint);
    let found = ec2.describe_instances().set_instance_ids(Some(ids.to_vec())).send().await.unwrap();
    let mut volumes = Vec::new();
    for instance in found.reservations().iter().flat_map(|it| it.instances()) {
        let metadata = instance.metadata_options().unwrap();
        assert_eq!(metadata.http_tokens().unwrap().as_str(), "required");
        assert_eq!(metadata.http_put_response_hop_limit(), Some(1));
        assert_eq!(instance.key_name(), Some(key_name().as_str()));
        let mapping = &instance.block_device_mappings()[0];
        assert_eq!(mapping.device_name(), instance.root_device_name());
        volumes.extend(mapping.ebs().unwrap().volume_id().map(str::to_owned));
    }
    assert_eq!(volumes.len(), ids.len());
    for volume in ec2.describe_volumes().set_volume_ids(Some(volumes)).send().await.unwrap().volumes() {
        assert_eq!(volume.volume_type().unwrap().as_str(), "gp3");
        assert_eq!((volume.encrypted(), volume.size()), (Some(true), Some(20)));
        assert!(volume.tags().iter().any(|it| it.value() == Some("books-3f9a2c81")), "{volume:?}");
    }
}

/// Deletes everything, each thing twice: what is gone is no error.
pub async fn down(cloud: &Ec2, net: &Network, instances: &[Instance]) {
    let delete = async |it: Delete| {
        for _ in 0..2 {
            cloud.delete(&it).await.unwrap_or_else(|error| panic!("{it:?}: {error}"));
        }
    };
    let mut all = ids(instances);
    delete(Delete::Instances(all.clone())).await;
    cloud.await_state(&all, InstanceState::Terminated).await.unwrap();
    all.push("i-0123456789abcdef0".into());
    delete(Delete::Instances(all)).await;
    let state = cloud.observe(&scope()).await.unwrap();
    for group in state.groups.values() {
        cloud.set_rules(&group.id, Direction::Ingress, &[], &group.ingress).await.unwrap();
    }
    for group in state.groups.values() {
        delete(Delete::SecurityGroup(group.id.clone())).await;
    }
    let association = state.route_table.and_then(|it| it.association);
    delete(Delete::RouteTable { id: net.table.clone(), association }).await;
    delete(Delete::Subnet(net.subnet.clone())).await;
    delete(Delete::Gateway { id: net.gateway.clone(), vpc: Some(net.vpc.clone()) }).await;
    delete(Delete::Vpc(net.vpc.clone())).await;
    delete(Delete::KeyPair(net.key.clone())).await;
}
