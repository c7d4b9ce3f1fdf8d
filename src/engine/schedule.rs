//! The scheduler: a plan's steps in the order of their predecessors, as many at once as can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::event::{EventState, Events};
use super::execute::StepError;
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

/// Whoever carries out single steps.
#[async_trait]
pub trait Execute: Send + Sync + 'static {
    /// Carries out one step; returns what to say about it.
    async fn execute(&self, step: &Step, events: &Events) -> Result<String, StepError>;
}

/// Runs all steps. A failed step stops what comes after it and nothing else.
pub async fn run(
    plan: &Plan,
    executor: Arc<impl Execute>,
    events: &Events,
    interrupt: Interrupt,
) -> Result<(), RunError> {
    let mut waiting: BTreeMap<StepId, Step> =
        plan.steps.iter().map(|step| (step.id.clone(), step.clone())).collect();
    let order: Vec<StepId> = plan.steps.iter().map(|step| step.id.clone()).collect();
    let mut done: BTreeSet<StepId> = BTreeSet::new();
    let mut failures: Vec<StepFailure> = Vec::new();
    let mut running: JoinSet<(StepId, Result<String, StepError>)> = JoinSet::new();

    loop {
        let stopping = *interrupt.borrow();
        if !stopping {
            for id in &order {
                let ready =
                    waiting.get(id).is_some_and(|step| step.after.iter().all(|before| done.contains(before)));
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::{Action, Change, Summary};

    /// Writes down what it is asked to do, and fails where it is told to.
    #[derive(Default)]
    struct Recorder {
        ran: Mutex<Vec<StepId>>,
        fails: BTreeSet<StepId>,
    }

    #[async_trait]
    impl Execute for Recorder {
        async fn execute(&self, step: &Step, _: &Events) -> Result<String, StepError> {
            tokio::task::yield_now().await;
            self.ran.lock().unwrap().push(step.id.clone());
            if self.fails.contains(&step.id) {
                Err(StepError::Local("told to fail".into()))
            } else {
                Ok(String::new())
            }
        }
    }

    /// A plan whose step `i` comes after the given earlier ones.
    fn plan(predecessors: &[Vec<usize>]) -> Plan {
        let name = |index: usize| StepId(format!("step-{index:02}"));
        let steps = predecessors
            .iter()
            .enumerate()
            .map(|(index, before)| Step {
                id: name(index),
                after: before.iter().map(|before| name(*before)).collect(),
                action: Action::InstallCni,
                resource: String::new(),
                change: Change::Run,
                reason: String::new(),
            })
            .collect();
        Plan { steps, keeps: Vec::new(), summary: Summary::default(), network: None }
    }

    fn run_with(plan: &Plan, recorder: Recorder, interrupted: bool) -> (Result<(), RunError>, Vec<StepId>) {
        let recorder = Arc::new(recorder);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (sender, _listener) = tokio::sync::mpsc::unbounded_channel();
        let (_interrupt, interrupt) = watch::channel(interrupted);
        let result = runtime.block_on(run(plan, recorder.clone(), &Events::new(sender), interrupt));
        let ran = recorder.ran.lock().unwrap().clone();
        (result, ran)
    }

    /// Every step with a random choice of earlier steps as its predecessors.
    fn any_plan() -> impl Strategy<Value = Vec<Vec<usize>>> {
        prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..3), 1..16).prop_map(
            |picks| {
                picks
                    .iter()
                    .enumerate()
                    .map(|(index, picks)| {
                        if index == 0 { Vec::new() } else { picks.iter().map(|it| it.index(index)).collect() }
                    })
                    .collect()
            },
        )
    }

    proptest! {
        #[test]
        fn every_step_runs_once_and_after_its_predecessors(predecessors in any_plan()) {
            let plan = plan(&predecessors);
            let (result, ran) = run_with(&plan, Recorder::default(), false);
            prop_assert!(result.is_ok());
            prop_assert_eq!(ran.len(), plan.steps.len());
            for step in &plan.steps {
                let position = |id: &StepId| ran.iter().position(|it| it == id).unwrap();
                for before in &step.after {
                    prop_assert!(position(before) < position(&step.id));
                }
            }
        }

        #[test]
        fn a_failed_step_stops_what_comes_after_it_and_nothing_else(predecessors in any_plan(), pick in any::<prop::sample::Index>()) {
            let plan = plan(&predecessors);
            let failing = plan.steps[pick.index(plan.steps.len())].id.clone();
            let mut stopped = BTreeSet::from([failing.clone()]);
            for step in &plan.steps {
                if step.after.iter().any(|before| stopped.contains(before)) {
                    stopped.insert(step.id.clone());
                }
            }
            let recorder = Recorder { fails: BTreeSet::from([failing.clone()]), ..Recorder::default() };
            let (result, ran) = run_with(&plan, recorder, false);
            let Err(RunError::Failed { first, others, done }) = result else { panic!("it must fail") };
            prop_assert_eq!(first.step, failing);
            prop_assert!(others.is_empty());
            prop_assert_eq!(done, plan.steps.len() - stopped.len());
            prop_assert_eq!(ran.len(), done + 1);
        }
    }

    #[test]
    fn an_interrupted_run_starts_nothing_more_and_says_how_much_is_left() {
        let (result, ran) = run_with(&plan(&[vec![], vec![0]]), Recorder::default(), true);
        assert!(matches!(result, Err(RunError::Interrupted { done: 0, left: 2 })));
        assert_eq!(ran, []);
    }
}
