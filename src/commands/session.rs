//! What every command on a cluster needs: the spec, the cloud, the cluster's id, its local files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::diagnose::Collector;
use crate::ec2::Ec2;
use crate::engine::{self, Events, Executor, Facts, Local, StepError};
use crate::failure::{Exit, Failure};
use crate::kube::{KubeCluster, Kubeconfigs};
use crate::local::{LocalFiles, Lock};
use crate::plan::{Observed, Plan};
use crate::ports::{
    Cloud, CloudState, Cluster, ClusterError, Host, InstanceState, Remote, RemoteError, Scope,
};
use crate::script::BootstrapToken;
use crate::spec::{self, ImageSource, ProviderKind, Spec};
use crate::ssh::{Settings, Ssh};

/// How long a node that is up may take to answer on SSH.
pub const BRIEF: Duration = Duration::from_secs(5);

/// An open cluster: nothing is changed by opening it.
pub struct Session {
    /// The spec.
    pub spec: Spec,
    /// Whose resources these are.
    pub scope: Scope,
    /// EC2.
    pub cloud: Arc<Ec2>,
    /// The nodes.
    pub ssh: Arc<Ssh>,
    /// This machine.
    pub files: LocalFiles,
}

/// Reads and checks the spec.
pub fn load(file: &Path) -> Result<Spec, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(
            "KS-SPEC-MISSING",
            Exit::Usage,
            format!("the spec {} cannot be read: {error}", file.display()),
        )
        .remedy("name one with --file, or write one: kubestrap init")
    })?;
    spec::parse(&file.display().to_string(), &text).map_err(Failure::from)
}

impl Session {
    /// Opens the cluster that the spec describes.
    pub async fn open(spec: Spec) -> Result<Self, Failure> {
        let credentials = (spec.provider.kind == ProviderKind::Lab).then(crate::lab::credentials);
        let cloud = Ec2::connect(&spec.provider, credentials).await?;
        let account = cloud.account().await?;
        let allowed = &spec.provider.allowed_account_ids;
        if !allowed.is_empty() && !allowed.contains(&account) {
            return Err(Failure::new(
                "KS-CRED-ACCOUNT",
                Exit::Credentials,
                format!("these credentials are of account {account}, which the spec does not allow"),
            )
            .remedy(format!("use credentials of {}", allowed.join(" or "))));
        }
        let digest = Sha256::digest(format!("{account}|{}|{}", spec.provider.region, spec.name));
        let scope =
            Scope { id: format!("{}-{}", spec.name, &hex::encode(digest)[..8]), name: spec.name.clone() };
        let files = LocalFiles::open(&scope.id).map_err(local)?;
        let patience = Duration::from_secs(spec.ssh.timeout_seconds.into());
        let ssh = ssh_in(&files, patience)?;
        Ok(Self { spec, scope, cloud: Arc::new(cloud), ssh: Arc::new(ssh), files })
    }

    /// Connections of their own to the nodes, which may take no longer than `patience` to answer.
    pub fn ssh_for(&self, patience: Duration) -> Result<Ssh, Failure> {
        Ok(ssh_in(&self.files, patience)?)
    }

    /// Takes the cluster's lock.
    pub fn lock(&self) -> Result<Lock, Failure> {
        self.files.lock().map_err(local)?.ok_or_else(|| {
            Failure::new(
                "KS-LOCK",
                Exit::Locked,
                format!("another run is at work on cluster {}", self.scope.id),
            )
            .remedy("wait for it to end")
        })
    }

    /// What exists, by tags.
    pub async fn cloud_state(&self) -> Result<CloudState, Failure> {
        Ok(self.cloud.observe(&self.scope).await?)
    }

    /// What planning needs to know. What a launch needs is asked for only when there is one to come.
    pub async fn observe(&self) -> Result<Observed, Failure> {
        let cloud = self.cloud_state().await?;
        let complete = cloud.subnet.is_some()
            && self
                .spec
                .nodes()
                .all(|(node, _)| cloud.instances.iter().any(|instance| instance.node == node));
        let (offer, images) = if complete { (None, BTreeMap::new()) } else { self.offer().await? };
        let public_key = self.ssh.public_key();
        Ok(Observed { scope: self.scope.clone(), cloud, offer, images, public_key })
    }

    async fn offer(&self) -> Result<(Option<crate::ports::Offer>, BTreeMap<String, String>), Failure> {
        let mut types: Vec<String> = self.spec.pools().map(|pool| pool.instance_type.clone()).collect();
        types.sort();
        types.dedup();
        let offer = self.cloud.offer(self.spec.provider.zone.as_deref(), &types).await?;
        let mut images = BTreeMap::new();
        for arch in offer.arch.values() {
            if !images.contains_key(arch) {
                let id = match &self.spec.provider.image {
                    ImageSource::Ami(id) => id.clone(),
                    ImageSource::Ssm(parameter) => {
                        self.cloud.image(&parameter.replace("{arch}", arch)).await?
                    }
                };
                images.insert(arch.clone(), id);
            }
        }
        Ok((Some(offer), images))
    }

    /// Runs a plan.
    pub async fn execute(&self, plan: &Plan, state: &CloudState, events: &Events) -> Result<(), Failure> {
        let executor = Arc::new(self.executor(state));
        let (interrupted, watcher) = interrupt(events.clone());
        let result = engine::run(plan, executor, events, interrupted).await;
        watcher.abort();
        // What comes after the steps only looks, so that there is nothing to wait for.
        tokio::spawn(leave_on_interrupt());
        Ok(result?)
    }

