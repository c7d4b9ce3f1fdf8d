//! `status`: the cluster as the cloud and the API server tell it.

use std::path::Path;

use serde::Serialize;

use super::session::{Session, load};
use crate::failure::{Exit, Failure};
use crate::ports::{CloudState, Cluster, NodePhase, NodeStatus, ServiceStatus};
use crate::spec::{Role, Spec};
use crate::ui::{Ui, labelled, table};

#[derive(Serialize)]
struct Status {
    cluster: ClusterLine,
    nodes: Vec<NodeLine>,
    security_groups: Vec<GroupLine>,
    services: Vec<ServiceLine>,
    endpoint: String,
    kubeconfig: Option<String>,
}

#[derive(Serialize)]
struct ClusterLine {
    name: String,
    id: String,
    /// `absent`, `partial`, `unreachable`, `degraded` or `ready`.
    state: &'static str,
    /// Why the API server could not be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct NodeLine {
    name: String,
    role: Role,
    instance_id: Option<String>,
    state: String,
    ready: bool,
    private_ip: Option<String>,
    public_ip: Option<String>,
    arch: Option<String>,
    version: Option<String>,
}

#[derive(Serialize)]
struct GroupLine {
    name: String,
    id: String,
}

#[derive(Serialize)]
struct ServiceLine {
    name: String,
    ready: bool,
    replicas: String,
    url: Option<String>,
}

/// Shows the cluster; changes nothing.
pub async fn run(file: &Path, ui: Ui) -> Result<Exit, Failure> {
    let session = Session::open(load(file)?).await?;
    let cloud = session.cloud_state().await?;
    let joined = cloud.instances.iter().any(|instance| instance.phase >= NodePhase::Joined);
    let mut trouble = None;
    let (mut nodes, mut services) = (Vec::new(), Vec::new());
    if joined {
        match ask_cluster(&session, &cloud).await {
            Ok(answer) => (nodes, services) = answer,
            Err(failure) => trouble = Some(failure.message),
        }
    }
    let lines = node_lines(&session.spec, &cloud, &nodes);
    let state = match () {
        () if cloud.instances.is_empty() => "absent",
        () if trouble.is_some() => "unreachable",
        () if lines.iter().any(|line| line.instance_id.is_none()) || !joined => "partial",
        () if lines.iter().any(|line| !line.ready) => "degraded",
        () => "ready",
    };
    let address = cloud.instances.iter().find_map(|instance| instance.public_ip);
    let kubeconfig = session.files.kubeconfig_path();
    let status = Status {
        cluster: ClusterLine {
            name: session.spec.name.clone(),
            id: session.scope.id.clone(),
            state,
            reason: trouble,
        },
        nodes: lines,
        security_groups: cloud
            .groups
            .values()
            .map(|group| GroupLine { name: group.name.clone(), id: group.id.clone() })
            .collect(),
        services: services
            .into_iter()
            .map(|service| ServiceLine {
                ready: service.ready >= service.replicas,
                replicas: format!("{}/{}", service.ready, service.replicas),
                url: service
                    .node_port
                    .zip(address)
                    .map(|(port, address)| format!("http://{address}:{port}/")),
                name: service.name,
            })
            .collect(),
        endpoint: session.cloud.endpoint().to_owned(),
        kubeconfig: kubeconfig.exists().then(|| kubeconfig.display().to_string()),
    };
    ui.answer(&render(&status), &status);
    Ok(Exit::Done)
}

async fn ask_cluster(
    session: &Session,
    cloud: &CloudState,
) -> Result<(Vec<NodeStatus>, Vec<ServiceStatus>), Failure> {
    let cluster = session.cluster(cloud).await?;
    Ok(tokio::try_join!(cluster.nodes(), cluster.services())?)
}

fn node_lines(spec: &Spec, cloud: &CloudState, nodes: &[NodeStatus]) -> Vec<NodeLine> {
    spec.nodes()
        .map(|(name, role)| {
            let instance = cloud.instances.iter().find(|instance| instance.node == name);
            let node = nodes.iter().find(|node| node.name == name);
            NodeLine {
                role,
                instance_id: instance.map(|it| it.id.clone()),
                state: instance.map_or_else(|| "absent".to_owned(), |it| it.state.to_string()),
                ready: node.is_some_and(|node| node.ready),
                private_ip: instance.and_then(|it| it.private_ip).map(|ip| ip.to_string()),
                public_ip: instance.and_then(|it| it.public_ip).map(|ip| ip.to_string()),
                arch: instance.map(|it| it.arch.clone()),
                version: node.map(|node| node.version.clone()),
                name,
            }
        })
        .collect()
}

fn render(status: &Status) -> String {
    let dash = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
    let mut text = labelled([
        ("cluster", format!("{} ({})", status.cluster.name, status.cluster.id)),
        ("state", status.cluster.state.to_owned()),
        ("endpoint", status.endpoint.clone()),
        ("kubeconfig", dash(&status.kubeconfig)),
    ]);
    if let Some(trouble) = &status.cluster.reason {
        text.push_str(&format!("\n{trouble}\n"));
    }
    text.push('\n');
    text.push_str(&table(
        &["node", "state", "ready", "instance", "private", "public", "arch", "version"],
        status.nodes.iter().map(|node| {
            [
                node.name.clone(),
                node.state.clone(),
                if node.ready { "yes".into() } else { "no".into() },
                dash(&node.instance_id),
                dash(&node.private_ip),
                dash(&node.public_ip),
                dash(&node.arch),
                dash(&node.version),
            ]
        }),
    ));
    if !status.security_groups.is_empty() {
        text.push('\n');
        let rows = status.security_groups.iter().map(|group| [group.name.clone(), group.id.clone()]);
        text.push_str(&table(&["security group", "id"], rows));
    }
    if !status.services.is_empty() {
        text.push('\n');
        let rows = status
            .services
            .iter()
            .map(|service| [service.name.clone(), service.replicas.clone(), dash(&service.url)]);
        text.push_str(&table(&["service", "ready", "url"], rows));
    }
    text
}
