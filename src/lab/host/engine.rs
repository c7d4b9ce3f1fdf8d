//! What the lab asks of the Docker Engine, and what it checks before.

use std::collections::{BTreeMap, HashMap};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ListContainersOptionsBuilder, ListImagesOptionsBuilder,
    ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveImageOptions, RemoveVolumeOptionsBuilder,
};
use futures::{StreamExt, TryStreamExt};
use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;

use super::HostError;
use crate::lab::machine::container::{INSTANCE_LABEL, LABEL, labels, remove};

/// The rootful engine's socket, on this machine unless `DOCKER_HOST` names another, and in the lab's container.
pub const SOCKET: &str = "/var/run/docker.sock";
/// The repository of imported node images.
const REPOSITORY: &str = "kubestrap-lab/node";
/// Images, three nodes' container stores and pushed images.
const NEEDED_GIB: u64 = 8;
const GIB: u64 = 1 << 30;

/// The engine's socket on this machine: that of `DOCKER_HOST`, as for Docker's own client.
pub fn socket() -> Result<String, HostError> {
    match std::env::var("DOCKER_HOST") {
        Ok(host) if !host.is_empty() => match host.strip_prefix("unix://") {
            Some(path) => Ok(path.to_owned()),
            None => Err(HostError::EngineRemote { host }),
        },
        _ => Ok(SOCKET.to_owned()),
    }
}

/// Connects to the engine and agrees on a version.
pub async fn connect() -> Result<Docker, HostError> {
    let socket = socket()?;
    if !Path::new(&socket).exists() {
        return Err(HostError::EngineMissing { socket });
    }
    let down = |error: Error| HostError::EngineDown { message: error.to_string() };
    let docker = Docker::connect_with_unix(&socket, 120, bollard::API_DEFAULT_VERSION).map_err(down)?;
    docker.negotiate_version().await.map_err(down)
}

/// Refuses engines that cannot make an instance.
pub async fn check_engine(docker: &Docker) -> Result<(), HostError> {
    let info = docker.info().await?;
    let options = info.security_options.unwrap_or_default();
    if options.iter().any(|option| option.contains("name=rootless")) {
        return Err(HostError::Rootless { how: "rootless" });
    }
    if options.iter().any(|option| option.contains("name=userns")) {
        return Err(HostError::Rootless { how: "one with user namespaces" });
    }
    if info.docker_root_dir.is_some_and(|root| root.starts_with("/var/snap/")) {
        return Err(HostError::Rootless { how: "a snap" });
    }
    Ok(())
}

/// A complete bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Its directory, links followed.
    pub directory: PathBuf,
    /// The engine's name for its node image.
    pub image: String,
}

impl Bundle {
    /// Checks that everything the lab serves is there.
    pub fn open(path: &Path) -> Result<Self, HostError> {
        let incomplete = |missing: String| HostError::BundleIncomplete { bundle: path.to_owned(), missing };
        let directory = path.canonicalize().map_err(|error| incomplete(error.to_string()))?;
        for part in ["bundle.json", "node.tar", "calico.yaml", "apt/dists", "images/index.json"] {
            if !directory.join(part).exists() {
                return Err(incomplete(format!("{part} is missing")));
            }
        }
        let text =
            std::fs::read(directory.join("bundle.json")).map_err(|error| incomplete(error.to_string()))?;
        let facts: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| incomplete(format!("bundle.json: {error}")))?;
        // The part's own key where there is one: another bundle may share the node.
        let key = match facts["parts"]["debian"].as_str() {
            Some(key) if key.bytes().all(|byte| byte.is_ascii_alphanumeric()) => key.to_owned(),
            _ => hex::encode(&Sha256::digest(&text)[..8]),
        };
        Ok(Self { directory, image: format!("{REPOSITORY}:{key}") })
    }
}

