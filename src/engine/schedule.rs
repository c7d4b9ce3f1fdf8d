//! The scheduler: a plan's steps in the order of their predecessors, as many at once as can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::event::{EventState, Events};
use super::execute::{Executor, StepError};
use crate::plan::{Plan, Step, StepId};

/// Set once when the run should stop at the next step boundary.
pub type Interrupt = watch::Receiver<bool>;

/// How a run ended early.
#[derive(Debug)]
pub enum RunError {
    /// A step failed; others may have too. Steps that did not depend on it were finished.
    Failed {
        /// The first failure.
        first: Box<StepFailure>,
        /// Later ones.
        others: Vec<StepFailure>,
        /// Steps done before the end.
        done: usize,
    },
    /// Stopped between steps because it was asked to.
    Interrupted {
        /// Steps done.
        done: usize,
        /// Steps left.
        left: usize,
    },
}

/// A step and what it failed with.
#[derive(Debug)]
pub struct StepFailure {
    /// The step.
    pub step: StepId,
    /// Why.
    pub error: StepError,
}

/// Runs all steps. A failed step stops what comes after it and nothing else.
pub async fn run(plan: &Plan, executor: Arc<Executor>, events: &Events, interrupt: Interrupt) -> Result<(), RunError> {
    let mut waiting: BTreeMap<StepId, Step> = plan.steps.iter().map(|step| (step.id.clone(), step.clone())).collect();
    let order: Vec<StepId> = plan.steps.iter().map(|step| step.id.clone()).collect();
    let mut done: BTreeSet<StepId> = BTreeSet::new();
    let mut failures: Vec<StepFailure> = Vec::new();
    let mut running: JoinSet<(StepId, Result<String, StepError>)> = JoinSet::new();

    loop {
        let stopping = *interrupt.borrow();
        if !stopping {
            for id in &order {
                let ready = waiting.get(id).is_some_and(|step| step.after.iter().all(|before| done.contains(before)));
                if let Some(step) = ready.then(|| waiting.remove(id)).flatten() {
                    let (executor, events) = (executor.clone(), events.of(&step.id.0, step.node()));
                    running.spawn(async move {
                        events.send(EventState::Started, step.resource.clone());
                        let result = executor.execute(&step, &events).await;
                        match &result {
                            Ok(message) => events.send(EventState::Done, message.clone()),
                            Err(error) => events.send(EventState::Failed, error.to_string()),
                        }
                        (step.id, result)
                    });
                }
            }
        }
        match running.join_next().await {
            None => break,
            Some(Ok((id, Ok(_)))) => {
                done.insert(id);
            }
            Some(Ok((step, Err(error)))) => failures.push(StepFailure { step, error }),
            Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    for step in waiting.values() {
        events.of(&step.id.0, step.node()).send(EventState::Skipped, "not run");
    }
    if !failures.is_empty() {
        let first = Box::new(failures.remove(0));
        return Err(RunError::Failed { first, others: failures, done: done.len() });
    }
    if !waiting.is_empty() {
        return Err(RunError::Interrupted { done: done.len(), left: waiting.len() });
    }
    Ok(())
}