    /// Who collects the evidence of a diagnosis.
    pub fn collector<'a>(&'a self, cluster: Option<&'a KubeCluster>) -> Collector<'a, KubeCluster> {
        Collector { cluster, cloud: &*self.cloud, scope: &self.scope, spec: &self.spec }
    }

    /// The engine's view of the local files.
    pub fn keeper(&self) -> Keeper {
        Keeper { files: self.files.clone(), ssh: self.ssh.clone(), cluster: self.scope.clone() }
    }

    fn executor(&self, state: &CloudState) -> Executor {
        Executor {
            spec: self.spec.clone(),
            scope: self.scope.clone(),
            cloud: self.cloud.clone(),
            remote: self.ssh.clone(),
            local: Arc::new(self.keeper()),
            public_key: self.ssh.public_key(),
            token: BootstrapToken::generate(rand::random),
            facts: Facts::observed(state),
            cluster: Mutex::default(),
        }
    }

    /// The API server at its present address, by the kubeconfig kept here; fetched again from the control plane when it
    /// is lost.
    pub async fn cluster(&self, state: &CloudState) -> Result<KubeCluster, Failure> {
        let (node, _) = self.spec.nodes().next().expect("a spec has a control plane");
        let host = self.host(state, &node)?;
        let server = format!("https://{}:6443", host.address);
        match self.files.kubeconfig() {
            Some(kubeconfig) if kubeconfig.expose_secret().contains(&server) => {
                Ok(KubeCluster::from_kubeconfig(&kubeconfig, None).await?)
            }
            Some(moved) => Ok(self.keeper().keep(&moved, &server).await?),
            None => self.fetch_kubeconfig(&host, &server).await,
        }
    }

    /// Where a node is reached by SSH.
    pub fn host(&self, state: &CloudState, node: &str) -> Result<Host, Failure> {
        if state.instances.is_empty() {
            return Err(no_cluster(self));
        }
        let instance = state.instances.iter().find(|instance| instance.node == node).ok_or_else(|| {
            let known: Vec<&str> = state.instances.iter().map(|instance| instance.node.as_str()).collect();
            Failure::new("KS-NO-NODE", Exit::Usage, format!("there is no node {node}"))
                .remedy(format!("one of: {}", known.join(", ")))
        })?;
        let not_running = || {
            let message = format!("instance {} of node {node} is {}", instance.id, instance.state);
            Failure::new("KS-NODE-INSTANCE", Exit::Failed, message).remedy("kubestrap diagnose dns")
        };
        let running = matches!(instance.state, InstanceState::Pending | InstanceState::Running);
        let address = instance.address().filter(|_| running).ok_or_else(not_running)?;
        Ok(Host { node: node.to_owned(), address: address.into(), user: self.spec.ssh.user.clone() })
    }

    async fn fetch_kubeconfig(&self, host: &Host, server: &str) -> Result<KubeCluster, Failure> {
        // A node that has joined answers at once, or not for a reason that waiting does not mend.
        let ssh = self.ssh_for(BRIEF)?;
        ssh.connect(host).await?;
        let admin_conf = ssh.read(&host.node, "/etc/kubernetes/admin.conf").await?;
        Ok(self.keeper().keep(&admin_conf, server).await?)
    }
}

fn ssh_in(files: &LocalFiles, patience: Duration) -> Result<Ssh, RemoteError> {
    Ssh::with(files.dir(), Settings { patience, ..Settings::default() })
}

/// The failure of a command on a cluster that does not exist.
pub fn no_cluster(session: &Session) -> Failure {
    Failure::new("KS-NO-CLUSTER", Exit::Failed, format!("cluster {} does not exist", session.scope.id))
        .remedy("kubestrap up")
}

/// A failure of this machine.
pub fn local(error: impl ToString) -> Failure {
    Failure::new("KS-LOCAL", Exit::Failed, error.to_string())
}

/// What becomes true on the first Ctrl-C, and the task that waits for it; a second one leaves at once. Whoever runs
/// the steps ends the task, which holds a sender of events.
fn interrupt(events: Events) -> (watch::Receiver<bool>, JoinHandle<()>) {
    let (sender, receiver) = watch::channel(false);
    let watcher = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            let _ = sender.send(true);
            events
                .of("interrupt", None)
                .progress("stopping after the running steps; Ctrl-C again leaves at once");
            leave_on_interrupt().await;
        }
    });
    (receiver, watcher)
}

async fn leave_on_interrupt() {
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(i32::from(u8::from(Exit::Interrupted)));
    }
}

/// The engine's view of the local files.
pub struct Keeper {
    files: LocalFiles,
    ssh: Arc<Ssh>,
    cluster: Scope,
}

impl Keeper {
    async fn keep(&self, admin_conf: &SecretString, server: &str) -> Result<KubeCluster, ClusterError> {
        self.kubeconfigs().keep(admin_conf, &self.cluster.id, server)?;
        KubeCluster::from_kubeconfig(admin_conf, Some(server)).await
    }

    fn kubeconfigs(&self) -> Kubeconfigs {
        Kubeconfigs::locate(self.files.kubeconfig_path())
    }
}

#[async_trait]
impl Local for Keeper {
    fn ephemeral_host_key(&self, nodes: &[String]) -> Result<(SecretString, String), StepError> {
        Ok(self.ssh.ephemeral_host_key(nodes)?)
    }

    async fn keep_kubeconfig(
        &self,
        admin_conf: &SecretString,
        server: &str,
    ) -> Result<Arc<dyn Cluster>, StepError> {
        Ok(Arc::new(self.keep(admin_conf, server).await?))
    }

    fn forget(&self) -> Result<(), StepError> {
        self.kubeconfigs().forget(&self.cluster.id)?;
        self.files.forget().map_err(|error| StepError::Local(error.to_string()))
    }
}
