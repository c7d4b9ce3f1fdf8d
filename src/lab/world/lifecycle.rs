//! How instances change state: by calls, by reports of the effects, and by time.

use super::error::{ApiError, ApiResult};
use super::model::{Instance, State};
use super::response::Response;
use super::store::Store;
use super::{Time, World};
use crate::lab::desired::Report;

/// `Client.UserInitiatedShutdown`, as EC2 words it.
const USER_SHUTDOWN: (&str, &str) =
    ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown");
/// `Client.InstanceInitiatedShutdown`.
const SELF_SHUTDOWN: (&str, &str) =
    ("Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown");

fn owned((code, message): (&str, &str)) -> Option<(String, String)> {
    Some((code.to_owned(), message.to_owned()))
}

impl Instance {
    fn enter(&mut self, state: State, now: Time) {
        self.state = state;
        self.since = now;
    }
}

impl World {
    /// The instances of these ids; EC2 names all the unknown ones at once.
    ///
    /// # Errors
    /// `InvalidInstanceID...`, or no ids at all.
    pub(super) fn check_instances(&self, ids: &[String]) -> ApiResult<()> {
        if ids.is_empty() {
            return Err(ApiError::missing("InstanceId"));
        }
        let unknown: Vec<&str> =
            ids.iter().map(String::as_str).filter(|id| self.instances.get(id).is_err()).collect();
        if let Some(bad) = unknown.iter().find(|id| !super::store::is_id("i-", id)) {
            return Err(Store::<Instance>::unknown(bad));
        }
        match unknown.as_slice() {
            [] => Ok(()),
            [one] => Err(Store::<Instance>::unknown(one)),
            many => Err(ApiError::new(
                "InvalidInstanceID.NotFound",
                format!("The instance IDs '{}' do not exist", many.join(", ")),
            )),
        }
    }

    /// Moves each instance with `step` and lists the states before and after.
    fn change(
        &mut self,
        ids: &[String],
        step: impl Fn(&mut Instance, Time) -> ApiResult<()>,
    ) -> ApiResult<Vec<(String, State, State)>> {
        self.check_instances(ids)?;
        let now = self.now;
        let mut changes = Vec::new();
        for id in ids {
            let instance = self.instances.get_mut(id)?;
            let before = instance.state;
            step(instance, now)?;
            changes.push((id.clone(), before, instance.state));
        }
        Ok(changes)
    }

    pub(super) fn terminate(&mut self, ids: &[String]) -> ApiResult<Response> {
        self.change(ids, |instance, now| {
            if instance.disable_api_termination {
                return Err(ApiError::new(
                    "OperationNotPermitted",
                    format!(
                        "The instance '{}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.",
                        instance.id
                    ),
                ));
            }
            if !matches!(instance.state, State::ShuttingDown | State::Terminated) {
                instance.enter(State::ShuttingDown, now);
                instance.reason = owned(USER_SHUTDOWN);
            }
            Ok(())
        })
        .map(Response::Changes)
    }

    pub(super) fn stop(&mut self, ids: &[String]) -> ApiResult<Response> {
        self.change(ids, |instance, now| match instance.state {
            State::Running if instance.disable_api_stop => Err(ApiError::new(
                "OperationNotPermitted",
                format!(
                    "The instance '{}' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.",
                    instance.id
                ),
            )),
            State::Running => {
                instance.enter(State::Stopping, now);
                instance.reason = owned(USER_SHUTDOWN);
                Ok(())
            }
            State::Stopping | State::Stopped => Ok(()),
            State::Pending | State::ShuttingDown | State::Terminated => Err(ApiError::new(
                "IncorrectInstanceState",
                format!("The instance '{}' is not in a state from which it can be stopped.", instance.id),
            )),
        })
        .map(Response::Changes)
    }

    pub(super) fn start(&mut self, ids: &[String]) -> ApiResult<Response> {
        let changes = self.change(ids, |instance, now| match instance.state {
            State::Stopped => {
                instance.enter(State::Pending, now);
                instance.launched = now;
                instance.started = false;
                instance.reason = None;
                Ok(())
            }
            State::Pending | State::Running => Ok(()),
            State::Stopping | State::ShuttingDown | State::Terminated => Err(ApiError::new(
                "IncorrectInstanceState",
                format!("The instance '{}' is not in a state from which it can be started.", instance.id),
            )),
        })?;
        for (id, before, _) in &changes {
            let Some(instance) = self.instances.find(id) else { continue };
            let Some(eni) = instance.interface.clone() else { continue };
            let elastic =
                self.addresses.all().any(|a| a.association.as_ref().is_some_and(|(_, e)| *e == eni));
            if *before == State::Stopped && instance.wants_public_ip && !elastic {
                let ip = self.public_address()?;
                self.interfaces.get_mut(&eni)?.public_ip = Some(ip);
            }
        }
        Ok(Response::Changes(changes))
    }

