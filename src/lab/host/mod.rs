//! The lab seen from the user's machine: one container and one network in the Docker engine, made
//! and removed here. Nothing else of the machine is changed and no root shell is needed.

pub mod doctor;
mod engine;
mod error;

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, Mount, MountType,
    NetworkingConfig, PortBinding,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures::StreamExt;
use ipnet::Ipv4Net;
use serde::Serialize;

pub use doctor::{Check, Verdict, doctor};
pub use error::HostError;

use super::machine::Blueprint;
use super::machine::container::{MODULES, console, labels};
use super::serve::{Health, REGISTRY_PORT, SOURCES_PORT, ServeOptions};
use engine::connect;

/// The lab's container and its network.
pub const NAME: &str = "kubestrap-lab";
/// What the container was started with: another value means that it must be replaced.
const FINGERPRINT: &str = "kubestrap.lab.fingerprint";
/// The region, where the user does not care.
pub const REGION: &str = "ap-northeast-1";
/// How long the lab may take to prove itself and serve.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to remove its machines, in seconds.
const STOP: i32 = 60;

/// How the lab is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartOptions {
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Loopback port of the endpoint.
    pub port: u16,
    /// The network between this machine and the lab; at least a /28. Public addresses are taken
    /// from its upper half.
    pub range: Ipv4Net,
    /// Region that the endpoint serves.
    pub region: String,
    /// Whether instances reach the internet through this machine.
    pub internet: bool,
    /// Whether it was started for a cluster, and so goes with it.
    pub on_demand: bool,
}

/// A running lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Running {
    /// EC2 endpoint on this machine's loopback.
    pub endpoint: String,
    /// The same, as instances and this machine reach it in the lab's network.
    pub inner_endpoint: String,
    /// Image registry, `host:port`; plain HTTP.
    pub registry: String,
    /// Package sources.
    pub sources: String,
    /// Addresses of the lab and its instances' public addresses.
    pub range: String,
    /// Whether it was running before.
    pub already: bool,
}

/// What there is of a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing.
    Stopped,
    /// A container that does not serve: it crashed or is starting.
    Broken {
        /// The engine's word for its state.
        state: String,
        /// Instances that it left behind.
        machines: usize,
        /// The end of its log.
        log: String,
    },
    /// It serves.
    Running {
        /// Where.
        at: Running,
        /// Whether it was started for a cluster, and so goes with it.
        on_demand: bool,
        /// What it says of itself.
        health: Health,
        /// Instance ids with the state of their container.
        machines: BTreeMap<String, String>,
    },
}

/// Where bundles are kept unless told otherwise.
pub fn default_bundle() -> Option<PathBuf> {
    let cache = std::env::var_os("KUBESTRAP_CACHE").map(PathBuf::from).or_else(|| {
        let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        base.or_else(|| Some(std::env::home_dir()?.join(".cache"))).map(|base| base.join("kubestrap"))
    })?;
    Some(cache.join("bundle/current"))
}

/// Starts the lab and waits until it serves. A lab that runs with the same binary, bundle and
/// options is left alone; one that differs and has no instances is replaced.
pub async fn start(options: &StartOptions) -> Result<Running, HostError> {
    let docker = connect().await?;
    engine::check_engine(&docker).await?;
    let bundle = engine::Bundle::open(&options.bundle)?;
    let fingerprint = fingerprint(options, &bundle)?;
    let running = place(options, false)?;
    match engine::find(&docker, NAME).await? {
        Some(found) if found.running && found.label(FINGERPRINT) == Some(&fingerprint) => {
            wait_ready(&docker, &running).await?;
            return Ok(Running { already: true, ..running });
        }
        Some(found) if found.running && engine::machines(&docker).await?.values().any(|s| s == "running") => {
            return Err(HostError::Differs);
        }
        _ => stop().await?,
    }
    engine::check_disk(&docker).await?;
    engine::check_range(options.range)?;
    engine::check_port(options.port)?;
    engine::import(&docker, &bundle).await?;
    engine::create_network(&docker, NAME, options.range).await?;
    let started = launch(&docker, options, &bundle, &fingerprint, &running).await;
    if let Err(error) = started {
        // Its log is in the error; a half-started lab is of no use to anyone.
        let _ = stop().await;
        return Err(error);
    }
    Ok(running)
}

