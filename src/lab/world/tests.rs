//! The world's rules, each by the call that meets it.

use super::*;

const SEED: u64 = 1;

fn world() -> World {
    World::new(Config::lab("ap-northeast-1", "203.0.113.0/24".parse().unwrap()), SEED)
}

fn ask(world: &mut World, request: Request) -> ApiResult<Response> {
    world.call(Time(1_000_000), Call { dry_run: false, request })
}

#[test]
fn a_new_vpc_has_a_default_group_and_a_main_route_table() {
    let mut world = world();
    let Ok(Response::Vpc(vpc)) =
        ask(&mut world, Request::CreateVpc { cidr: "10.0.0.9/16".into(), tags: Vec::new() })
    else {
        panic!("no VPC");
    };
    assert_eq!(vpc.cidr.to_string(), "10.0.0.0/16");
    let desired = world.desired();
    assert_eq!(desired.vpcs[0].groups.len(), 1);
    assert_eq!(desired.vpcs[0].groups[0].ingress[0].to_string(), format!("all {}", desired.vpcs[0].groups[0].id));
    assert_eq!(desired.vpcs[0].groups[0].egress[0].to_string(), "all 0.0.0.0/0");
}
