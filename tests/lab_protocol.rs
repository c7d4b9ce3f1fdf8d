//! The lab's EC2 endpoint, judged by clients that know nothing of it: the AWS SDK for Rust, and
//! boto3 with the service model of botocore. No container, no network: the effects are at once.

#[path = "lab/effects.rs"]
mod effects;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_ec2::types::{
    Filter, IpPermission, IpRange, ResourceType, Tag, TagSpecification, UserIdGroupPair,
};
use kubestrap::lab::wire::{self, LabHandle};
use kubestrap::lab::world::{Config, Delays, World};
use tokio::process::Command;

const REGION: &str = "ap-northeast-1";

/// Starts an endpoint with effects that are at once.
async fn endpoint() -> SocketAddr {
    let mut config = Config::lab(REGION, "203.0.113.0/24".parse().unwrap());
    config.delays = Delays { pending: 300, status: 300, shutdown: 100, tombstone: 60_000 };
    let lab = LabHandle::new(World::new(config, 7));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(effects::at_once(lab.clone()));
    tokio::spawn(lab.clone().keep_time());
    tokio::spawn(wire::serve(listener, lab));
    address
}

fn client(address: SocketAddr, access_key: &str) -> Client {
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(format!("http://{address}"))
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(access_key, "secret", None, None, "test"))
        .build();
    Client::from_conf(config)
}

fn named(kind: ResourceType, name: &str) -> TagSpecification {
    let tag = Tag::builder().key("Name").value(name).build();
    TagSpecification::builder().resource_type(kind).tags(tag).build()
}