/// Makes the node image from the bundle's root file system, once.
pub async fn import(docker: &Docker, bundle: &Bundle) -> Result<(), HostError> {
    match docker.inspect_image(&bundle.image).await {
        Ok(_) => return Ok(()),
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let path = bundle.directory.join("node.tar");
    let file = tokio::fs::File::open(&path)
        .await
        .map_err(|source| HostError::Io { what: path.display().to_string(), source })?;
    let (repository, tag) = bundle.image.split_once(':').unwrap_or((&bundle.image, "latest"));
    let mut options = CreateImageOptionsBuilder::new().from_src("-").repo(repository).tag(tag).build();
    options.changes = vec![format!("LABEL {LABEL}=1")];
    let body = bollard::body_try_stream(ReaderStream::with_capacity(file, 1 << 20));
    let progress = docker.create_image(Some(options), Some(body), None);
    progress.try_for_each(|_| std::future::ready(Ok(()))).await?;
    forget_others(docker, &bundle.image).await
}

/// Removes the node images of earlier bundles; one that is in use stays.
async fn forget_others(docker: &Docker, kept: &str) -> Result<(), HostError> {
    let options = ListImagesOptionsBuilder::new().filters(&labelled()).build();
    let tags = docker.list_images(Some(options)).await?.into_iter().flat_map(|image| image.repo_tags);
    for tag in tags.filter(|tag| tag != kept && tag.starts_with(REPOSITORY)) {
        match docker.remove_image(&tag, None::<RemoveImageOptions>, None).await {
            Ok(_) | Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// A container of the lab.
#[derive(Clone, Debug)]
pub struct Found {
    /// Whether it runs.
    pub running: bool,
    /// The engine's word for its state.
    pub state: String,
    labels: HashMap<String, String>,
}

impl Found {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&String> {
        self.labels.get(name)
    }
}

/// The container of that name, if it is one of the lab's.
pub async fn find(docker: &Docker, name: &str) -> Result<Option<Found>, HostError> {
    let inspected = match docker.inspect_container(name, None).await {
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
        other => other?,
    };
    let state = inspected.state.unwrap_or_default();
    Ok(Some(Found {
        running: state.running.unwrap_or(false),
        state: state.status.map(|status| status.to_string()).unwrap_or_default(),
        labels: inspected.config.and_then(|config| config.labels).unwrap_or_default(),
    }))
}

fn labelled() -> HashMap<&'static str, Vec<String>> {
    HashMap::from([("label", vec![format!("{LABEL}=1")])])
}

/// Instance ids with the state of their containers.
pub async fn machines(docker: &Docker) -> Result<BTreeMap<String, String>, HostError> {
    let options = ListContainersOptionsBuilder::new().all(true).filters(&labelled()).build();
    let listed = docker.list_containers(Some(options)).await?;
    Ok(listed
        .into_iter()
        .filter_map(|each| {
            let id = each.labels?.remove(INSTANCE_LABEL)?;
            Some((id, each.state.map(|state| state.to_string()).unwrap_or_default()))
        })
        .collect())
}

/// The network between this machine and the lab; its gateway, the first address, is this machine.
pub async fn create_network(docker: &Docker, name: &str, range: Ipv4Net) -> Result<(), HostError> {
    let gateway = std::net::Ipv4Addr::from(u32::from(range.network()).saturating_add(1));
    let config = IpamConfig {
        subnet: Some(range.trunc().to_string()),
        gateway: Some(gateway.to_string()),
        ..Default::default()
    };
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam { config: Some(vec![config]), ..Default::default() }),
        // The bridge's name is at most 15 characters and shows whose it is.
        options: Some(HashMap::from([("com.docker.network.bridge.name".to_owned(), "ks-lab0".to_owned())])),
        labels: Some(labels()),
        ..Default::default()
    };
    match docker.create_network(request).await {
        Err(Error::DockerResponseServerError { message, .. }) if message.contains("overlaps") => {
            Err(HostError::RangeTaken { range, by: "another Docker network".to_owned() })
        }
        other => Ok(other.map(drop)?),
    }
}

/// Refuses a range that this machine has a route or an address in.
pub fn check_range(range: Ipv4Net) -> Result<(), HostError> {
    let io = |source| HostError::Io { what: "/proc/net/route".to_owned(), source };
    let table = std::fs::read_to_string("/proc/net/route").map_err(io)?;
    match taken(&table, range) {
        Some(by) => Err(HostError::RangeTaken { range, by }),
        None => Ok(()),
    }
}

/// The interface that a route table sends part of `range` to; default routes do not count.
fn taken(table: &str, range: Ipv4Net) -> Option<String> {
    let number = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::swap_bytes);
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (link, address) = (*fields.first()?, number(fields.get(1)?)?);
        let mask = number(fields.get(7)?)?;
        let route = Ipv4Net::with_netmask(address.into(), mask.into()).ok()?;
        let overlaps = route.prefix_len() > 0 && (route.contains(&range) || range.contains(&route));
        overlaps.then(|| format!("{link} ({route})"))
    })
}

