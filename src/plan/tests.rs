//! Plans of the reference deployment, from nothing, from everything, and from in between.

use std::collections::BTreeMap;

use super::*;
use crate::network::{self, Peer, Rule};
use crate::ports::{
    Foreign, Gateway, Instance, InstanceState, KeyPair, NodePhase, RouteTable, SecurityGroup, Subnet, Vpc,
};
use crate::spec::{Spec, parse};

fn spec() -> Spec {
    parse("lab.toml", include_str!("../../examples/lab.toml")).unwrap()
}

const BUILT: &str = "kubernetes=1.36.3 calico=3.31.0 pods=192.168.0.0/16 services=10.96.0.0/12";

fn observed(cloud: CloudState) -> Observed {
    Observed {
        scope: Scope { id: "books-00000000".into(), name: "books".into() },
        cloud,
        offer: Some(Offer {
            zone: "ap-northeast-1a".into(),
            arch: BTreeMap::from([("t3.medium".to_owned(), "amd64".to_owned())]),
        }),
        images: BTreeMap::from([("amd64".to_owned(), "ami-1".to_owned())]),
        public_key: "ssh-ed25519 AAAA".into(),
    }
}

/// The cloud as a finished `up` leaves it.
fn finished(spec: &Spec) -> CloudState {
    let id = |logical: &str| format!("sg-{logical}");
    let with_ids = |rules: &[Rule]| -> Vec<Rule> {
        rules
            .iter()
            .map(|rule| {
                let peer = match &rule.peer {
                    Peer::Group(name) => Peer::Group(id(name)),
                    cidr => cidr.clone(),
                };
                Rule { peer, ..rule.clone() }
            })
            .collect()
    };
    let groups = network::plan_groups(spec).into_values().map(|plan| {
        let group = SecurityGroup {
            id: id(&plan.logical),
            name: plan.name.clone(),
            ingress: with_ids(&plan.ingress),
            egress: with_ids(&plan.egress),
        };
        (plan.logical, group)
    });
    let instances = spec.nodes().enumerate().map(|(index, (node, role))| Instance {
        id: format!("i-{index}"),
        node,
        state: InstanceState::Running,
        instance_type: "t3.medium".into(),
        arch: "amd64".into(),
        private_ip: Some([10, 0, 0, 10 + index as u8].into()),
        public_ip: Some([198, 18, 0, 130 + index as u8].into()),
        groups: network::membership(role).iter().map(|group| id(group)).collect(),
        phase: NodePhase::Ready,
        reason: None,
    });
    CloudState {
        vpc: Some(Vpc { id: "vpc-1".into(), cidr: spec.network.vpc_cidr, built: Some(BUILT.into()) }),
        gateway: Some(Gateway { id: "igw-1".into(), vpc: Some("vpc-1".into()) }),
        subnet: Some(Subnet {
            id: "subnet-1".into(),
            cidr: spec.network.subnet_cidr,
            zone: "ap-northeast-1a".into(),
        }),
        route_table: Some(RouteTable {
            id: "rtb-1".into(),
            default_gateway: Some("igw-1".into()),
            association: Some("rtbassoc-1".into()),
        }),
        key_pair: Some(KeyPair {
            id: "key-1".into(),
            name: "kubestrap-books-00000000".into(),
            public_key: None,
        }),
        groups: groups.collect(),
        instances: instances.collect(),
        ..CloudState::default()
    }
}

/// A plan as lines of `id <- predecessors`.
fn outline(plan: &Plan) -> String {
    let line = |step: &Step| {
        let after: Vec<&str> = step.after.iter().map(|id| id.0.as_str()).collect();
        format!("{} <- {}", step.id, after.join(" ")).trim_end_matches(" <- ").to_owned()
    };
    plan.steps.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_first_plan_of_the_reference_deployment() {
    let plan = up(&spec(), &observed(CloudState::default())).unwrap();
    insta::assert_snapshot!(outline(&plan));
    assert!(plan.summary.keep == 0 && plan.summary.destroy == 0 && plan.summary.change == 0);
}

#[test]
fn every_example_plans_with_its_network_proven() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut planned = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let spec = parse(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap()).unwrap();
        let mut observed = observed(CloudState::default());
        let types = spec.pools().map(|pool| (pool.instance_type.clone(), "amd64".to_owned()));
        observed.offer = Some(Offer { zone: "eu-west-1a".into(), arch: types.collect() });
        let plan = up(&spec, &observed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let proof = plan.network.unwrap();
        assert!(proof.required > 0 && proof.proven == proof.required, "{}", path.display());
        planned += 1;
    }
    assert!(planned >= 4, "the examples were found");
}