    pub(super) fn reboot(&mut self, ids: &[String]) -> ApiResult<Response> {
        self.change(ids, |instance, _| match instance.state {
            State::Running => {
                instance.reboots += 1;
                Ok(())
            }
            State::Pending => Ok(()),
            _ => Err(ApiError::new(
                "IncorrectInstanceState",
                format!("The instance '{}' is not in the 'running' state.", instance.id),
            )),
        })
        .map(|_| Response::Done)
    }

    /// Takes a report of the effects.
    pub fn report(&mut self, now: Time, report: Report) {
        self.now = self.now.max(now);
        match report {
            Report::Started { machine } => {
                if let Some(instance) = self.instances.find_mut(&machine) {
                    instance.started = true;
                }
            }
            Report::Stopped { machine } => {
                if let Some(instance) = self.instances.find_mut(&machine) {
                    match instance.state {
                        State::Stopping => instance.started = false,
                        State::Pending | State::Running => {
                            instance.started = false;
                            let next = match instance.terminate_on_shutdown {
                                true => State::ShuttingDown,
                                false => State::Stopping,
                            };
                            instance.enter(next, now);
                            instance.reason = owned(SELF_SHUTDOWN);
                        }
                        State::Stopped | State::ShuttingDown | State::Terminated => {}
                    }
                }
            }
            Report::Gone { machine } => {
                if let Some(instance) = self.instances.find_mut(&machine) {
                    match instance.state {
                        State::ShuttingDown => instance.started = false,
                        State::Terminated => {}
                        // Its container was removed under it: nothing is left to start again.
                        _ => {
                            instance.started = false;
                            instance.enter(State::ShuttingDown, now);
                            instance.reason = Some((
                                "Server.InternalError".into(),
                                "Server.InternalError: the machine disappeared".into(),
                            ));
                        }
                    }
                    self.gone.insert(machine);
                }
            }
            Report::Failed { machine, reason } => {
                if let Some(instance) = self.instances.find_mut(&machine)
                    && !matches!(instance.state, State::ShuttingDown | State::Terminated)
                {
                    instance.enter(State::ShuttingDown, now);
                    instance.reason =
                        Some(("Server.InternalError".into(), format!("Server.InternalError: {reason}")));
                }
            }
            Report::Console { machine, text } => {
                if self.instances.find(&machine).is_some() {
                    self.console.insert(machine, text);
                }
            }
        }
        self.tick(now);
    }

    /// Lets time pass: makes the transitions that are due.
    pub fn tick(&mut self, now: Time) {
        self.now = self.now.max(now);
        let due: Vec<(String, State)> = self
            .instances
            .all()
            .filter(|instance| self.due_at(instance).is_some_and(|at| at <= self.now))
            .map(|instance| (instance.id.clone(), instance.state))
            .collect();
        for (id, state) in due {
            match state {
                State::Pending => self.enter(&id, State::Running),
                State::Stopping => {
                    self.enter(&id, State::Stopped);
                    self.give_back_address(&id);
                }
                State::ShuttingDown => self.bury(&id),
                State::Terminated => {
                    self.instances.remove(&id);
                    self.console.remove(&id);
                }
                State::Running | State::Stopped => {}
            }
        }
    }

    /// When something changes by itself next; ask again after every call and report.
    pub fn next_event_at(&self) -> Option<Time> {
        self.instances.all().filter_map(|instance| self.due_at(instance)).min()
    }

    /// When an instance leaves its state, if only time is missing.
    fn due_at(&self, instance: &Instance) -> Option<Time> {
        let delays = &self.config.delays;
        match instance.state {
            State::Pending => instance.started.then(|| instance.since.after(delays.pending)),
            State::Stopping => (!instance.started).then(|| instance.since.after(delays.shutdown)),
            State::ShuttingDown => {
                self.gone.contains(&instance.id).then(|| instance.since.after(delays.shutdown))
            }
            State::Terminated => Some(instance.since.after(delays.tombstone)),
            State::Running | State::Stopped => None,
        }
    }

    fn enter(&mut self, id: &str, state: State) {
        let now = self.now;
        if let Some(instance) = self.instances.find_mut(id) {
            instance.enter(state, now);
        }
    }

    /// A stopped instance keeps its private address and gives its launch's public one back.
    fn give_back_address(&mut self, id: &str) {
        let eni = self.instances.find(id).and_then(|instance| instance.interface.clone());
        if let Some(interface) = eni.and_then(|eni| self.interfaces.find_mut(&eni)) {
            interface.public_ip = None;
        }
    }

    /// A terminated instance: interface, volume and elastic association go, a tombstone stays.
    fn bury(&mut self, id: &str) {
        self.enter(id, State::Terminated);
        self.gone.remove(id);
        let Some(instance) = self.instances.find_mut(id) else { return };
        let volume = instance.volume.clone();
        let eni = instance.interface.take();
        if let Some(eni) = eni {
            for address in self.addresses.all_mut() {
                address.association.take_if(|(_, held)| *held == eni);
            }
            self.interfaces.remove(&eni);
        }
        match self.volumes.find_mut(&volume) {
            Some(kept) if !kept.delete_on_termination => kept.instance = None,
            _ => drop(self.volumes.remove(&volume)),
        }
    }
}
