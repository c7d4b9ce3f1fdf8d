//! `deploy`: compile, assemble, push, check what was pushed, apply, watch the rollout, ask every node.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::session::{Session, load, local, no_cluster};
use crate::engine::{EventState, Events};
use crate::failure::{Exit, Failure};
use crate::image::{self, ImageRef, Login, Mirrors, Platform, Recipe, Registry, build};
use crate::kube::{self, KubeCluster};
use crate::ports::{Cluster, NodeStatus, Workload, WorkloadKind};
use crate::spec::Service;
use crate::ui::Ui;

/// Longest wait for a rollout, and then for its check.
const ROLLOUT_LIMIT: std::time::Duration = std::time::Duration::from_secs(180);

#[derive(Serialize)]
struct Deployed {
    services: Vec<DeployedService>,
    changed: usize,
}

#[derive(Serialize)]
struct DeployedService {
    name: String,
    image: String,
    changed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    urls: Vec<String>,
}

/// From source to pages that answer.
pub async fn run(file: &Path, ui: Ui) -> Result<Exit, Failure> {
    let session = Session::open(load(file)?).await?;
    let _lock = session.lock()?;
    if session.cloud_state().await?.instances.is_empty() {
        return Err(no_cluster(&session));
    }
    let listener = ui.listen(&format!("deploy {}", session.scope.id));
    let result = deploy(&session, file, &listener.events()).await;
    listener.finish().await;
    let deployed = result?;
    let mut text = String::new();
    for service in &deployed.services {
        let state = if service.changed { "rolled out" } else { "unchanged" };
        text.push_str(&format!("{} {state}: {}\n", service.name, service.image));
        for url in &service.urls {
            text.push_str(&format!("  {url}\n"));
        }
    }
    ui.answer(&text, &deployed);
    Ok(Exit::Done)
}

async fn deploy(session: &Session, file: &Path, events: &Events) -> Result<Deployed, Failure> {
    let services = &session.spec.services;
    // The API server is asked while cargo works.
    let (nodes, binaries) = tokio::try_join!(
        async {
            let cluster = session.cluster(&session.cloud_state().await?).await?;
            let nodes = cluster.nodes().await?;
            Ok::<_, Failure>((cluster, nodes))
        },
        compile(services, file, events),
    )?;
    let (cluster, nodes) = nodes;

    let mut pinned = Vec::new();
    for service in services {
        let events = events.of(&format!("image/{}", service.name), None);
        let publish = publish(session, service, &binaries, &nodes);
        pinned.push(told(&events, service.image.clone(), publish, Published::summary).await?.image);
    }
    let mut deployed = Vec::new();
    for (service, image) in services.iter().zip(pinned) {
        let events = events.of(&format!("rollout/{}", service.name), None);
        let roll_out = roll_out(session, &cluster, service, image.clone(), &events);
        let word = |it: &DeployedService| if it.changed { "rolled out" } else { "unchanged" }.to_owned();
        deployed.push(told(&events, image, roll_out, word).await?);
    }
    let changed = deployed.iter().filter(|service| service.changed).count();
    Ok(Deployed { services: deployed, changed })
}

/// Packages with their binaries, by service and platform.
type Binaries = BTreeMap<(String, Platform), (String, PathBuf)>;

/// One cargo call a platform.
async fn compile(services: &[Service], file: &Path, events: &Events) -> Result<Binaries, Failure> {
    let workspace = workspace(services, file)?;
    let mut wanted: BTreeMap<Platform, Vec<(&Service, String)>> = BTreeMap::new();
    for service in services {
        let package = build::package_name(&workspace, &service.source)?;
        for platform in &service.platforms {
            wanted.entry(*platform).or_default().push((service, package.clone()));
        }
    }
    let mut binaries = Binaries::new();
    for (platform, wanted) in wanted {
        let packages: Vec<&str> = wanted.iter().map(|(_, package)| package.as_str()).collect();
        let events = events.of(&format!("build/{platform}"), None);
        let progress = |line: &str| events.progress(line.trim());
        let build = async { Ok(build::compile_all(&workspace, &packages, platform, &progress).await?) };
        let done = |built: &BTreeMap<_, _>| format!("{} binaries", built.len());
        let built = told(&events, packages.join(", "), build, done).await?;
        for (service, package) in &wanted {
            let path = built
                .get(package)
                .ok_or_else(|| local(format!("cargo built no {package} for {platform}")))?;
            binaries.insert((service.name.clone(), platform), (package.clone(), path.clone()));
        }
    }
    Ok(binaries)
}

/// Tells the listener how a step begins and how it ends.
async fn told<T>(
    events: &Events,
    start: String,
    step: impl Future<Output = Result<T, Failure>>,
    done: impl FnOnce(&T) -> String,
) -> Result<T, Failure> {
    events.send(EventState::Started, start);
    let result = step.await;
    match &result {
        Ok(value) => events.send(EventState::Done, done(value)),
        Err(failure) => events.send(EventState::Failed, failure.message.clone()),
    }
    result
}

