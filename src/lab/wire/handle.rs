//! The meeting point of callers and effects: one world, what it wants, and what is in force.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, watch};

use crate::lab::desired::{Desired, Report};
use crate::lab::world::{ApiError, ApiResult, Call, Response, Time, World};

/// How long a caller waits for its change to be in force.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the effects are to make true.
#[derive(Clone, Debug, Default)]
pub struct Goal {
    /// Grows with every change of `desired`.
    pub generation: u64,
    /// All of it.
    pub desired: Arc<Desired>,
}

/// How far the effects are.
#[derive(Clone, Debug, Default)]
struct Applied {
    generation: u64,
    error: Option<String>,
}

struct Inner {
    world: Mutex<World>,
    goal: watch::Sender<Goal>,
    applied: watch::Sender<Applied>,
    changed: Notify,
}

/// A running world. Clones are the same world.
///
/// A call that changes the network is answered only when the effects have put it in force, so a
/// client that got its answer to a revoke can rely on it.
#[derive(Clone)]
pub struct LabHandle {
    inner: Arc<Inner>,
}

/// The clock on the wall.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl LabHandle {
    /// Takes a world over.
    pub fn new(world: World) -> Self {
        let goal = Goal { generation: 0, desired: Arc::new(world.desired()) };
        Self {
            inner: Arc::new(Inner {
                world: Mutex::new(world),
                goal: watch::Sender::new(goal),
                applied: watch::Sender::new(Applied::default()),
                changed: Notify::new(),
            }),
        }
    }

    /// What to make true, for the effects: wait on it, apply the newest, then say
    /// [`LabHandle::applied`]. Generations may be skipped.
    pub fn goals(&self) -> watch::Receiver<Goal> {
        self.inner.goal.subscribe()
    }

    /// The effects say: the *network* of this generation is in force (containers may still boot;
    /// they are reported one by one).
    pub fn applied(&self, generation: u64) {
        self.inner.applied.send_replace(Applied { generation, error: None });
    }

    /// The effects say: this generation could not be put in force. Its callers get the reason.
    pub fn failed(&self, generation: u64, reason: impl Into<String>) {
        self.inner.applied.send_replace(Applied { generation, error: Some(reason.into()) });
    }

    /// The effects say what became of a machine.
    pub fn report(&self, report: Report) {
        let mut world = self.world();
        world.report(now(), report);
        self.publish(&world);
    }

    /// Looks at the world.
    pub fn read<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.world())
    }

    /// Performs a call and waits until its effect on the network is in force. With `stale`, the
    /// ids it made stay unknown for that many describe calls.
    ///
    /// # Errors
    /// What the world answers; `InternalError` when the effects failed or took too long.
    pub async fn call(&self, call: Call, stale: Option<u32>) -> ApiResult<Response> {
        let mut applied = self.inner.applied.subscribe();
        let (result, generation) = {
            let mut world = self.world();
            let result = world.call(now(), call);
            if let (Ok(_), Some(describes)) = (&result, stale) {
                world.hide_fresh(describes);
            }
            (result, self.publish(&world))
        };
        let response = result?;
        let wait = applied.wait_for(|state| state.generation >= generation);
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(Ok(state)) => match &state.error {
                Some(reason) => Err(ApiError::new(
                    "InternalError",
                    format!("The change was recorded, but the lab could not put it in force: {reason}"),
                )),
                None => Ok(response),
            },
            Ok(Err(_)) => Err(ApiError::new("InternalError", "The lab is shutting down.")),
            Err(_) => Err(ApiError::new(
                "InternalError",
                format!("The change was recorded, but it was not in force after {} s.", PATIENCE.as_secs()),
            )),
        }
    }

    /// Lets time pass in the world; run it as a task as long as the lab lives.
    pub async fn keep_time(self) {
        loop {
            let changed = self.inner.changed.notified();
            let next = self.read(World::next_event_at);
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep(Duration::from_millis(at.0.saturating_sub(now().0))).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = changed => {}
                () = due => {
                    let mut world = self.world();
                    world.tick(now());
                    self.publish(&world);
                }
            }
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A call replaces the world only when it is done, so a panic in one leaves it whole.
        self.inner.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes what the world wants now, if it changed; gives the generation that holds it.
    fn publish(&self, world: &World) -> u64 {
        let desired = world.desired();
        self.inner.goal.send_if_modified(|goal| {
            let changed = *goal.desired != desired;
            if changed {
                *goal = Goal { generation: goal.generation + 1, desired: Arc::new(desired) };
            }
            changed
        });
        self.inner.changed.notify_one();
        self.inner.goal.borrow().generation
    }
}