async fn launch(
    docker: &Docker,
    options: &StartOptions,
    bundle: &engine::Bundle,
    fingerprint: &str,
    running: &Running,
) -> Result<(), HostError> {
    let binary =
        std::env::current_exe().map_err(|source| HostError::Io { what: "own binary".into(), source })?;
    let config = container(options, bundle, &binary, fingerprint)?;
    let name = CreateContainerOptionsBuilder::new().name(NAME).build();
    docker.create_container(Some(name), config).await?;
    match docker.start_container(NAME, None).await {
        Err(Error::DockerResponseServerError { message, .. })
            if message.contains("port is already allocated") =>
        {
            Err(HostError::PortTaken { port: options.port })
        }
        other => Ok(other?),
    }?;
    wait_ready(docker, running).await
}

/// Stops the lab and removes everything that carries its label.
/// Looks again at the end: what is still there is an error.
pub async fn stop() -> Result<(), HostError> {
    let docker = connect().await?;
    if engine::find(&docker, NAME).await?.is_some_and(|found| found.running) {
        // It removes its machines on SIGTERM.
        let options = StopContainerOptionsBuilder::new().t(STOP).build();
        docker.stop_container(NAME, Some(options)).await?;
    }
    engine::remove_labelled(&docker).await?;
    match engine::leftovers(&docker).await? {
        left if left.is_empty() => Ok(()),
        left => Err(HostError::Leftovers { what: left }),
    }
}

/// What there is of a lab now.
pub async fn status() -> Result<Status, HostError> {
    let docker = connect().await?;
    let Some(found) = engine::find(&docker, NAME).await? else { return Ok(Status::Stopped) };
    let at = found.label(PLACE).and_then(|text| serde_json::from_str::<StartPlace>(text).ok());
    let at = at.map(|at| Running { already: true, ..at.running() });
    let health = match (&at, found.running) {
        (Some(at), true) => ask(&at.endpoint).await.ok(),
        _ => None,
    };
    match (at, health) {
        (Some(at), Some(health)) => {
            let on_demand = found.label(ON_DEMAND).is_some();
            Ok(Status::Running { at, on_demand, health, machines: engine::machines(&docker).await? })
        }
        _ => Ok(Status::Broken {
            state: found.state,
            machines: engine::machines(&docker).await?.len(),
            log: console(&docker, NAME, "20").await?,
        }),
    }
}

/// Label of a lab that was started for a cluster.
const ON_DEMAND: &str = "kubestrap.lab.on-demand";
/// Label that remembers where the lab was put.
const PLACE: &str = "kubestrap.lab.place";

#[derive(Serialize, serde::Deserialize)]
struct StartPlace {
    port: u16,
    range: Ipv4Net,
}

impl StartPlace {
    fn running(&self) -> Running {
        let address = lab_address(self.range);
        Running {
            endpoint: format!("http://127.0.0.1:{}", self.port),
            inner_endpoint: format!("http://{address}:{}", self.port),
            registry: format!("{address}:{REGISTRY_PORT}"),
            sources: format!("http://{address}:{SOURCES_PORT}"),
            range: self.range.to_string(),
            already: false,
        }
    }
}

fn place(options: &StartOptions, already: bool) -> Result<Running, HostError> {
    if options.range.prefix_len() > 28 {
        return Err(HostError::RangeSmall { range: options.range });
    }
    Ok(Running { already, ..StartPlace { port: options.port, range: options.range }.running() })
}

/// The second address; the first is this machine's.
fn lab_address(range: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(range.network()).saturating_add(2))
}

/// What makes two labs the same: the binary's file, the bundle, the options.
fn fingerprint(options: &StartOptions, bundle: &engine::Bundle) -> Result<String, HostError> {
    use std::os::unix::fs::MetadataExt;
    let io = |source| HostError::Io { what: "own binary".into(), source };
    let binary = std::env::current_exe().map_err(io)?;
    let file = std::fs::metadata(&binary).map_err(io)?;
    Ok(format!(
        "{}:{}:{}:{} {} {} {} {} {} {}",
        file.dev(),
        file.ino(),
        file.mtime_nsec(),
        file.size(),
        bundle.image,
        bundle.directory.display(),
        options.port,
        options.range,
        options.region,
        options.internet
    ))
}

