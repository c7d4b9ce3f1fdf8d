//! One poll for everybody who waits for an instance.
//!
//! Waiters hand in ids and a state; one loop describes all ids anybody waits for in one call, every
//! half second while things change and down to every two seconds while they do not, and ends when
//! nobody waits. (The SDK's own waiters poll each id every 15 s.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};

use super::error::{Fault, died};
use crate::ports::{CloudError, Instance, InstanceState};

/// What the poll asks.
#[async_trait]
pub(super) trait Source: Send + Sync {
    /// The instances that EC2 knows of these, in any order; unknown ids are left out.
    async fn describe(&self, ids: &[String]) -> Result<Vec<Instance>, Fault>;
}

/// How often the poll asks and how long a waiter waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between two polls while things change.
    pub first: Duration,
    /// Between two polls at most.
    pub most: Duration,
    /// For instances to run (or to stop).
    pub start: Duration,
    /// For instances to be gone.
    pub terminate: Duration,
}

impl Pace {
    /// EC2's: running in about 5 s, terminated in up to some minutes. One call answers every waiter, so half a second
    /// stays far below its limits (20 calls a second, after a hundred at once).
    pub const EC2: Self = Self {
        first: Duration::from_millis(250),
        most: Duration::from_millis(500),
        start: Duration::from_secs(300),
        terminate: Duration::from_secs(600),
    };
}

/// The poll.
pub(super) struct Poll {
    source: Arc<dyn Source>,
    pace: Pace,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Default)]
struct Waiting {
    waiters: Vec<Waiter>,
    running: bool,
}

struct Waiter {
    ids: Vec<String>,
    wanted: InstanceState,
    since: Instant,
    limit: Duration,
    /// How often in a row each id was unknown.
    unknown: BTreeMap<String, u32>,
    answer: oneshot::Sender<Result<Vec<Instance>, CloudError>>,
}

impl Poll {
    pub fn new(source: Arc<dyn Source>, pace: Pace) -> Self {
        Self { source, pace, shared: Arc::default() }
    }

    /// Waits until all of `ids` are in `wanted`.
    pub async fn until(&self, ids: &[String], wanted: InstanceState) -> Result<Vec<Instance>, CloudError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        let limit = if wanted == InstanceState::Terminated { self.pace.terminate } else { self.pace.start };
        let waiter = Waiter {
            ids: ids.to_vec(),
            wanted,
            since: Instant::now(),
            limit,
            unknown: BTreeMap::new(),
            answer,
        };
        let idle = {
            let mut waiting = self.shared.lock();
            waiting.waiters.push(waiter);
            !std::mem::replace(&mut waiting.running, true)
        };
        if idle {
            tokio::spawn(run(self.source.clone(), self.pace, self.shared.clone()));
        } else {
            self.shared.arrived.notify_one();
        }
        let abandoned = || CloudError::Deadline {
            what: format!("the wait for {} to be {wanted} was abandoned", ids.join(", ")),
            seconds: 0,
        };
        answered.await.unwrap_or_else(|_| Err(abandoned()))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The ids of everybody who still waits; `None` ends the loop.
    fn wanted(&self) -> Option<Vec<String>> {
        let mut waiting = self.lock();
        waiting.waiters.retain(|waiter| !waiter.answer.is_closed());
        let ids: BTreeSet<&String> = waiting.waiters.iter().flat_map(|waiter| &waiter.ids).collect();
        let ids = ids.into_iter().cloned().collect::<Vec<_>>();
        waiting.running = !ids.is_empty();
        waiting.running.then_some(ids)
    }

    /// Answers whoever was asked for and has what they want, or never will.
    fn settle(&self, asked: &[String], found: &Result<BTreeMap<String, Instance>, Fault>) {
        let mut waiting = self.lock();
        for mut waiter in std::mem::take(&mut waiting.waiters) {
            let verdict = match found {
                // Arrived while the call was out: the next one asks for it.
                _ if !waiter.ids.iter().all(|id| asked.contains(id)) => None,
                Err(fault) => Some(Err(fault.clone().into())),
                Ok(found) => waiter.judge(found),
            };
            match verdict {
                // Whoever no longer listens needs no answer.
                Some(answer) => _ = waiter.answer.send(answer),
                None => waiting.waiters.push(waiter),
            }
        }
    }
}

impl Waiter {
    fn judge(&mut self, found: &BTreeMap<String, Instance>) -> Option<Result<Vec<Instance>, CloudError>> {
        let mut reached = Vec::new();
        let mut behind = None;
        for id in &self.ids {
            match found.get(id) {
                None => {
                    let times = self.unknown.entry(id.clone()).or_default();
                    *times += 1;
                    // One poll without it can be a stale answer; two in a row are the truth.
                    if self.wanted != InstanceState::Terminated || *times < 2 {
                        behind.get_or_insert_with(|| {
                            format!("{id} is not {}: EC2 does not know it", self.wanted)
                        });
                    }
                }
                Some(instance) => {
                    self.unknown.remove(id);
                    if instance.state == self.wanted {
                        reached.push(instance.clone());
                    } else if cannot_reach(instance.state, self.wanted) {
                        let Instance { id, node, state, reason, .. } = instance;
                        return Some(Err(died(id, node, state, reason.as_deref())));
                    } else {
                        let Instance { id, node, state, .. } = instance;
                        behind
                            .get_or_insert_with(|| format!("{id} ({node}) is {state}, not {}", self.wanted));
                    }
                }
            }
        }
        match behind {
            None => Some(Ok(reached)),
            Some(what) if self.since.elapsed() >= self.limit => {
                Some(Err(CloudError::Deadline { what, seconds: self.limit.as_secs() }))
            }
            Some(_) => None,
        }
    }
}

/// Whether an instance in `state` will not come to `wanted` by itself.
fn cannot_reach(state: InstanceState, wanted: InstanceState) -> bool {
    use InstanceState::{Pending, Running, ShuttingDown, Stopped, Stopping, Terminated};
    match wanted {
        Pending | Running => matches!(state, Stopping | Stopped | ShuttingDown | Terminated),
        Stopping | Stopped => matches!(state, ShuttingDown | Terminated),
        ShuttingDown => state == Terminated,
        Terminated => false,
    }
}

async fn run(source: Arc<dyn Source>, pace: Pace, shared: Arc<Shared>) {
    let mut pause = pace.first;
    let mut before: BTreeMap<String, InstanceState> = BTreeMap::new();
    while let Some(ids) = shared.wanted() {
        let asked_at = tokio::time::Instant::now();
        let found = source.describe(&ids).await.map(|instances| {
            instances.into_iter().map(|instance| (instance.id.clone(), instance)).collect::<BTreeMap<_, _>>()
        });
        shared.settle(&ids, &found);
        let states = found.iter().flatten().map(|(id, instance)| (id.clone(), instance.state)).collect();
        pause = if states == before { (pause * 5 / 4).min(pace.most) } else { pace.first };
        before = states;
        if shared.lock().waiters.is_empty() {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep_until(asked_at + pause) => {}
            // A new waiter is asked for soon, and still no sooner than the pace allows.
            () = shared.arrived.notified() => {
                pause = pace.first;
                tokio::time::sleep_until(asked_at + pause).await;
            }
        }
    }
}

#[cfg(test)]
#[path = "poll_tests.rs"]
mod tests;
