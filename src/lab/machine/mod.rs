//! Instances as containers: a keeper task for each, which drives its container towards what the
//! world wants and reports what happened.

pub mod container;

use std::collections::BTreeSet;
use std::sync::Arc;

use bollard::Docker;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::desired::{Desired, Report};
use super::fabric::{Fabric, FabricError, Netns, interface_of};
use super::imds::region_of;
use container::{Body, Exit};

/// Why a machine could not be made as asked.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The container engine refused or broke.
    #[error("container engine: {0}")]
    Engine(#[from] bollard::errors::Error),
    /// Its cable could not be attached.
    #[error(transparent)]
    Fabric(#[from] FabricError),
    /// The container ended before it could be used.
    #[error("the container ended at once: {console}")]
    Ended {
        /// The end of what it wrote.
        console: String,
    },
    /// The desired state has no such machine or no interface for it.
    #[error("{0} has no network interface")]
    NoInterface(String),
    /// The namespace of its first process cannot be opened.
    #[error("cannot enter the network namespace of process {pid}: {source}")]
    Namespace {
        /// The process.
        pid: u32,
        /// Why.
        source: std::io::Error,
    },
}

/// What every instance is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blueprint {
    /// The engine's image of a node.
    pub image: String,
    /// Whether the engine's host has kernel modules to lend: one in a virtual machine of its own may have none.
    pub modules: bool,
}

/// What every keeper needs.
#[derive(Clone, Debug)]
pub struct Shop {
    /// The container engine.
    pub docker: Docker,
    /// Where machines are attached.
    pub fabric: Arc<Mutex<Fabric>>,
    /// What the world wants; keepers follow it.
    pub desired: watch::Receiver<Arc<Desired>>,
    /// Where keepers report.
    pub reports: mpsc::UnboundedSender<Report>,
    /// What they are made of.
    pub blueprint: Blueprint,
}

/// All keepers.
#[derive(Debug)]
pub struct Machines {
    shop: Shop,
    keepers: JoinSet<String>,
    kept: BTreeSet<String>,
}

impl Machines {
    /// None yet.
    pub fn new(shop: Shop) -> Self {
        Self { shop, keepers: JoinSet::new(), kept: BTreeSet::new() }
    }

    /// Gives every new machine of the desired state a keeper; keepers notice the rest themselves.
    pub fn follow(&mut self, desired: &Desired) {
        while let Some(ended) = self.keepers.try_join_next() {
            if let Ok(id) = ended {
                self.kept.remove(&id);
            }
        }
        for machine in &desired.machines {
            if self.kept.insert(machine.id.clone()) {
                let keeper = Keeper { shop: self.shop.clone(), id: machine.id.clone(), state: State::Absent };
                self.keepers.spawn(keeper.run());
            }
        }
    }

    /// Waits until every keeper has ended; they do when their machine is gone.
    pub async fn finish(&mut self) {
        while self.keepers.join_next().await.is_some() {}
    }
}

#[derive(Debug)]
enum State {
    Absent,
    /// The container exists, the machine is powered off.
    Off(Body),
    /// Powered on, with the reboot count it was started at and whoever reads its console.
    On(Body, u32, AbortOnDropHandle<()>),
    /// It ended by itself and the world does not know yet: not to be started again before the
    /// world has wanted it off.
    Died(Body),
    /// It could not be started; what there is of it waits to be removed.
    Broken(Body),
}

/// What the world wants of one machine.
enum Wish {
    Gone,
    Off,
    On(u32),
}

struct Keeper {
    shop: Shop,
    id: String,
    state: State,
}

impl Keeper {
    async fn run(mut self) -> String {
        loop {
            let wish = self.wish();
            let state = std::mem::replace(&mut self.state, State::Absent);
            self.state = match (wish, state) {
                (Wish::Gone, State::Absent) => break,
                (
                    Wish::Gone,
                    State::Off(body) | State::On(body, ..) | State::Died(body) | State::Broken(body),
                ) => {
                    self.remove(body).await;
                    break;
                }
                (Wish::Off, State::Died(body)) => State::Off(body),
                (Wish::On(reboots), State::Absent) => match Body::create(&self.shop, &self.id).await {
                    Ok(body) => self.start(body, reboots).await,
                    Err(error) => self.fail(Body::named(&self.id), &error),
                },
                (Wish::On(reboots), State::Off(body)) => self.start(body, reboots).await,
                (Wish::On(reboots), State::On(body, before, _)) if reboots > before => {
                    body.stop(&self.shop.docker).await;
                    self.start(body, reboots).await
                }
                (Wish::Off, State::On(body, ..)) => {
                    body.stop(&self.shop.docker).await;
                    self.unplug().await;
                    self.report(Report::Stopped { machine: self.id.clone() });
                    State::Off(body)
                }
                (_, state) => self.wait(state).await,
            };
        }
        // The world's last word on this machine may have come while it was removed.
        self.report(Report::Gone { machine: self.id.clone() });
        self.id
    }

