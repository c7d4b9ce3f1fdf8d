//! The process inside the lab's container: proves enforcement, then serves the endpoint, the
//! registry and the sources, and keeps the network and the machines as the world wants them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use axum::Router;
use axum::routing::get;
use bollard::Docker;
use bollard::query_parameters::ListContainersOptionsBuilder;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::desired::Desired;
use super::effects::Effects;
use super::fabric::probe::{self, ProbeError};
use super::fabric::{Fabric, FabricError, Netns, Site};
use super::machine::Blueprint;
use super::machine::container::{INSTANCE_LABEL, LABEL, remove};
use super::registry::{self, RegistryError};
use super::sources;
use super::wire::{self, LabHandle};
use super::world::{Config, World};

/// Port of the image registry at the lab's address.
pub const REGISTRY_PORT: u16 = 5000;
/// Port of the package sources at the lab's address.
pub const SOURCES_PORT: u16 = 8080;

/// What the lab is told when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServeOptions {
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// What instances are made of.
    pub blueprint: Blueprint,
    /// The network between the user's host and the lab.
    pub subnet: Ipv4Net,
    /// The lab's address in it.
    pub address: Ipv4Addr,
    /// The endpoint's port.
    pub port: u16,
    /// e.g. `ap-northeast-1`.
    pub region: String,
    /// Whether nodes reach beyond `subnet`.
    pub internet: bool,
    /// Where pushed images are kept; ends with the lab.
    pub state: PathBuf,
}

/// What `GET /_lab/health` answers once everything is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Always true; it does not answer before.
    pub ready: bool,
    /// The region served.
    pub region: String,
    /// Whether nodes reach beyond the lab's network.
    pub internet: bool,
    /// Instances that have a machine now.
    pub machines: usize,
}

/// Why the lab does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Groups would not bite: the lab refuses to start.
    #[error("KS-LAB-NOT-ENFORCED: security groups are not enforced on this machine: {0}")]
    NotEnforced(#[from] ProbeError),
    /// The lab's own network could not be prepared.
    #[error("network: {0}")]
    Fabric(#[from] FabricError),
    /// The container engine cannot be reached through its socket.
    #[error("container engine: {0}")]
    Engine(#[from] bollard::errors::Error),
    /// The bundle's images cannot be served.
    #[error("registry: {0}")]
    Registry(#[from] RegistryError),
    /// An address or a signal could not be had.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// No interface has the address that the lab was told to use.
    #[error("no interface has the address {0}")]
    NoUplink(Ipv4Addr),
}

/// Serves until SIGTERM or SIGINT, then removes every machine.
pub async fn run(options: ServeOptions) -> Result<(), ServeError> {
    let io = |what: &str| {
        let what = what.to_owned();
        move |source| ServeError::Io { what, source }
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(io("SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io("SIGINT"))?;

    let fabric = {
        let options = options.clone();
        let made = tokio::task::spawn_blocking(move || fabric(&options)).await;
        made.map_err(|error| ServeError::Io { what: "prepare".into(), source: error.into() })??
    };
    tracing::info!("enforcement proven");
    let docker = Docker::connect_with_unix_defaults()?.negotiate_version().await?;
    remove_leftovers(&docker).await?;

    let world = World::new(Config::lab(&options.region, public_pool(options.subnet)), rand::random());
    let lab = LabHandle::new(world);
    let mut goals = lab.goals();
    goals.mark_changed();
    let (reports, mut reported) = mpsc::unbounded_channel();
    let upstream = if options.internet { host_resolver() } else { None };
    let mut effects = Effects::new(fabric, docker, options.blueprint.clone(), reports, upstream);

    let registry = registry::router(&options.bundle.join("images"), &options.state)?;
    let mut servers = tokio::task::JoinSet::new();
    for (port, router) in [
        (options.port, wire::router(lab.clone()).merge(health(lab.clone(), &options))),
        (REGISTRY_PORT, registry),
        (SOURCES_PORT, sources::router(&options.bundle)),
    ] {
        let address = SocketAddr::from((options.address, port));
        let listener = TcpListener::bind(address).await.map_err(io(&format!("listen at {address}")))?;
        servers.spawn(async move { axum::serve(listener, router).await });
    }
    tokio::spawn(lab.clone().keep_time());
    tracing::info!(address = %options.address, port = options.port, "ready");

    loop {
        tokio::select! {
            changed = goals.changed() => {
                // The handle above keeps the sender alive.
                let Ok(()) = changed else { break };
                let goal = goals.borrow_and_update().clone();
                match effects.apply(Desired::clone(&goal.desired)).await {
                    Ok(()) => lab.applied(goal.generation),
                    Err(error) => {
                        tracing::error!(%error, "the network could not be made as asked");
                        lab.failed(goal.generation, error.to_string());
                    }
                }
            }
            Some(report) = reported.recv() => lab.report(report),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    tracing::info!("stopping");
    servers.shutdown().await;
    effects.shut_down().await?;
    Ok(())
}

/// Prepares the network and proves that groups bite.
fn fabric(options: &ServeOptions) -> Result<Fabric, ServeError> {
    let outside =
        Netns::current().map_err(|source| ServeError::Io { what: "own namespace".into(), source })?;
    let uplink = uplink(&outside, options.address)?;
    let site = Site {
        subnet: options.subnet,
        address: options.address,
        uplink,
        services: vec![options.port, REGISTRY_PORT, SOURCES_PORT],
        internet: options.internet,
    };
    let mut fabric = Fabric::new(outside, &site)?;
    probe::prove(&mut fabric)?;
    Ok(fabric)
}

/// The interface that has `address`.
fn uplink(namespace: &Netns, address: Ipv4Addr) -> Result<String, ServeError> {
    let listed = namespace.tool(&["ip", "-json", "-4", "address", "show"], "").map_err(FabricError::from)?;
    let links: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap_or_default();
    let wanted = address.to_string();
    links
        .iter()
        .find(|link| {
            link["addr_info"]
                .as_array()
                .is_some_and(|each| each.iter().any(|one| one["local"] == wanted.as_str()))
        })
        .and_then(|link| link["ifname"].as_str())
        .map(str::to_owned)
        .ok_or(ServeError::NoUplink(address))
}

/// Public addresses come from the upper half of the lab's network.
pub fn public_pool(subnet: Ipv4Net) -> Ipv4Net {
    let halves = subnet.subnets((subnet.prefix_len() + 1).min(32)).ok();
    halves.and_then(Iterator::last).unwrap_or(subnet)
}

/// Machines of a lab that crashed.
async fn remove_leftovers(docker: &Docker) -> Result<(), ServeError> {
    let filters =
        std::collections::HashMap::from([("label", vec![format!("{LABEL}=1"), INSTANCE_LABEL.into()])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    for leftover in docker.list_containers(Some(options)).await? {
        if let Some(id) = leftover.id {
            tracing::info!(container = id, "removing what an earlier lab left");
            remove(docker, &id).await?;
        }
    }
    Ok(())
}

/// The first name server of the container's own configuration.
fn host_resolver() -> Option<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver"));
    servers
        .filter_map(|server| server.trim().parse::<Ipv4Addr>().ok())
        .next()
        .map(|server| (server, 53).into())
}

fn health(lab: LabHandle, options: &ServeOptions) -> Router {
    let (region, internet) = (options.region.clone(), options.internet);
    let answer = move || {
        let machines = lab.goals().borrow().desired.machines.len();
        std::future::ready(axum::Json(Health { ready: true, region: region.clone(), internet, machines }))
    };
    Router::new().route("/_lab/health", get(answer))
}
