//! Turns an action into calls on the ports. Makes no choices: everything it needs is in the action,
//! the spec or the facts.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use thiserror::Error;
use tokio::sync::mpsc;

use super::event::Events;
use super::facts::Facts;
use super::schedule::Execute;
use crate::plan::{Action, Step};
use crate::ports::{
    Cloud, CloudError, Cluster, ClusterError, Create, Delete, Host, Instance, InstanceState, Launch, Line,
    NodePhase, Outcome, Remote, RemoteError, Scope, Script, Workload, WorkloadKind,
};
use crate::script;
use crate::spec::Spec;

/// The local side of a cluster: keys, kubeconfig. A cache; the cloud's tags are the truth.
#[async_trait]
pub trait Local: Send + Sync {
    /// The temporary host key of nodes that were not logged in to yet: private and public.
    fn ephemeral_host_key(&self, nodes: &[String]) -> Result<(SecretString, String), StepError>;
    /// Keeps the control plane's kubeconfig, merges it into the user's, and opens the API server at
    /// `server` with it.
    async fn keep_kubeconfig(
        &self,
        admin_conf: &SecretString,
        server: &str,
    ) -> Result<Arc<dyn Cluster>, StepError>;
    /// Removes everything local.
    fn forget(&self) -> Result<(), StepError>;
}

/// Why a step failed.
#[derive(Debug, Error)]
pub enum StepError {
    /// EC2.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// A node.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A node that does not answer on SSH, and the end of its console.
    #[error("{error}")]
    Silent {
        /// What SSH said.
        error: Box<RemoteError>,
        /// The console's last lines, oldest first.
        console: Vec<String>,
    },
    /// Kubernetes.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// This machine.
    #[error("{0}")]
    Local(String),
    /// A fact is missing: the plan's order is wrong.
    #[error("{step} needs {fact}, which no step before it made known")]
    Missing {
        /// The step.
        step: String,
        /// The fact.
        fact: String,
    },
}

/// Everything a step can touch.
pub struct Executor {
    /// The spec.
    pub spec: Spec,
    /// Whose resources these are.
    pub scope: Scope,
    /// EC2.
    pub cloud: Arc<dyn Cloud>,
    /// The nodes.
    pub remote: Arc<dyn Remote>,
    /// This machine.
    pub local: Arc<dyn Local>,
    /// The cluster's SSH public key.
    pub public_key: String,
    /// Bootstrap token of this run.
    pub token: script::BootstrapToken,
    /// What is known.
    pub facts: Facts,
    /// The API server, once connected.
    pub cluster: Mutex<Option<Arc<dyn Cluster>>>,
}

/// Longest wait for nodes, workloads and DNS once kubeadm is done.
const READY_LIMIT: Duration = Duration::from_secs(300);

/// How much of a silent node's console is evidence.
const CONSOLE_LINES: usize = 10;

