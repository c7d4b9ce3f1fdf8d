//! The instance metadata service: session tokens, hop limit and the tree cloud-init reads, by
//! source address (the fabric drops packets whose source is not the interface's own).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use tokio::sync::watch;

use super::desired::{Desired, Interface, Machine, Vpc};
use super::fabric::ruleset::{mac_of, public_of};

const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
/// The longest a session may last.
const TTL_MAX: u64 = 21_600;
/// Directory names under which the one tree is served; clients try newer ones first.
const VERSIONS: [&str; 7] =
    ["1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "2024-04-11", "latest"];

#[derive(Clone)]
struct Service {
    vpc: String,
    desired: watch::Receiver<Arc<Desired>>,
    sessions: Arc<Mutex<HashMap<String, Session>>>,
}

struct Session {
    machine: String,
    ends: Instant,
}

/// Serves `listener`, which must be inside the VPC's namespace, until the task is dropped.
pub async fn serve(
    listener: TcpListener,
    vpc: String,
    desired: watch::Receiver<Arc<Desired>>,
) -> std::io::Result<()> {
    let service = Service { vpc, desired, sessions: Arc::default() };
    let hops = service.clone();
    let listener = tokio::net::TcpListener::from_std(listener)?.tap_io(move |stream| {
        let limit = stream.peer_addr().ok().and_then(|peer| hops.hop_limit(peer.ip()));
        // A client behind another hop, such as a pod, must not get the answer unless allowed.
        let _ = stream.set_ttl(limit.unwrap_or(1).into());
    });
    let app = Router::new().fallback(answer).with_state(service);
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}

impl Service {
    fn find<T>(&self, source: IpAddr, read: impl FnOnce(&Vpc, &Interface, &Machine) -> T) -> Option<T> {
        let IpAddr::V4(source) = source else { return None };
        let desired = self.desired.borrow().clone();
        let vpc = desired.vpcs.iter().find(|vpc| vpc.id == self.vpc)?;
        let interface = vpc.interfaces.iter().find(|each| each.private_ip == source)?;
        let machine = desired.machines.iter().find(|each| each.id == interface.machine)?;
        Some(read(vpc, interface, machine))
    }

    fn hop_limit(&self, source: IpAddr) -> Option<u8> {
        self.find(source, |_, _, machine| machine.hop_limit)
    }

    fn open_session(&self, machine: &str, headers: &HeaderMap) -> Response {
        if headers.contains_key("x-forwarded-for") {
            return refusal(StatusCode::FORBIDDEN);
        }
        let ttl = headers.get(TTL_HEADER).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let Some(ttl) = ttl.filter(|ttl| (1..=TTL_MAX).contains(ttl)) else {
            return refusal(StatusCode::BAD_REQUEST);
        };
        let token = hex::encode(rand::random::<[u8; 28]>());
        let now = Instant::now();
        let session = Session { machine: machine.to_owned(), ends: now + Duration::from_secs(ttl) };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| session.ends > now);
        sessions.insert(token.clone(), session);
        ([(TTL_HEADER, ttl.to_string())], token).into_response()
    }

    /// Whether the request may be answered: a token must be this machine's and alive; having none
    /// is fine where none is required.
    fn admitted(&self, machine: &str, required: bool, headers: &HeaderMap) -> bool {
        let Some(token) = headers.get(TOKEN_HEADER) else { return !required };
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        token
            .to_str()
            .ok()
            .and_then(|token| sessions.get(token))
            .is_some_and(|session| session.machine == machine && session.ends > Instant::now())
    }
}

async fn answer(
    State(service): State<Service>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let found =
        service.find(peer.ip(), |vpc, interface, machine| (machine.clone(), tree(vpc, interface, machine)));
    let Some((machine, tree)) = found else { return refusal(StatusCode::NOT_FOUND) };
    if !machine.metadata_enabled {
        return refusal(StatusCode::FORBIDDEN);
    }
    let path = request.uri().path().trim_start_matches('/');
    if *request.method() == Method::PUT {
        return match path.split_once('/') {
            Some((_, "api/token")) => service.open_session(&machine.id, request.headers()),
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED),
        };
    }
    if !service.admitted(&machine.id, machine.tokens_required, request.headers()) {
        return refusal(StatusCode::UNAUTHORIZED);
    }
    if path.is_empty() {
        return text(VERSIONS.join("\n"));
    }
    let (version, rest) = path.split_once('/').unwrap_or((path, ""));
    let known = VERSIONS.contains(&version);
    match rest.trim_end_matches('/') {
        _ if !known => refusal(StatusCode::NOT_FOUND),
        "user-data" => match &machine.user_data {
            Some(data) => {
                ([(header::CONTENT_TYPE, "application/octet-stream")], data.clone()).into_response()
            }
            None => refusal(StatusCode::NOT_FOUND),
        },
        rest => lookup(&tree, rest).map_or_else(|| refusal(StatusCode::NOT_FOUND), text),
    }
}

fn text(body: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain")], body).into_response()
}

fn refusal(status: StatusCode) -> Response {
    (status, status.canonical_reason().unwrap_or_default()).into_response()
}

