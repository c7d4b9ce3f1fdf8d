//! Makes the desired state true: the network at once, machines as they come.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bollard::Docker;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;

use super::desired::{Desired, Report};
use super::fabric::{Fabric, FabricError, VpcSockets};
use super::machine::{Blueprint, Machines, Shop};
use super::{imds, resolver};

/// The network and the machines behind one [`Desired`].
#[derive(Debug)]
pub struct Effects {
    fabric: Arc<Mutex<Fabric>>,
    machines: Machines,
    desired: watch::Sender<Arc<Desired>>,
    /// Metadata service and resolver of every VPC.
    services: BTreeMap<String, JoinSet<std::io::Result<()>>>,
    upstream: Option<SocketAddr>,
}

impl Effects {
    /// Nothing exists yet. Machines are made by `blueprint`; what becomes of them is sent to
    /// `reports`; VPCs forward unknown names to `upstream`, if any.
    pub fn new(
        fabric: Fabric,
        docker: Docker,
        blueprint: Blueprint,
        reports: mpsc::UnboundedSender<Report>,
        upstream: Option<SocketAddr>,
    ) -> Self {
        let fabric = Arc::new(Mutex::new(fabric));
        let (desired, receiver) = watch::channel(Arc::default());
        let shop = Shop { docker, fabric: Arc::clone(&fabric), desired: receiver, reports, blueprint };
        Self { fabric, machines: Machines::new(shop), desired, services: BTreeMap::new(), upstream }
    }

    /// Returns when packets flow as `desired` says; machines start and end after that and report.
    pub async fn apply(&mut self, desired: Desired) -> Result<(), FabricError> {
        let desired = Arc::new(desired);
        let (mut fabric, wanted) = (Arc::clone(&self.fabric).lock_owned().await, Arc::clone(&desired));
        let applied = tokio::task::spawn_blocking(move || fabric.apply(&wanted.vpcs)).await;
        let opened = applied.map_err(|error| FabricError::Unknown { what: error.to_string() })??;
        self.services.retain(|id, _| desired.vpcs.iter().any(|vpc| vpc.id == *id));
        // The services must know a machine before it boots and asks.
        self.desired.send_replace(Arc::clone(&desired));
        for sockets in opened {
            self.serve(sockets);
        }
        self.machines.follow(&desired);
        Ok(())
    }

    /// Ends everything: machines are removed, then the network goes.
    pub async fn shut_down(mut self) -> Result<(), FabricError> {
        // The network stays until the machines are gone, so that they are not cut in the middle.
        let vpcs = self.desired.borrow().vpcs.clone();
        self.desired.send_replace(Arc::new(Desired { vpcs, machines: Vec::new() }));
        self.machines.finish().await;
        self.apply(Desired::default()).await
    }

    fn serve(&mut self, sockets: VpcSockets) {
        let zone = resolver::Zone {
            vpc: sockets.vpc.clone(),
            desired: self.desired.subscribe(),
            upstream: self.upstream,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(imds::serve(sockets.metadata, sockets.vpc.clone(), self.desired.subscribe()));
        for socket in sockets.dns_udp {
            tasks.spawn(resolver::serve_udp(socket, zone.clone()));
        }
        for listener in sockets.dns_tcp {
            tasks.spawn(resolver::serve_tcp(listener, zone.clone()));
        }
        self.services.insert(sockets.vpc, tasks);
    }
}
