//! The world's rules of time and of effects: what no client can see from outside in one call.

use proptest::prelude::*;

use super::*;
use crate::lab::desired::Report;
use crate::network::Direction;

const START: Time = Time(1_000_000);

struct Lab {
    world: World,
    now: Time,
    subnet: String,
    vpc: String,
}

impl Lab {
    fn new() -> Self {
        let config = Config::lab("ap-northeast-1", "203.0.113.0/24".parse().unwrap());
        let mut lab =
            Self { world: World::new(config, 1), now: START, subnet: String::new(), vpc: String::new() };
        if let Response::Vpc(vpc) =
            lab.ask(Request::CreateVpc { cidr: "10.0.0.9/16".into(), tags: Vec::new() })
        {
            lab.vpc = vpc.id;
        }
        let (vpc, zone, zone_id) = (lab.vpc.clone(), None, None);
        let made = lab.ask(Request::CreateSubnet {
            vpc,
            cidr: "10.0.1.0/24".into(),
            zone,
            zone_id,
            tags: Vec::new(),
        });
        if let Response::Subnet(view) = made {
            lab.subnet = view.subnet.id;
        }
        lab
    }

    fn call(&mut self, request: Request) -> ApiResult<Response> {
        self.world.call(self.now, Call { dry_run: false, request })
    }

    fn ask(&mut self, request: Request) -> Response {
        self.call(request).unwrap()
    }

    fn run(&mut self, count: i64) -> Vec<String> {
        let launch = RunInstances {
            image: "ami-0deb1300000000064".into(),
            instance_type: "t3.medium".into(),
            min_count: count,
            max_count: count,
            subnet: Some(self.subnet.clone()),
            ..RunInstances::default()
        };
        match self.ask(Request::RunInstances(Box::new(launch))) {
            Response::Reservation(made) => made.instances.into_iter().map(|view| view.instance.id).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now = self.now.after(milliseconds);
        self.world.tick(self.now);
    }

    fn report(&mut self, report: Report) {
        self.world.report(self.now, report);
    }

    fn state(&self, id: &str) -> &'static str {
        self.world.instances.get(id).map_or("none", |instance| instance.state.name())
    }
}

#[test]
fn a_new_vpc_has_a_default_group_and_a_range_without_host_bits() {
    let lab = Lab::new();
    let vpc = &lab.world.desired().vpcs[0];
    assert_eq!(vpc.cidr.to_string(), "10.0.0.0/16");
    assert_eq!(vpc.groups.len(), 1);
    assert_eq!(vpc.groups[0].ingress[0].to_string(), format!("all {}", vpc.groups[0].id));
    assert_eq!(vpc.groups[0].egress[0].to_string(), "all 0.0.0.0/0");
}

#[test]
fn pending_ends_only_after_the_report_and_the_delay() {
    let mut lab = Lab::new();
    let id = lab.run(1).remove(0);
    assert_eq!(lab.world.next_event_at(), None, "time alone starts nothing");
    lab.wait(60_000);
    assert_eq!(lab.state(&id), "pending");
    lab.report(Report::Started { machine: id.clone() });
    assert_eq!(lab.state(&id), "running", "the delay was over long ago");

    let id = lab.run(1).remove(0);
    lab.report(Report::Started { machine: id.clone() });
    assert_eq!(lab.state(&id), "pending");
    assert_eq!(lab.world.next_event_at(), Some(lab.now.after(1_000)));
    lab.wait(999);
    assert_eq!(lab.state(&id), "pending");
    lab.wait(1);
    assert_eq!(lab.state(&id), "running");
}

#[test]
fn a_terminated_instance_keeps_its_groups_until_its_machine_is_gone_and_then_a_tombstone() {
    let mut lab = Lab::new();
    let id = lab.run(1).remove(0);
    lab.report(Report::Started { machine: id.clone() });
    lab.wait(1_000);
    lab.ask(Request::TerminateInstances { ids: vec![id.clone()] });
    assert!(lab.world.desired().machines.is_empty(), "the effects must remove it");
    assert!(lab.world.desired().vpcs[0].interfaces.is_empty(), "and its packets at once");
    lab.wait(60_000);
    assert_eq!(lab.state(&id), "shutting-down");
    let subnet = lab.subnet.clone();
    let held = lab.call(Request::DeleteSubnet { id: subnet.clone() }).unwrap_err();
    assert_eq!(held.code, "DependencyViolation");
    lab.report(Report::Gone { machine: id.clone() });
    assert_eq!(lab.state(&id), "terminated");
    lab.ask(Request::DeleteSubnet { id: subnet });
    lab.wait(3_600_000);
    assert_eq!(lab.state(&id), "none");
    assert_eq!(lab.world.next_event_at(), None);
}