/// The folder that the services' sources are relative to: the spec's own, one above it, or this one.
fn workspace(services: &[Service], file: &Path) -> Result<PathBuf, Failure> {
    let spec_dir = file.parent().map(Path::to_path_buf).unwrap_or_default();
    let candidates = [spec_dir.clone(), spec_dir.join(".."), PathBuf::new()];
    let holds_all = |dir: &&PathBuf| {
        services.iter().all(|service| dir.join(&service.source).join("Cargo.toml").is_file())
    };
    let found = candidates.iter().find(holds_all).ok_or_else(|| {
        let sources: Vec<&str> = services.iter().map(|service| service.source.as_str()).collect();
        Failure::new(
            "KS-DEPLOY-SOURCE",
            Exit::Usage,
            format!("no folder holds all of {}", sources.join(", ")),
        )
        .remedy("give services.source relative to the spec's folder, or run this where the sources are")
    })?;
    std::path::absolute(found.join("Cargo.toml"))
        .map(|manifest| manifest.parent().map(Path::to_path_buf).unwrap_or_default())
        .map_err(local)
}

/// Assembles and pushes one service's image; returns it pinned by digest once the registry is known to
/// hold every architecture that the nodes report.
async fn publish(
    session: &Session,
    service: &Service,
    binaries: &Binaries,
    nodes: &[NodeStatus],
) -> Result<Published, Failure> {
    let mut recipe = Recipe {
        name: String::new(),
        binaries: BTreeMap::new(),
        ports: vec![service.port],
        revision: None,
        labels: BTreeMap::new(),
    };
    for platform in &service.platforms {
        let (package, path) = binaries
            .get(&(service.name.clone(), *platform))
            .ok_or_else(|| local(format!("no binary of {} for {platform}", service.source)))?;
        recipe.name.clone_from(package);
        recipe.binaries.insert(*platform, std::fs::read(path).map_err(local)?);
    }
    let image = image::assemble(&recipe)?;
    let name: ImageRef = service.image.parse()?;
    let registry = Registry::new(Mirrors::new(&session.spec.sources.mirrors)?, login());
    let pushed = registry.push(&name, &image).await?;
    let held: Vec<Platform> =
        registry.inspect(&name).await?.into_iter().map(|(platform, _)| platform).collect();
    let architectures = nodes.iter().map(|node| (node.name.as_str(), node.arch.as_str()));
    image::verify_covers(&name, &held, architectures)?;
    Ok(Published {
        image: format!("{}@{}", service.image, pushed.digest),
        platforms: held,
        sent: pushed.sent,
    })
}

/// Who pushes: `KUBESTRAP_REGISTRY_USER` with `KUBESTRAP_REGISTRY_PASSWORD`, else nobody in particular.
fn login() -> Login {
    let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (value("KUBESTRAP_REGISTRY_USER"), value("KUBESTRAP_REGISTRY_PASSWORD")) {
        (Some(name), Some(password)) => Login::User { name, password: password.into() },
        _ => Login::Anonymous,
    }
}

/// An image that the registry holds for every node.
struct Published {
    /// Reference, pinned by digest.
    image: String,
    platforms: Vec<Platform>,
    /// Blobs that were not there yet.
    sent: usize,
}

impl Published {
    fn summary(&self) -> String {
        let platforms: Vec<&str> = self.platforms.iter().map(Platform::as_str).collect();
        format!("{} ({}), {} blobs sent", self.image, platforms.join(", "), self.sent)
    }
}

/// Applies one service, watches its rollout, and asks for its page through every node.
async fn roll_out(
    session: &Session,
    cluster: &KubeCluster,
    service: &Service,
    image: String,
    events: &Events,
) -> Result<DeployedService, Failure> {
    let manifest = kube::objects(service, &image);
    let changed = !cluster.drift(&manifest).await?.is_empty();
    if changed {
        cluster.apply(&manifest).await?;
    }
    let workload =
        Workload { kind: WorkloadKind::Deployment, namespace: "default".into(), name: service.name.clone() };
    let (sender, relay) = events.relay();
    let rolled = cluster.await_rollout(&workload, ROLLOUT_LIMIT, sender).await;
    let _ = relay.await;
    rolled?;
    let mut urls = Vec::new();
    if let (Some(port), Some(check)) = (service.node_port, &service.check) {
        events.progress(format!("asking every node for {:?}", check.contains));
        let instances = session.cloud_state().await?.instances;
        let nodes: Vec<(String, IpAddr)> = instances
            .iter()
            .filter_map(|instance| Some((instance.node.clone(), instance.address()?.into())))
            .collect();
        kube::check_service(&nodes, port, check, ROLLOUT_LIMIT).await?;
        urls = nodes.iter().map(|(_, address)| format!("http://{address}:{port}{}", check.path)).collect();
    }
    Ok(DeployedService { name: service.name.clone(), image, changed, urls })
}