/// Until the endpoint says so; a lab that ends meanwhile explains itself in its log.
async fn wait_ready(docker: &Docker, running: &Running) -> Result<(), HostError> {
    let ready = async {
        let mut pause = Duration::from_millis(50);
        while ask(&running.endpoint).await.is_err() {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    };
    let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
    let mut ended = Box::pin(docker.wait_container(NAME, Some(options)));
    let outcome = tokio::select! {
        () = ready => return Ok(()),
        _ = ended.next() => "ended",
        () = tokio::time::sleep(READY) => "did not answer in time",
    };
    let log = console(docker, NAME, "20").await.unwrap_or_default();
    let log = log.trim().to_owned();
    Err(if log.contains("KS-LAB-NOT-ENFORCED") {
        HostError::NotEnforced { log }
    } else {
        HostError::NotReady { outcome, log }
    })
}

async fn ask(endpoint: &str) -> Result<Health, reqwest::Error> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
    client.get(format!("{endpoint}/_lab/health")).send().await?.error_for_status()?.json().await
}

fn container(
    options: &StartOptions,
    bundle: &engine::Bundle,
    binary: &Path,
    fingerprint: &str,
) -> Result<ContainerCreateBody, HostError> {
    let address = lab_address(options.range);
    let serve = ServeOptions {
        bundle: "/bundle".into(),
        blueprint: Blueprint { image: bundle.image.clone(), modules: Path::new(MODULES).exists() },
        subnet: options.range,
        address,
        port: options.port,
        region: options.region.clone(),
        internet: options.internet,
        state: "/var/tmp/registry".into(),
    };
    let strings = |items: &[&str]| Some(items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>());
    let bind = |source: &Path, target: &str, read_only| Mount {
        target: Some(target.to_owned()),
        source: Some(source.display().to_string()),
        typ: Some(MountType::BIND),
        read_only: Some(read_only),
        ..Default::default()
    };
    let port = format!("{}/tcp", options.port);
    let published =
        PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(options.port.to_string()) };
    let host_config = HostConfig {
        network_mode: Some(NAME.to_owned()),
        pid_mode: Some("host".to_owned()),
        // NET_ADMIN and SYS_ADMIN make and join namespaces, SYS_PTRACE opens those of instances.
        cap_add: strings(&["NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE"]),
        security_opt: strings(&["seccomp=unconfined", "apparmor=unconfined", "label=disable"]),
        masked_paths: Some(Vec::new()),
        readonly_paths: Some(Vec::new()),
        init: Some(true),
        mounts: Some(vec![
            bind(binary, "/usr/local/bin/kubestrap", true),
            bind(&bundle.directory, "/bundle", true),
            bind(Path::new(&engine::socket()?), engine::SOCKET, false),
        ]),
        port_bindings: Some(HashMap::from([(port.clone(), Some(vec![published]))])),
        ..Default::default()
    };
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(address.to_string()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut labels = labels();
    labels.insert(FINGERPRINT.to_owned(), fingerprint.to_owned());
    labels.insert(PLACE.to_owned(), text(&StartPlace { port: options.port, range: options.range })?);
    if options.on_demand {
        labels.insert(ON_DEMAND.to_owned(), "1".to_owned());
    }
    Ok(ContainerCreateBody {
        image: Some(bundle.image.clone()),
        hostname: Some(NAME.to_owned()),
        entrypoint: strings(&["/usr/local/bin/kubestrap"]),
        cmd: Some(vec!["lab".into(), "serve".into(), text(&serve)?]),
        env: strings(&[
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "KUBESTRAP_LOG=info",
        ]),
        exposed_ports: Some(vec![port]),
        labels: Some(labels),
        host_config: Some(host_config),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(NAME.to_owned(), endpoint)])),
        }),
        ..Default::default()
    })
}

fn text(value: &impl Serialize) -> Result<String, HostError> {
    serde_json::to_string(value)
        .map_err(|error| HostError::Io { what: "options".into(), source: error.into() })
}