#[tokio::test]
async fn the_rust_sdk_makes_a_network_runs_an_instance_and_takes_it_all_down() {
    let ec2 = client(endpoint().await, "lab");
    let vpc = ec2
        .create_vpc()
        .cidr_block("10.0.0.0/16")
        .tag_specifications(named(ResourceType::Vpc, "books"))
        .send()
        .await
        .unwrap();
    let vpc = vpc.vpc().unwrap().vpc_id().unwrap().to_owned();
    let subnet = ec2.create_subnet().vpc_id(&vpc).cidr_block("10.0.1.0/24").send().await.unwrap();
    let subnet = subnet.subnet().unwrap().subnet_id().unwrap().to_owned();
    let gateway = ec2.create_internet_gateway().send().await.unwrap();
    let gateway = gateway.internet_gateway().unwrap().internet_gateway_id().unwrap().to_owned();
    ec2.attach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc).send().await.unwrap();
    let group = ec2
        .create_security_group()
        .group_name("nodes")
        .description("nodes of the cluster")
        .vpc_id(&vpc)
        .send()
        .await
        .unwrap();
    let group = group.group_id().unwrap().to_owned();
    let vxlan = IpPermission::builder()
        .ip_protocol("udp")
        .from_port(4789)
        .to_port(4789)
        .user_id_group_pairs(UserIdGroupPair::builder().group_id(&group).build())
        .build();
    let ssh = IpPermission::builder()
        .ip_protocol("tcp")
        .from_port(22)
        .to_port(22)
        .ip_ranges(IpRange::builder().cidr_ip("198.51.100.0/24").description("admins").build())
        .build();
    let authorized = ec2
        .authorize_security_group_ingress()
        .group_id(&group)
        .ip_permissions(vxlan.clone())
        .ip_permissions(ssh)
        .send()
        .await
        .unwrap();
    assert_eq!(authorized.security_group_rules().len(), 2);
    let again = ec2.authorize_security_group_ingress().group_id(&group).ip_permissions(vxlan).send().await;
    assert_eq!(again.unwrap_err().code(), Some("InvalidPermission.Duplicate"));

    let run = || {
        ec2.run_instances()
            .image_id("ami-0deb1300000000064")
            .instance_type("t3.medium".into())
            .min_count(2)
            .max_count(2)
            .client_token("books-worker-1")
            .tag_specifications(named(ResourceType::Instance, "worker"))
            .network_interfaces(
                aws_sdk_ec2::types::InstanceNetworkInterfaceSpecification::builder()
                    .device_index(0)
                    .subnet_id(&subnet)
                    .groups(&group)
                    .associate_public_ip_address(true)
                    .build(),
            )
    };
    let launched = run().send().await.unwrap();
    assert_eq!(launched.instances().len(), 2);
    assert_eq!(launched.instances()[0].state().unwrap().name().unwrap().as_str(), "pending");
    let replayed = run().send().await.unwrap();
    assert_eq!(replayed.reservation_id(), launched.reservation_id());
    let other = run().max_count(3).send().await;
    assert_eq!(other.unwrap_err().code(), Some("IdempotentParameterMismatch"));

    let running = Filter::builder().name("instance-state-name").values("running").build();
    let named = Filter::builder().name("tag:Name").values("work*").build();
    let started = tokio::time::Instant::now();
    let mut found = Vec::new();
    while found.len() < 2 && started.elapsed() < Duration::from_secs(10) {
        let page =
            ec2.describe_instances().filters(running.clone()).filters(named.clone()).send().await.unwrap();
        found = page.reservations().iter().flat_map(|it| it.instances().to_vec()).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(found.len(), 2, "both instances run");
    assert!(started.elapsed() > Duration::from_millis(200), "pending takes its time");
    assert!(found[0].public_ip_address().unwrap().starts_with("203.0.113."));
    assert_eq!(found[0].security_groups()[0].group_name(), Some("nodes"));

    let held = ec2.delete_security_group().group_id(&group).send().await.unwrap_err();
    assert_eq!(held.code(), Some("DependencyViolation"));
    assert_eq!(held.message(), Some(format!("resource {group} has a dependent object").as_str()));
    let dry = ec2.terminate_instances().instance_ids("i-0123456789abcdef0").dry_run(true).send().await;
    assert_eq!(dry.unwrap_err().code(), Some("InvalidInstanceID.NotFound"));

    let ids: Vec<String> = found.iter().map(|it| it.instance_id().unwrap().to_owned()).collect();
    ec2.terminate_instances().set_instance_ids(Some(ids.clone())).send().await.unwrap();
    loop {
        let page = ec2.describe_instances().set_instance_ids(Some(ids.clone())).send().await.unwrap();
        let states: Vec<_> = page
            .reservations()
            .iter()
            .flat_map(|it| it.instances())
            .map(|it| it.state().unwrap().name().unwrap().as_str().to_owned())
            .collect();
        if states.iter().all(|state| state == "terminated") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    ec2.delete_security_group().group_id(&group).send().await.unwrap();
    ec2.detach_internet_gateway().internet_gateway_id(&gateway).vpc_id(&vpc).send().await.unwrap();
    ec2.delete_internet_gateway().internet_gateway_id(&gateway).send().await.unwrap();
    ec2.delete_subnet().subnet_id(&subnet).send().await.unwrap();
    ec2.delete_vpc().vpc_id(&vpc).send().await.unwrap();
    assert!(ec2.describe_vpcs().send().await.unwrap().vpcs().is_empty());
}

#[tokio::test]
async fn an_answer_waits_until_its_change_is_in_force_and_says_so_when_it_is_not() {
    let lab = LabHandle::new(World::new(Config::lab(REGION, "203.0.113.0/24".parse().unwrap()), 7));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ec2 = client(listener.local_addr().unwrap(), "lab");
    tokio::spawn(wire::serve(listener, lab.clone()));
    let mut goals = lab.goals();
    let create = tokio::spawn(ec2.create_vpc().cidr_block("10.0.0.0/16").send());
    goals.changed().await.unwrap();
    let generation = goals.borrow_and_update().generation;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!create.is_finished(), "nothing is in force yet");
    lab.applied(generation);
    let vpc = create.await.unwrap().unwrap();

    let delete = ec2.delete_vpc().vpc_id(vpc.vpc().unwrap().vpc_id().unwrap()).customize();
    let once =
        aws_sdk_ec2::Config::builder().retry_config(aws_sdk_ec2::config::retry::RetryConfig::disabled());
    let delete = tokio::spawn(delete.config_override(once).send());
    goals.changed().await.unwrap();
    lab.failed(goals.borrow_and_update().generation, "nft said no");
    let error = delete.await.unwrap().unwrap_err();
    assert_eq!(error.code(), Some("InternalError"));
    assert_eq!(
        error.message(),
        Some("The change was recorded, but the lab could not put it in force: nft said no")
    );
}

#[tokio::test]
async fn a_key_that_is_not_the_labs_is_refused() {
    let error = client(endpoint().await, "AKIAOTHER").describe_vpcs().send().await.unwrap_err();
    assert_eq!(error.code(), Some("AuthFailure"));
    assert_eq!(error.message(), Some("AWS was not able to validate the provided access credentials"));
}

/// Runs a command to its end.
async fn run(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().await.unwrap()
}

/// What a command printed, both streams.
fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[tokio::test]
async fn boto3_drives_the_endpoint_and_the_service_model_knows_every_answer() {
    let address = endpoint().await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let venv = run(&mut Command::new(root.join("tests/tools/venv.sh"))).await;
    assert!(venv.status.success(), "{}", printed(&venv));
    let python = Path::new(String::from_utf8(venv.stdout).unwrap().trim()).join("bin/python");
    let tests = run(Command::new(python)
        .args(["-m", "unittest", "discover", "-p", "test_*.py", "-s"])
        .arg(root.join("tests/lab"))
        .env("LAB_ENDPOINT", format!("http://{address}"))
        .env("LAB_REGION", REGION)
        .env("PYTHONDONTWRITEBYTECODE", "1"))
    .await;
    assert!(tests.status.success() && printed(&tests).contains("\nOK"), "{}", printed(&tests));
}
