//! The EC2 adapter against the lab's endpoint, which is stricter than the usual mocks and can do
//! wrong on demand: lose answers, forget fresh ids, throttle.

#[path = "ec2/client.rs"]
mod client;
#[path = "ec2/cycle.rs"]
mod cycle;
#[path = "lab/effects.rs"]
mod effects;

use client::{REGION, connect, credentials, provider, scope};
use cycle::{bare, cycle, launch, network, rule};
use kubestrap::ec2::Ec2;
use kubestrap::lab::wire::{self, CallRecord, FaultOrder, LabHandle};
use kubestrap::lab::world::{Config, Delays, World};
use kubestrap::network::{Direction, Protocol};
use kubestrap::ports::{Cloud, CloudError, Delete, InstanceState};

const IMAGE: &str = "ami-0deb1300000000064";

/// A lab whose effects are at once.
struct Lab {
    endpoint: String,
    http: reqwest::Client,
}

impl Lab {
    async fn start() -> Self {
        let mut config = Config::lab(REGION, "203.0.113.0/24".parse().unwrap());
        config.delays = Delays { pending: 300, status: 300, shutdown: 100, tombstone: 60_000 };
        let lab = LabHandle::new(World::new(config, 7));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(effects::at_once(lab.clone()));
        tokio::spawn(lab.clone().keep_time());
        tokio::spawn(wire::serve(listener, lab));
        Self { endpoint, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn order(&self, action: &str, times: u32, error: &str) {
        let order =
            FaultOrder { action: action.into(), times, error: error.into(), describes: 4, message: None };
        let url = format!("{}/_lab/faults", self.endpoint);
        let body = serde_json::to_vec(&order).unwrap();
        let answer = self.http.post(url).header("content-type", "application/json").body(body).send().await;
        assert!(answer.unwrap().status().is_success());
    }

    async fn calls(&self) -> Vec<CallRecord> {
        let url = format!("{}/_lab/calls?since=0", self.endpoint);
        let text = self.http.get(url).send().await.unwrap().text().await.unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let list = value.get("calls").cloned().unwrap_or(value);
        serde_json::from_value(list).unwrap()
    }

    async fn count(&self, action: &str) -> usize {
        self.calls().await.iter().filter(|it| it.action == action && it.error.is_none()).count()
    }
}

/// A network, a rule and three instances; what is there in the end.
async fn raise(cloud: &Ec2) -> kubestrap::ports::CloudState {
    let net = network(cloud, &format!("{REGION}a")).await;
    let vxlan = [rule(Protocol::Udp, Some(4789), &net.nodes)];
    cloud.set_rules(&net.nodes, Direction::Ingress, &vxlan, &[]).await.unwrap();
    for (pool, nodes) in
        [("control-plane", vec!["control-plane-1"]), ("general", vec!["general-1", "general-2"])]
    {
        let launched = cloud.launch(&scope(), &launch(&net, IMAGE, pool, &nodes)).await.unwrap();
        let ids: Vec<String> = launched.iter().map(|it| it.id.clone()).collect();
        cloud.await_state(&ids, InstanceState::Running).await.unwrap();
    }
    cloud.observe(&scope()).await.unwrap()
}

fn names(state: &kubestrap::ports::CloudState) -> Vec<&str> {
    state.instances.iter().map(|it| it.node.as_str()).collect()
}

#[tokio::test]
async fn from_nothing_to_a_network_with_instances_and_back_to_nothing() {
    let lab = Lab::start().await;
    let sent = cycle(&lab.endpoint, IMAGE).await;
    assert!(sent > 0);
    assert_eq!(lab.count("RunInstances").await, 2, "one launch a pool, and none for a repeated one");
}

/// Every call that makes something or joins what was made.
const CREATES: [&str; 12] = [
    "CreateVpc",
    "CreateInternetGateway",
    "AttachInternetGateway",
    "CreateSubnet",
    "ModifySubnetAttribute",
    "CreateRouteTable",
    "CreateRoute",
    "AssociateRouteTable",
    "ImportKeyPair",
    "CreateSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "RunInstances",
];

async fn watch(ec2: aws_sdk_ec2::Client) {
    let mut rhythm = tokio::time::interval(std::time::Duration::from_millis(300));
    loop {
        rhythm.tick().await;
        let _ = ec2.describe_vpcs().send().await;
    }
}

/// Raises a cluster while each creating call in turn fails once in this way: nothing may be doubled.
async fn every_create_survives(fault: &str) {
    let runs = CREATES.map(|action| async move {
        let lab = Lab::start().await;
        lab.order(action, 1, fault).await;
        // Somebody else looks at the region all the while: the lab counts staleness in describes.
        let others = tokio::spawn(watch(bare(&lab.endpoint)));
        let state = raise(&connect(&lab.endpoint).await).await;
        others.abort();
        assert_eq!(names(&state), ["control-plane-1", "general-1", "general-2"], "{action}");
        assert_eq!(state.others, [], "{action} left a second one behind");
        assert_eq!(state.foreign, [], "{action}");
        assert_eq!(state.groups["nodes"].ingress.len(), 1, "{action}");
        let hit = lab.calls().await.iter().filter(|it| it.action == action && it.fault.is_some()).count();
        assert_eq!(hit, 1, "{action} was not hit: the run proves nothing");
    });
    futures::future::join_all(runs).await;
}

#[tokio::test]
async fn a_lost_answer_of_any_create_doubles_nothing() {
    every_create_survives("drop_response").await;
}

#[tokio::test]
async fn an_id_that_describes_do_not_know_yet_is_waited_for_at_any_create() {
    every_create_survives("stale").await;
}

#[tokio::test]
async fn throttling_and_server_errors_are_borne_at_any_create() {
    every_create_survives("RequestLimitExceeded").await;
    every_create_survives("InternalError").await;
}

#[tokio::test]
async fn a_launch_whose_instances_are_gone_is_made_again() {
    let lab = Lab::start().await;
    let cloud = connect(&lab.endpoint).await;
    let net = network(&cloud, &format!("{REGION}a")).await;
    let wanted = launch(&net, IMAGE, "general", &["general-1", "general-2"]);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let launched = cloud.launch(&scope(), &wanted).await.unwrap();
        let ids: Vec<String> = launched.iter().map(|it| it.id.clone()).collect();
        assert!(ids.iter().all(|id| !seen.contains(id)), "a dead instance was handed out");
        cloud.await_state(&ids, InstanceState::Running).await.unwrap();
        cloud.delete(&Delete::Instances(ids.clone())).await.unwrap();
        cloud.await_state(&ids, InstanceState::Terminated).await.unwrap();
        seen.extend(ids);
    }
}

#[tokio::test]
async fn a_crash_between_launch_and_naming_loses_no_name() {
    let lab = Lab::start().await;
    let cloud = connect(&lab.endpoint).await;
    let net = network(&cloud, &format!("{REGION}a")).await;
    lab.order("CreateTags", 2, "UnauthorizedOperation").await;
    let wanted = launch(&net, IMAGE, "general", &["general-2", "general-7"]);
    let error = cloud.launch(&scope(), &wanted).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "CreateTags is not allowed: You are not authorized to perform this operation."
    );
    let state = connect(&lab.endpoint).await.observe(&scope()).await.unwrap();
    assert_eq!(names(&state), ["general-2", "general-7"]);
}