#[test]
fn the_plan_of_a_finished_cluster_is_empty_and_keeps_everything() {
    let plan = up(&spec(), &observed(finished(&spec()))).unwrap();
    assert!(plan.is_empty(), "{}", outline(&plan));
    assert_eq!(plan.summary, Summary { keep: 10, ..Summary::default() });
}

#[test]
fn an_instance_taken_out_of_its_groups_goes_back_and_keeps_what_others_added() {
    let mut cloud = finished(&spec());
    // A worker that was moved to the control plane's group, and has one of somebody else's.
    cloud.instances[1].groups = vec!["sg-control-plane".into(), "sg-of-others".into()];
    let plan = up(&spec(), &observed(cloud)).unwrap();
    assert_eq!(outline(&plan), "groups/general-1");
    assert_eq!(
        plan.steps[0].action,
        Action::SetGroups {
            instance: "i-1".into(),
            groups: vec!["nodes".into()],
            others: vec!["sg-of-others".into()],
        }
    );
    // A group of somebody else's alone is no difference.
    let mut cloud = finished(&spec());
    cloud.instances[1].groups.push("sg-of-others".into());
    assert!(up(&spec(), &observed(cloud)).unwrap().is_empty());
}

#[test]
fn a_node_with_two_instances_is_left_to_a_person() {
    let mut cloud = finished(&spec());
    let second = Instance { id: "i-9".into(), ..cloud.instances[1].clone() };
    cloud.instances.push(second);
    let error = up(&spec(), &observed(cloud)).unwrap_err();
    assert_eq!(error.to_string(), "node general-1 has 2 instances: i-1, i-9");
}

#[test]
fn planning_is_deterministic_and_fast() {
    let (spec, observed) = (spec(), observed(CloudState::default()));
    let first = up(&spec, &observed).unwrap();
    let start = std::time::Instant::now();
    assert_eq!(up(&spec, &observed).unwrap(), first);
    assert!(start.elapsed() < std::time::Duration::from_millis(100), "{:?}", start.elapsed());
}

#[test]
fn predecessors_come_first_and_ids_are_unique() {
    for plan in [up(&spec(), &observed(CloudState::default())).unwrap(), down(&finished(&spec()))] {
        let mut seen = std::collections::BTreeSet::new();
        for step in &plan.steps {
            assert!(step.after.iter().all(|before| seen.contains(before)), "{} comes too early", step.id);
            assert!(seen.insert(step.id.clone()), "{} is there twice", step.id);
        }
    }
}

#[test]
fn a_revoked_rule_is_the_only_change() {
    let mut cloud = finished(&spec());
    let vxlan = |rule: &Rule| rule.ports.is_some_and(|ports| ports.contains(4789));
    let group = cloud.groups.get_mut(network::NODES).unwrap();
    assert!(group.ingress.iter().any(vxlan), "the rule is there before it is revoked");
    group.ingress.retain(|rule| !vxlan(rule));
    let plan = up(&spec(), &observed(cloud)).unwrap();
    assert_eq!(outline(&plan), "rules/nodes/ingress");
    assert_eq!(plan.steps[0].reason, "allow udp 4789 nodes");
    assert_eq!(plan.summary.change, 1);
}

#[test]
fn a_lost_worker_is_launched_and_joined_alone() {
    let mut cloud = finished(&spec());
    cloud.instances.retain(|instance| instance.node != "general-2");
    let plan = up(&spec(), &observed(cloud)).unwrap();
    insta::assert_snapshot!(outline(&plan));
}