/// Refuses a port of 127.0.0.1 that somebody listens on.
pub fn check_port(port: u16) -> Result<(), HostError> {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Err(HostError::PortTaken { port }),
        Err(source) => Err(HostError::Io { what: format!("127.0.0.1:{port}"), source }),
    }
}

/// Room at the engine's data, in GiB, where this process can see it.
pub async fn free_gib(docker: &Docker) -> Result<Option<(String, u64)>, HostError> {
    let Some(root) = docker.info().await?.docker_root_dir else { return Ok(None) };
    // Its directory is closed to others; the one above is on the same disk, or nearly always so.
    let seen = Path::new(&root).ancestors().find_map(|path| fs4::available_space(path).ok());
    Ok(seen.map(|free| (root, free / GIB)))
}

/// Refuses to fill the disk.
pub async fn check_disk(docker: &Docker) -> Result<(), HostError> {
    match free_gib(docker).await? {
        Some((path, free_gib)) if free_gib < NEEDED_GIB => {
            Err(HostError::Disk { path, free_gib, needed_gib: NEEDED_GIB })
        }
        _ => Ok(()),
    }
}

/// Removes what carries the label: containers with their volumes, volumes, networks. The imported image stays,
/// as the bundle does.
pub async fn remove_labelled(docker: &Docker) -> Result<(), HostError> {
    let all = inventory(docker).await?;
    let removals = all.containers.iter().map(|id| remove(docker, id));
    for result in futures::stream::iter(removals).buffer_unordered(8).collect::<Vec<_>>().await {
        result?;
    }
    for volume in &all.volumes {
        let options = RemoveVolumeOptionsBuilder::new().force(true).build();
        gone(docker.remove_volume(volume, Some(options)).await)?;
    }
    for network in &all.networks {
        gone(docker.remove_network(network).await)?;
    }
    Ok(())
}

/// Names of what still carries the label, images aside.
pub async fn leftovers(docker: &Docker) -> Result<Vec<String>, HostError> {
    let all = inventory(docker).await?;
    let named = |kind: &'static str, ids: Vec<String>| ids.into_iter().map(move |id| format!("{kind} {id}"));
    Ok(named("container", all.containers)
        .chain(named("volume", all.volumes))
        .chain(named("network", all.networks))
        .collect())
}

struct Inventory {
    containers: Vec<String>,
    volumes: Vec<String>,
    networks: Vec<String>,
}

async fn inventory(docker: &Docker) -> Result<Inventory, HostError> {
    let filters = labelled();
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let containers = docker.list_containers(Some(options)).await?;
    let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
    let volumes = docker.list_volumes(Some(options)).await?.volumes.unwrap_or_default();
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let networks = docker.list_networks(Some(options)).await?;
    Ok(Inventory {
        containers: containers.into_iter().filter_map(|each| each.id).collect(),
        volumes: volumes.into_iter().map(|each| each.name).collect(),
        networks: networks.into_iter().filter_map(|each| each.name).collect(),
    })
}

/// Something that is not there any more was to be removed anyway.
fn gone(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
vpn0\t000012C6\t00000000\t0001\t0\t0\t0\t0000FEFF\t0\t0\t0
";

    #[test]
    fn a_range_inside_a_route_is_taken_and_a_default_route_takes_nothing() {
        let range = |text: &str| text.parse().expect("a range");
        assert_eq!(taken(TABLE, range("198.18.0.0/24")), Some("vpn0 (198.18.0.0/15)".to_owned()));
        assert_eq!(taken(TABLE, range("172.0.0.0/8")), Some("docker0 (172.17.0.0/16)".to_owned()));
        assert_eq!(taken(TABLE, range("198.51.100.0/24")), None);
    }
}