#[test]
fn a_machine_that_powers_off_stops_and_one_that_cannot_start_says_why() {
    let mut lab = Lab::new();
    let ids = lab.run(2);
    lab.report(Report::Started { machine: ids[0].clone() });
    lab.wait(1_000);
    lab.report(Report::Stopped { machine: ids[0].clone() });
    assert_eq!(lab.state(&ids[0]), "stopping");
    lab.wait(500);
    assert_eq!(lab.state(&ids[0]), "stopped");
    assert!(!lab.world.desired().machines.iter().any(|machine| machine.id == ids[0] && machine.running));
    lab.report(Report::Failed { machine: ids[1].clone(), reason: "no image".into() });
    assert_eq!(lab.state(&ids[1]), "shutting-down");
    let reason = lab.world.instances.get(&ids[1]).unwrap().reason.clone().unwrap();
    assert_eq!(reason.1, "Server.InternalError: no image");
    lab.report(Report::Gone { machine: ids[1].clone() });
    lab.wait(500);
    assert_eq!(lab.state(&ids[1]), "terminated");
}

#[test]
fn reports_about_unknown_machines_change_nothing() {
    let mut lab = Lab::new();
    let before = lab.world.desired();
    let machine = "i-0123456789abcdef0".to_owned();
    lab.report(Report::Started { machine: machine.clone() });
    lab.report(Report::Stopped { machine: machine.clone() });
    lab.report(Report::Gone { machine: machine.clone() });
    lab.report(Report::Console { machine: machine.clone(), text: "x".into() });
    lab.report(Report::Failed { machine, reason: "x".into() });
    assert_eq!(lab.world.desired(), before);
    assert_eq!(lab.world.next_event_at(), None);
}