#[test]
fn a_run_that_died_after_the_launch_goes_on_with_the_nodes() {
    let mut cloud = finished(&spec());
    for instance in &mut cloud.instances {
        instance.phase = NodePhase::Launched;
    }
    let plan = up(&spec(), &observed(cloud)).unwrap();
    assert_eq!(plan.summary.create, 0);
    assert!(plan.steps.iter().any(|step| step.id.0 == "initialise/control-plane-1"));
    assert!(plan.steps.iter().any(|step| step.id.0 == "join/general-2"));
}

#[test]
fn nodes_that_joined_and_were_never_ready_are_installed_again_with_what_the_spec_says_now() {
    let mut cloud = finished(&spec());
    for instance in &mut cloud.instances {
        instance.phase = NodePhase::Joined;
    }
    let plan = up(&spec(), &observed(cloud)).unwrap();
    insta::assert_snapshot!(outline(&plan), @"
    connect/control-plane-1
    install/control-plane-1 <- connect/control-plane-1
    connect/general-1
    install/general-1 <- connect/general-1
    connect/general-2
    install/general-2 <- connect/general-2
    initialise/control-plane-1 <- connect/control-plane-1 install/control-plane-1
    cni <- initialise/control-plane-1
    token <- cni install/general-1 install/general-2
    verify <- cni install/general-1 install/general-2
    ");
}

#[test]
fn down_names_every_resource_once_in_an_order_that_ec2_accepts() {
    let plan = down(&finished(&spec()));
    insta::assert_snapshot!(outline(&plan));
    // 3 instances, 2 groups, route table, subnet, gateway, vpc, key pair; and the rules that hold the groups.
    assert!(plan.summary.destroy >= 10, "{:?}", plan.summary);
}

#[test]
fn down_of_nothing_is_empty() {
    assert!(down(&CloudState::default()).is_empty());
}

#[test]
fn what_shares_a_name_and_is_not_ours_is_refused() {
    let foreign =
        Foreign { kind: "security group".into(), id: "sg-9".into(), name: "kubestrap-books-nodes".into() };
    let cloud = CloudState { foreign: vec![foreign.clone()], ..CloudState::default() };
    let error = up(&spec(), &observed(cloud)).unwrap_err();
    assert_eq!(error, PlanError::Foreign(vec![foreign]));
    assert_eq!(error.to_string(), "1 resource(s) hold names of this cluster without being part of it");
}

#[test]
fn what_cannot_be_changed_in_place_is_refused() {
    let mut cloud = finished(&spec());
    cloud.vpc = Some(Vpc { id: "vpc-1".into(), cidr: "10.9.0.0/16".parse().unwrap(), built: None });
    let error = up(&spec(), &observed(cloud)).unwrap_err();
    let text =
        "VPC vpc-1 is 10.9.0.0/16 and the spec says 10.0.0.0/16: that cannot be changed while it exists";
    assert_eq!(error.to_string(), text);
}

#[test]
fn another_kubernetes_version_is_not_passed_over_in_silence() {
    let cloud = finished(&spec());
    let mut newer = spec();
    newer.kubernetes = "1.36.4".into();
    let error = up(&newer, &observed(cloud)).unwrap_err();
    let wanted = BUILT.replace("1.36.3", "1.36.4");
    let text = format!(
        "the cluster in vpc-1 is {BUILT} and the spec says {wanted}: that cannot be changed while it exists"
    );
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_node_that_the_spec_does_not_name_is_not_removed_silently() {
    let mut cloud = finished(&spec());
    cloud.instances[2].node = "general-9".into();
    let error = up(&spec(), &observed(cloud)).unwrap_err();
    assert_eq!(error.to_string(), "instance i-2 is node general-9, which the spec does not name");
}

#[test]
fn a_stopped_instance_is_a_persons_decision() {
    let mut cloud = finished(&spec());
    cloud.instances[1].state = InstanceState::Stopped;
    let error = up(&spec(), &observed(cloud)).unwrap_err();
    assert_eq!(error.to_string(), "instance i-1 of node general-1 is stopped");
}

#[test]
fn a_lost_control_plane_is_not_replaced_under_running_workers() {
    let mut cloud = finished(&spec());
    cloud.instances.remove(0);
    let error = up(&spec(), &observed(cloud)).unwrap_err();
    assert_eq!(error, PlanError::ControlPlaneLost { node: "control-plane-1".into() });
}