    fn wish(&mut self) -> Wish {
        let desired = self.shop.desired.borrow_and_update();
        match desired.machines.iter().find(|machine| machine.id == self.id) {
            None => Wish::Gone,
            Some(machine) if machine.running => Wish::On(machine.reboots),
            Some(_) => Wish::Off,
        }
    }

    /// Until the desired state changes or a running container ends by itself.
    async fn wait(&mut self, state: State) -> State {
        let changed = self.shop.desired.changed();
        let State::On(body, reboots, console) = state else {
            // With the sender gone the lab ends, and its shutdown has emptied the state before.
            let _ = changed.await;
            return state;
        };
        let exit = tokio::select! {
            _ = changed => return State::On(body, reboots, console),
            exit = body.exit(&self.shop.docker) => exit,
        };
        match exit {
            Exit::Reboot => self.start(body, reboots).await,
            Exit::Other(status) => {
                tracing::info!(machine = self.id, status, "the machine ended by itself");
                self.unplug().await;
                self.report(Report::Stopped { machine: self.id.clone() });
                State::Died(body)
            }
        }
    }

    async fn start(&self, body: Body, reboots: u32) -> State {
        match self.power_on(&body).await {
            Ok(()) => {
                self.report(Report::Started { machine: self.id.clone() });
                let console = self.read_console(body.clone());
                State::On(body, reboots, console)
            }
            Err(error) => self.fail(body, &error),
        }
    }

    fn read_console(&self, body: Body) -> AbortOnDropHandle<()> {
        let (docker, reports, machine) =
            (self.shop.docker.clone(), self.shop.reports.clone(), self.id.clone());
        AbortOnDropHandle::new(tokio::spawn(async move {
            let followed = body.follow(&docker, |text| {
                // Nobody listens while the lab shuts down.
                let _ = reports.send(Report::Console { machine: machine.clone(), text });
            });
            if let Err(error) = followed.await {
                tracing::debug!(machine, %error, "the console cannot be read any more");
            }
        }))
    }

    async fn power_on(&self, body: &Body) -> Result<(), MachineError> {
        let pid = body.start(&self.shop.docker).await?;
        let node = Netns::of_process(pid).map_err(|source| MachineError::Namespace { pid, source })?;
        let eni = {
            let desired = self.shop.desired.borrow();
            let found = interface_of(&desired.vpcs, &self.id);
            found.ok_or_else(|| MachineError::NoInterface(self.id.clone()))?.1.id.clone()
        };
        let mut fabric = Arc::clone(&self.shop.fabric).lock_owned().await;
        let attached = tokio::task::spawn_blocking(move || fabric.attach(&eni, &node)).await;
        attached.map_err(|error| MachineError::Ended { console: error.to_string() })??;
        body.release(&self.shop.docker).await
    }

    fn fail(&self, body: Body, error: &MachineError) -> State {
        tracing::warn!(machine = self.id, %error, "the machine could not be started");
        self.report(Report::Failed { machine: self.id.clone(), reason: error.to_string() });
        State::Broken(body)
    }

    async fn unplug(&self) {
        let eni = {
            let desired = self.shop.desired.borrow();
            interface_of(&desired.vpcs, &self.id).map(|(_, interface)| interface.id.clone())
        };
        if let Some(eni) = eni {
            let mut fabric = Arc::clone(&self.shop.fabric).lock_owned().await;
            let result = tokio::task::spawn_blocking(move || fabric.detach(&eni)).await;
            if let Ok(Err(error)) = result {
                tracing::warn!(machine = self.id, %error, "its cable could not be taken away");
            }
        }
    }

    async fn remove(&self, body: Body) {
        if let Err(error) = body.remove(&self.shop.docker).await {
            tracing::warn!(machine = self.id, %error, "the container could not be removed");
        }
    }

    fn report(&self, report: Report) {
        // Nobody listens while the lab shuts down.
        let _ = self.shop.reports.send(report);
    }
}

/// The search domain of a machine's zone.
fn domain_of(zone: &str) -> String {
    let region = region_of(zone);
    if region == "us-east-1" { "ec2.internal".into() } else { format!("{region}.compute.internal") }
}
