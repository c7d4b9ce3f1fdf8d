//! Waiting for what EC2 does not know yet, and for what it still believes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::Fault;

/// How long and how often something is tried again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the first try to the last.
    pub window: Duration,
    /// Pause after the first try; each later one is half as long again.
    pub first: Duration,
    /// Longest pause.
    pub most: Duration,
}

impl Patience {
    /// A fresh id that is not known yet: EC2 converges within seconds, at its worst within half a minute.
    pub const FRESH: Self = Self::new(30_000, 200, 2_000);
    /// A thing that was let go of a moment ago and that EC2 still believes to be in use.
    pub const SETTLING: Self = Self::new(6_000, 500, 2_000);
    /// A thing that is still in use: interfaces outlive their instance by seconds.
    pub const IN_USE: Self = Self::new(60_000, 500, 3_000);

    /// From milliseconds.
    pub const fn new(window: u64, first: u64, most: u64) -> Self {
        Self {
            window: Duration::from_millis(window),
            first: Duration::from_millis(first),
            most: Duration::from_millis(most),
        }
    }

    /// Calls until the answer is not an error of the kind `again`, or the window is over; then the last answer stands.
    pub async fn retry<T, F>(
        self,
        again: impl Fn(&Fault) -> bool,
        mut call: impl FnMut() -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let started = Instant::now();
        let mut pause = self.first;
        loop {
            match call().await {
                Err(fault) if again(&fault) && started.elapsed() + pause <= self.window => {
                    tracing::debug!(operation = fault.operation, code = fault.code(), "not yet; again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 3 / 2).min(self.most);
                }
                answer => return answer,
            }
        }
    }
}

/// Ids that this process made a short while ago. Only of these is "not found" a passing answer: of
/// any other id it is the truth.
#[derive(Debug, Default)]
pub(super) struct Fresh(Mutex<HashMap<String, Instant>>);

impl Fresh {
    /// How long an id counts as fresh.
    const AGE: Duration = Duration::from_secs(120);

    /// Notes a new id (or unique name).
    pub fn note(&self, id: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), Instant::now());
    }

    /// Whether any of `ids` is fresh.
    pub fn any(&self, ids: &[String]) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, noted| noted.elapsed() < Self::AGE);
        ids.iter().any(|id| known.contains_key(id))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const QUICK: Patience = Patience::new(200, 1, 4);

    async fn tries(patience: Patience, succeed_at: usize, code: &str) -> (usize, Result<(), Fault>) {
        let count = AtomicUsize::new(0);
        let answer = patience
            .retry(Fault::not_found, || async {
                let now = count.fetch_add(1, Ordering::Relaxed) + 1;
                if now >= succeed_at {
                    Ok(())
                } else {
                    Err(Fault::service("AttachInternetGateway", code, "m"))
                }
            })
            .await;
        (count.into_inner(), answer)
    }

    #[tokio::test]
    async fn an_id_that_is_not_known_yet_is_asked_for_until_it_is() {
        assert_eq!(tries(QUICK, 4, "InvalidVpcID.NotFound").await, (4, Ok(())));
    }

    #[tokio::test]
    async fn another_error_is_not_asked_twice() {
        let (count, answer) = tries(QUICK, 4, "VpcLimitExceeded").await;
        assert_eq!((count, answer.unwrap_err().code()), (1, "VpcLimitExceeded"));
    }

    #[tokio::test]
    async fn the_window_bounds_the_waiting_and_the_last_answer_stands() {
        let (count, answer) = tries(Patience::new(20, 5, 5), usize::MAX, "InvalidVpcID.NotFound").await;
        assert!((2..=5).contains(&count), "{count}");
        assert_eq!(answer.unwrap_err().code(), "InvalidVpcID.NotFound");
    }

    #[test]
    fn only_ids_that_were_noted_are_fresh() {
        let fresh = Fresh::default();
        fresh.note("vpc-1");
        assert!(fresh.any(&["sg-1".into(), "vpc-1".into()]));
        assert!(!fresh.any(&["sg-1".into()]));
    }
}