#[async_trait]
impl Execute for Executor {
    async fn execute(&self, step: &Step, events: &Events) -> Result<String, StepError> {
        let need = |fact: &str| {
            self.facts
                .get(fact)
                .ok_or_else(|| StepError::Missing { step: step.id.to_string(), fact: fact.to_owned() })
        };
        match &step.action {
            Action::ImportKeyPair { name } => {
                let create = Create::KeyPair { name: name.clone(), public_key: self.public_key.clone() };
                self.create(&create).await?;
                self.facts.learn("key-pair", name);
                Ok(name.clone())
            }
            Action::CreateVpc { cidr, built } => {
                self.create_as("vpc", &Create::Vpc { cidr: *cidr, built: built.clone() }).await
            }
            Action::CreateGateway => self.create_as("gateway", &Create::Gateway { vpc: need("vpc")? }).await,
            Action::CreateSubnet { cidr, zone } => {
                self.create_as(
                    "subnet",
                    &Create::Subnet { vpc: need("vpc")?, cidr: *cidr, zone: zone.clone() },
                )
                .await
            }
            Action::CreateRouteTable => {
                let create = Create::RouteTable {
                    vpc: need("vpc")?,
                    gateway: need("gateway")?,
                    subnet: need("subnet")?,
                };
                self.create_as("route-table", &create).await
            }
            Action::CreateSecurityGroup { logical, name, description } => {
                let create = Create::SecurityGroup {
                    vpc: need("vpc")?,
                    logical: logical.clone(),
                    name: name.clone(),
                    description: description.clone(),
                };
                self.create_as(&format!("group/{logical}"), &create).await
            }
            Action::SetRules { group, direction, allow, revoke } => {
                let allow = self.with_group_ids(step, allow)?;
                let revoke = self.with_group_ids(step, revoke)?;
                self.cloud.set_rules(&need(&format!("group/{group}"))?, *direction, &allow, &revoke).await?;
                Ok(format!("{} allowed, {} revoked", allow.len(), revoke.len()))
            }
            Action::SetGroups { instance, groups, others } => {
                let ours = groups.iter().map(|group| need(&format!("group/{group}")));
                let ids = ours.chain(others.iter().cloned().map(Ok)).collect::<Result<Vec<_>, _>>()?;
                self.cloud.set_groups(instance, &ids).await?;
                Ok(format!("in {}", ids.join(", ")))
            }
            Action::Launch { pool, nodes, image, instance_type, disk_gib, groups } => {
                let groups =
                    groups.iter().map(|group| need(&format!("group/{group}"))).collect::<Result<_, _>>()?;
                let (private, public) = self.local.ephemeral_host_key(nodes)?;
                let launch = Launch {
                    client_token: client_token(&self.scope, nodes, &public),
                    nodes: nodes.clone(),
                    pool: pool.clone(),
                    image: image.clone(),
                    instance_type: instance_type.clone(),
                    subnet: need("subnet")?,
                    groups,
                    key_name: need("key-pair")?,
                    user_data: script::user_data(&private, &public),
                    disk_gib: *disk_gib,
                };
                let instances = self.cloud.launch(&self.scope, &launch).await?;
                let ids: Vec<String> = instances.iter().map(|instance| instance.id.clone()).collect();
                instances.into_iter().for_each(|instance| self.facts.learn_instance(instance));
                Ok(ids.join(", "))
            }
            Action::Connect { node } => self.connect(step, node, events).await,
            Action::Install { node } => {
                let outcome = self.run(node, script::install(&self.spec, node), events).await?;
                if let Some(joined) = outcome.facts.get("joined") {
                    self.facts.learn(&format!("joined/{node}"), joined);
                }
                Ok("installed".into())
            }
            Action::Initialise { node } => self.initialise(step, node, events).await,
            Action::InstallCni => self.install_cni(step, events).await,
            Action::Join { node } => {
                if need(&format!("joined/{node}"))? != "yes" {
                    // A machine that died left its node behind, and while that counts as Ready, kubeadm lets no other
                    // join by the name.
                    self.cluster(step)?.remove_node(node).await?;
                }
                let script = script::join(
                    &self.spec,
                    &script::Join {
                        node: node.clone(),
                        private_ip: self.instance(step, node)?.private_ip,
                        token: self.token.clone(),
                        ca_hash: need("ca-hash")?,
                        api_endpoint: need("api-endpoint")?,
                    },
                );
                self.run(node, script, events).await?;
                self.cloud.mark(&[self.instance(step, node)?.id], NodePhase::Joined).await?;
                Ok("joined".into())
            }
            Action::RetireToken => {
                self.cluster(step)?.delete_bootstrap_token(&self.token.id).await?;
                Ok("deleted".into())
            }
            Action::Verify { nodes } => self.verify(step, nodes, events).await,
            Action::Delete { target } => {
                self.cloud.delete(target).await?;
                if let Delete::Instances(ids) = target {
                    events.progress("waiting until they are gone");
                    self.cloud.await_state(ids, InstanceState::Terminated).await?;
                }
                Ok("gone".into())
            }
            Action::Unlink { group, direction, rules } => {
                self.cloud.set_rules(group, *direction, &[], rules).await?;
                Ok(format!("{} rules removed", rules.len()))
            }
            Action::Forget => {
                self.local.forget()?;
                Ok("removed".into())
            }
        }
    }
}

impl Executor {
    async fn create(&self, create: &Create) -> Result<String, StepError> {
        Ok(self.cloud.create(&self.scope, create).await?)
    }

    async fn create_as(&self, fact: &str, create: &Create) -> Result<String, StepError> {
        let id = self.create(create).await?;
        self.facts.learn(fact, &id);
        Ok(id)
    }