/// A leaf's value, or what a directory lists: subdirectories end with a slash, keys show as
/// `0=name`.
fn lookup(tree: &BTreeMap<String, String>, path: &str) -> Option<String> {
    if let Some(value) = tree.get(path) {
        return Some(value.clone());
    }
    let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
    let mut entries = BTreeSet::new();
    for name in tree.keys().filter_map(|key| key.strip_prefix(&prefix)) {
        entries.insert(match name.split_once('/') {
            Some((directory, _)) => format!("{directory}/"),
            None => name.to_owned(),
        });
    }
    if path == "meta-data/public-keys" {
        entries = tree.get("key-name").map(|name| format!("0={name}")).into_iter().collect();
    }
    (!entries.is_empty()).then(|| entries.into_iter().collect::<Vec<_>>().join("\n"))
}

/// The region of a zone: its name without the letter.
pub fn region_of(zone: &str) -> &str {
    zone.trim_end_matches(|each: char| each.is_ascii_lowercase())
}

/// The private DNS name of an address, as EC2 writes it.
pub fn private_name(address: Ipv4Addr, region: &str) -> String {
    let domain =
        if region == "us-east-1" { "ec2.internal".into() } else { format!("{region}.compute.internal") };
    format!("{}.{domain}", host_name(address))
}

/// The host part: `ip-10-0-1-5`.
pub fn host_name(address: Ipv4Addr) -> String {
    format!("ip-{}", address.to_string().replace('.', "-"))
}

/// The public DNS name of an address.
pub fn public_name(address: Ipv4Addr, region: &str) -> String {
    let domain = if region == "us-east-1" { "compute-1".into() } else { format!("{region}.compute") };
    format!("ec2-{}.{domain}.amazonaws.com", address.to_string().replace('.', "-"))
}

/// Every leaf below a version directory, by path; plus `key-name`, which is in no directory.
fn tree(vpc: &Vpc, interface: &Interface, machine: &Machine) -> BTreeMap<String, String> {
    let region = region_of(&machine.zone);
    let name = private_name(interface.private_ip, region);
    let mac = mac_of(&interface.id);
    let subnet = vpc.subnets.iter().find(|each| each.id == interface.subnet);
    let mut leaves = BTreeMap::new();
    let mut leaf = |path: &str, value: &str| {
        leaves.insert(path.to_owned(), value.to_owned());
    };
    let private_ip = interface.private_ip.to_string();
    let groups = interface.groups.join("\n");
    for (path, value) in [
        ("ami-id", machine.image.as_str()),
        ("ami-launch-index", &machine.launch_index.to_string()),
        ("ami-manifest-path", "(unknown)"),
        ("hostname", &name),
        ("instance-action", "none"),
        ("instance-id", &machine.id),
        ("instance-life-cycle", "on-demand"),
        ("instance-type", &machine.instance_type),
        ("local-hostname", &name),
        ("local-ipv4", &private_ip),
        ("mac", &mac),
        ("placement/availability-zone", &machine.zone),
        ("placement/region", region),
        ("reservation-id", &machine.reservation),
        ("security-groups", &groups),
        ("services/domain", "amazonaws.com"),
        ("services/partition", "aws"),
    ] {
        leaf(&format!("meta-data/{path}"), value);
    }
    let card = format!("meta-data/network/interfaces/macs/{mac}");
    for (path, value) in [
        ("device-number", "0"),
        ("interface-id", interface.id.as_str()),
        ("local-hostname", &name),
        ("local-ipv4s", &private_ip),
        ("mac", &mac),
        ("owner-id", &machine.account),
        ("security-group-ids", &groups),
        ("security-groups", &groups),
        ("subnet-id", &interface.subnet),
        ("subnet-ipv4-cidr-block", &subnet.map(|each| each.cidr.to_string()).unwrap_or_default()),
        ("vpc-id", &vpc.id),
        ("vpc-ipv4-cidr-block", &vpc.cidr.to_string()),
        ("vpc-ipv4-cidr-blocks", &vpc.cidr.to_string()),
    ] {
        leaf(&format!("{card}/{path}"), value);
    }
    if let Some(public) = public_of(vpc, interface) {
        let (address, name) = (public.to_string(), public_name(public, region));
        leaf("meta-data/public-ipv4", &address);
        leaf("meta-data/public-hostname", &name);
        leaf(&format!("{card}/public-ipv4s"), &address);
        leaf(&format!("{card}/public-hostname"), &name);
        leaf(&format!("{card}/ipv4-associations/{address}"), &private_ip);
    }
    if let Some((name, key)) = &machine.key {
        leaf("key-name", name);
        leaf("meta-data/public-keys/0/openssh-key", key.trim_end());
    }
    if machine.metadata_tags {
        for (key, value) in &machine.tags {
            leaf(&format!("meta-data/tags/instance/{key}"), value);
        }
    }
    let document = serde_json::json!({
        "accountId": machine.account,
        "architecture": std::env::consts::ARCH.replace("aarch64", "arm64"),
        "availabilityZone": machine.zone,
        "imageId": machine.image,
        "instanceId": machine.id,
        "instanceType": machine.instance_type,
        "privateIp": interface.private_ip,
        "region": region,
        "version": "2017-09-30",
    });
    leaf("dynamic/instance-identity/document", &format!("{document:#}"));
    leaves
}