#[test]
fn a_rule_is_in_the_projection_until_it_is_revoked() {
    let mut lab = Lab::new();
    let group = match lab.ask(Request::CreateSecurityGroup {
        name: "nodes".into(),
        description: "d".into(),
        vpc: Some(lab.vpc.clone()),
        tags: Vec::new(),
    }) {
        Response::Group(group) => group.id,
        other => panic!("{other:?}"),
    };
    let permissions = vec![Permission {
        protocol: Some("17".into()),
        from_port: Some(4789),
        to_port: Some(4789),
        groups: vec![(GroupName::Id(group.clone()), None)],
        ranges_v6: vec![("::/0".into(), None)],
        ..Permission::default()
    }];
    let rules = |lab: &Lab| {
        let desired = lab.world.desired();
        let group = desired.vpcs[0].groups.iter().find(|held| held.id == group).unwrap();
        group.ingress.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let direction = Direction::Ingress;
    lab.ask(Request::Authorize {
        group: group.clone(),
        direction,
        permissions: permissions.clone(),
        tags: Vec::new(),
    });
    assert_eq!(rules(&lab), [format!("udp 4789 {group}")], "IPv6 has no place in the fabric");
    lab.ask(Request::Revoke { group: group.clone(), direction, permissions, rule_ids: Vec::new() });
    assert_eq!(rules(&lab), [""; 0]);
}

#[test]
fn a_subnet_reaches_the_internet_only_through_the_table_that_applies_to_it() {
    let mut lab = Lab::new();
    let reaches = |lab: &Lab| lab.world.desired().vpcs[0].subnets[0].routes_to_internet;
    let (vpc, subnet) = (lab.vpc.clone(), lab.subnet.clone());
    let Response::Gateway(gateway) = lab.ask(Request::CreateInternetGateway { tags: Vec::new() }) else {
        panic!("no gateway")
    };
    lab.ask(Request::AttachInternetGateway { id: gateway.id.clone(), vpc: vpc.clone() });
    let made = lab.ask(Request::CreateRouteTable { vpc: vpc.clone(), tags: Vec::new(), client_token: None });
    let Response::Table(view) = made else { panic!("no table") };
    let table = view.table.id;
    let destination = "0.0.0.0/0".to_owned();
    lab.ask(Request::CreateRoute {
        table: table.clone(),
        destination: destination.clone(),
        gateway: gateway.id.clone(),
    });
    assert!(!reaches(&lab), "the main table applies, and has no such route");
    let Response::Association(association) =
        lab.ask(Request::AssociateRouteTable { id: table.clone(), subnet })
    else {
        panic!("no association")
    };
    assert!(reaches(&lab));
    lab.ask(Request::DetachInternetGateway { id: gateway.id.clone(), vpc: vpc.clone() });
    assert!(!reaches(&lab), "a route to a detached gateway is a black hole");
    lab.ask(Request::AttachInternetGateway { id: gateway.id, vpc });
    assert!(reaches(&lab));
    lab.ask(Request::DisassociateRouteTable { association });
    assert!(!reaches(&lab));
}

#[test]
fn public_addresses_are_not_given_out_again_at_once() {
    let mut lab = Lab::new();
    lab.ask(Request::ModifySubnetAttribute { id: lab.subnet.clone(), map_public_ip: true });
    let mut last = None;
    for _ in 0..3 {
        let id = lab.run(1).remove(0);
        let ip = lab.world.desired().vpcs[0].interfaces[0].public_ip;
        assert!(ip.is_some() && ip != last);
        last = ip;
        lab.ask(Request::TerminateInstances { ids: vec![id.clone()] });
        lab.report(Report::Gone { machine: id });
        lab.wait(500);
    }
    assert_eq!(last.unwrap().to_string(), "203.0.113.4");
}

#[test]
fn a_stale_id_is_unknown_to_so_many_describes_and_its_resource_works_all_the_while() {
    let mut lab = Lab::new();
    let id = lab.run(1).remove(0);
    lab.world.hide_fresh(2);
    assert_eq!(lab.world.desired().machines.len(), 1);
    let query = || Request::DescribeInstances(Query { ids: vec![id.clone()], ..Query::default() });
    assert_eq!(lab.call(query()).unwrap_err().code, "InvalidInstanceID.NotFound");
    let tags = [("k".to_owned(), "v".to_owned())].into();
    let tagged = lab.call(Request::CreateTags { ids: vec![id.clone()], tags });
    assert_eq!(tagged.unwrap_err().code, "InvalidInstanceID.NotFound");
    assert!(matches!(
        lab.ask(Request::DescribeInstances(Query::default())),
        Response::Reservations(page) if page.items.is_empty()
    ));
    lab.ask(query());
}

#[test]
fn the_same_seed_and_calls_give_the_same_world() {
    let (mut one, mut two) = (Lab::new(), Lab::new());
    assert_eq!(one.run(3), two.run(3));
    assert_eq!(one.world.desired(), two.world.desired());
}

/// A step of a random history.
fn step() -> impl Strategy<Value = (u8, u8)> {
    (0..9u8, 0..4u8)
}

proptest! {
    /// Whatever is called and reported in whatever order: what refers to something refers to what
    /// exists, no two interfaces share an address, a refused call changes nothing.
    #[test]
    fn no_history_breaks_the_world(steps in proptest::collection::vec(step(), 1..40)) {
        let mut lab = Lab::new();
        let mut ids: Vec<String> = Vec::new();
        for (what, which) in steps {
            let id = ids.get(usize::from(which)).cloned().unwrap_or_else(|| "i-0123456789abcdef0".into());
            let before = lab.world.desired();
            let result = match what {
                0 if ids.len() < 4 => { ids.extend(lab.run(1)); continue }
                1 => lab.call(Request::TerminateInstances { ids: vec![id] }),
                2 => lab.call(Request::StopInstances { ids: vec![id], force: false }),
                3 => lab.call(Request::StartInstances { ids: vec![id] }),
                4 => lab.call(Request::DeleteSubnet { id: "subnet-nonsense".into() }),
                5 => { lab.report(Report::Started { machine: id }); continue }
                6 => { lab.report(Report::Stopped { machine: id }); continue }
                7 => { lab.report(Report::Gone { machine: id }); continue }
                _ => { lab.wait(700); continue }
            };
            if result.is_err() {
                prop_assert_eq!(lab.world.desired(), before);
            }
            let desired = lab.world.desired();
            let vpc = &desired.vpcs[0];
            let mut addresses: Vec<_> = vpc.interfaces.iter().map(|eni| eni.private_ip).collect();
            addresses.sort();
            addresses.dedup();
            prop_assert_eq!(addresses.len(), vpc.interfaces.len());
            for eni in &vpc.interfaces {
                prop_assert!(desired.machines.iter().any(|machine| machine.id == eni.machine));
                prop_assert!(eni.groups.iter().all(|id| vpc.groups.iter().any(|group| group.id == *id)));
            }
            for machine in &desired.machines {
                prop_assert_eq!(vpc.interfaces.iter().filter(|eni| eni.machine == machine.id).count(), 1);
            }
        }
    }
}