    /// Waits for the instance to run, then for its sshd, and pins its host key.
    async fn connect(&self, step: &Step, node: &str, events: &Events) -> Result<String, StepError> {
        let instance = self.instance(step, node)?;
        events.progress(format!("{} is {}", instance.id, instance.state));
        let running =
            self.cloud.await_state(std::slice::from_ref(&instance.id), InstanceState::Running).await?;
        running.into_iter().for_each(|instance| self.facts.learn_instance(instance));
        let address = self.address(step, node)?;
        events.progress(format!("running at {address}; waiting for SSH"));
        let host = Host { node: node.to_owned(), address: address.into(), user: self.spec.ssh.user.clone() };
        match self.remote.connect(&host).await {
            Ok(()) => Ok(format!("{} at {address}", instance.id)),
            Err(error @ RemoteError::NeverAnswered { .. }) => {
                // Of a machine that does not boot, EC2 may have nothing to tell.
                let console = self.cloud.console(&instance.id).await.unwrap_or_default();
                let lines: Vec<&str> = console.lines().filter(|line| !line.trim().is_empty()).collect();
                let tail = lines.iter().skip(lines.len().saturating_sub(CONSOLE_LINES));
                Err(StepError::Silent {
                    error: Box::new(error),
                    console: tail.map(|line| (*line).to_owned()).collect(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// kubeadm init where needed; then the kubeconfig is ours and the joins know what they need.
    async fn initialise(&self, step: &Step, node: &str, events: &Events) -> Result<String, StepError> {
        let instance = self.instance(step, node)?;
        let script = script::initialise(
            &self.spec,
            &script::Initialise {
                node: node.to_owned(),
                private_ip: instance.private_ip,
                public_ip: instance.public_ip,
                token: self.token.clone(),
            },
        );
        let outcome = self.run(node, script, events).await?;
        for (fact, key) in [("ca-hash", "ca_hash"), ("api-endpoint", "api_endpoint")] {
            let value = outcome
                .facts
                .get(key)
                .ok_or_else(|| StepError::Missing { step: step.id.to_string(), fact: key.to_owned() })?;
            self.facts.learn(fact, value);
        }
        let address = self.address(step, node)?;
        let kubeconfig = self.remote.read(node, "/etc/kubernetes/admin.conf").await?;
        let cluster = self.local.keep_kubeconfig(&kubeconfig, &format!("https://{address}:6443")).await?;
        cluster.await_api(READY_LIMIT).await?;
        *self.cluster.lock().expect("never poisoned") = Some(cluster);
        self.cloud.mark(&[instance.id], NodePhase::Joined).await?;
        Ok(format!("API server at https://{address}:6443"))
    }

    async fn install_cni(&self, step: &Step, events: &Events) -> Result<String, StepError> {
        events.progress("applying the manifest");
        self.cluster(step)?.install_network(&self.spec).await?;
        Ok(format!("Calico {}", self.spec.calico.version))
    }

    async fn verify(&self, step: &Step, nodes: &[String], events: &Events) -> Result<String, StepError> {
        let cluster = self.cluster(step)?;
        let (sender, relay) = events.relay();
        let workload =
            |kind, name: &str| Workload { kind, namespace: "kube-system".into(), name: name.into() };
        let calico = workload(WorkloadKind::DaemonSet, "calico-node");
        let controllers = workload(WorkloadKind::Deployment, "calico-kube-controllers");
        let dns = workload(WorkloadKind::Deployment, "coredns");
        tokio::try_join!(
            cluster.await_nodes(nodes, READY_LIMIT, sender.clone()),
            cluster.await_rollout(&calico, READY_LIMIT, sender.clone()),
            cluster.await_rollout(&controllers, READY_LIMIT, sender.clone()),
            cluster.await_rollout(&dns, READY_LIMIT, sender.clone()),
        )?;
        cluster.await_dns(READY_LIMIT, sender).await?;
        let _ = relay.await;
        self.cloud.mark(&self.facts.instance_ids(), NodePhase::Ready).await?;
        Ok(format!("{} nodes Ready, Calico healthy, DNS answers from every node", nodes.len()))
    }

    /// Runs a phase and passes its progress on.
    async fn run(&self, node: &str, script: Script, events: &Events) -> Result<Outcome, StepError> {
        let (sender, mut lines) = mpsc::unbounded_channel();
        let events = events.clone();
        let forwarder = tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                if let Line::Progress(message) = line {
                    events.progress(message);
                }
            }
        });
        let outcome = self.remote.run(node, &script, sender).await;
        let _ = forwarder.await;
        Ok(outcome?)
    }

    fn address(&self, step: &Step, node: &str) -> Result<Ipv4Addr, StepError> {
        self.facts.address(node).ok_or_else(|| StepError::Missing {
            step: step.id.to_string(),
            fact: format!("address of {node}"),
        })
    }

    fn instance(&self, step: &Step, node: &str) -> Result<Instance, StepError> {
        self.facts.instance(node).ok_or_else(|| StepError::Missing {
            step: step.id.to_string(),
            fact: format!("instance of {node}"),
        })
    }

    fn cluster(&self, step: &Step) -> Result<Arc<dyn Cluster>, StepError> {
        self.cluster
            .lock()
            .expect("never poisoned")
            .clone()
            .ok_or_else(|| StepError::Missing { step: step.id.to_string(), fact: "API server".into() })
    }

    /// Rules with logical group names turned into ids.
    fn with_group_ids(
        &self,
        step: &Step,
        rules: &[crate::network::Rule],
    ) -> Result<Vec<crate::network::Rule>, StepError> {
        use crate::network::Peer;
        rules
            .iter()
            .map(|rule| {
                let peer = match &rule.peer {
                    // A peer that is an id already came from the cloud and is none of ours.
                    Peer::Group(name) if !name.starts_with("sg-") => {
                        let fact = format!("group/{name}");
                        let id = self.facts.get(&fact);
                        Peer::Group(id.ok_or_else(|| StepError::Missing { step: step.id.to_string(), fact })?)
                    }
                    known => known.clone(),
                };
                Ok(crate::network::Rule { peer, ..rule.clone() })
            })
            .collect()
    }
}

/// The same launch again is the same instances: the token is made of the cluster, the nodes and the
/// temporary host key, which lives until the first login and so tells one generation from the next.
fn client_token(scope: &Scope, nodes: &[String], host_key: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{}|{}|{host_key}", scope.id, nodes.join(",")));
    hex::encode(digest)[..48].to_owned()
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("scope", &self.scope).finish_non_exhaustive()
    }
}