#[tokio::test]
async fn no_capacity_is_told_as_such() {
    let lab = Lab::start().await;
    let cloud = connect(&lab.endpoint).await;
    let net = network(&cloud, &format!("{REGION}a")).await;
    lab.order("RunInstances", 20, "InsufficientInstanceCapacity").await;
    let error = cloud.launch(&scope(), &launch(&net, IMAGE, "general", &["general-1"])).await.unwrap_err();
    assert!(
        matches!(&error, CloudError::Capacity { operation: "RunInstances", code, .. } if code == "InsufficientInstanceCapacity"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_group_that_another_ones_rule_names_says_whose_rule_it_is() {
    let lab = Lab::start().await;
    let cloud = connect(&lab.endpoint).await;
    let net = network(&cloud, &format!("{REGION}a")).await;
    let kubelet = [rule(Protocol::Tcp, Some(10250), &net.control_plane)];
    cloud.set_rules(&net.nodes, Direction::Ingress, &kubelet, &[]).await.unwrap();
    let error = cloud.delete(&Delete::SecurityGroup(net.control_plane.clone())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "DeleteSecurityGroup: {} is held by a rule of {} (kubestrap-books-nodes)",
            net.control_plane, net.nodes
        )
    );
    assert!(matches!(error, CloudError::InUse { .. }));
}

#[tokio::test]
async fn a_key_that_ec2_does_not_know_is_a_matter_of_credentials() {
    let lab = Lab::start().await;
    let stranger = kubestrap::ec2::Credentials::new("AKIAOTHER", "secret", None, None, "test");
    let cloud = Ec2::connect(&provider(&lab.endpoint), Some(stranger)).await.unwrap();
    let error = cloud.observe(&scope()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "EC2 did not accept the credentials: AuthFailure: AWS was not able to validate the provided access credentials"
    );
    let known = Ec2::connect(&provider(&lab.endpoint), Some(credentials())).await.unwrap();
    known.observe(&scope()).await.unwrap();
}

#[tokio::test]
async fn waiting_for_many_instances_is_one_poll() {
    let lab = Lab::start().await;
    let cloud = connect(&lab.endpoint).await;
    let net = network(&cloud, &format!("{REGION}a")).await;
    let nodes: Vec<String> = (1..=6).map(|ordinal| format!("general-{ordinal}")).collect();
    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
    let mut six = launch(&net, IMAGE, "general", &nodes);
    six.client_token = "token-of-six".into();
    let launched = cloud.launch(&scope(), &six).await.unwrap();
    let before = cloud.calls();
    let waits =
        launched.iter().map(|it| cloud.await_state(std::slice::from_ref(&it.id), InstanceState::Running));
    for waited in futures::future::join_all(waits).await {
        assert_eq!(waited.unwrap().len(), 1);
    }
    let polls = cloud.calls() - before;
    assert!(polls <= 4, "{polls} describes for six waiters of one 0.3 s start");
}
