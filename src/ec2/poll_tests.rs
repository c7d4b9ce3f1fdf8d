//! The poll against a scripted EC2, at a hundredth of its pace.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::ports::NodePhase;

const QUICK: Pace = Pace {
    first: Duration::from_millis(5),
    most: Duration::from_millis(20),
    start: Duration::from_millis(150),
    terminate: Duration::from_millis(300),
};

/// Answers call number n with `script(n)`.
struct Scripted<F> {
    calls: AtomicUsize,
    asked: Mutex<Vec<Vec<String>>>,
    script: F,
}

#[async_trait]
impl<F> Source for Scripted<F>
where
    F: Fn(usize) -> Result<Vec<Instance>, Fault> + Send + Sync,
{
    async fn describe(&self, ids: &[String]) -> Result<Vec<Instance>, Fault> {
        self.asked.lock().unwrap().push(ids.to_vec());
        (self.script)(self.calls.fetch_add(1, Ordering::Relaxed))
    }
}

fn poll<F>(script: F) -> (Poll, Arc<Scripted<F>>)
where
    F: Fn(usize) -> Result<Vec<Instance>, Fault> + Send + Sync + 'static,
{
    let source = Arc::new(Scripted { calls: AtomicUsize::new(0), asked: Mutex::default(), script });
    (Poll::new(source.clone(), QUICK), source)
}

fn instance(id: &str, state: InstanceState) -> Instance {
    Instance {
        id: id.into(),
        node: format!("node-of-{id}"),
        state,
        instance_type: "t3.medium".into(),
        arch: "amd64".into(),
        private_ip: None,
        public_ip: None,
        groups: Vec::new(),
        phase: NodePhase::Launched,
        reason: None,
    }
}

fn ids(ids: &[&str]) -> Vec<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

use InstanceState::{Pending, Running, Terminated};

#[tokio::test]
async fn all_waiters_are_asked_for_in_one_call() {
    let (poll, source) = poll(|call| {
        let state = if call < 5 { Pending } else { Running };
        Ok(vec![instance("i-1", state), instance("i-2", state), instance("i-3", state)])
    });
    let (a, b) = (ids(&["i-1"]), ids(&["i-3", "i-2"]));
    let (first, second) = tokio::join!(poll.until(&a, Running), poll.until(&b, Running));
    assert_eq!(first.unwrap().len(), 1);
    let second: Vec<String> = second.unwrap().into_iter().map(|instance| instance.id).collect();
    assert_eq!(second, ["i-3", "i-2"]);
    assert_eq!(source.calls.load(Ordering::Relaxed), 6);
    assert_eq!(source.asked.lock().unwrap().last().unwrap().as_slice(), ["i-1", "i-2", "i-3"]);
}

#[tokio::test]
async fn the_poll_ends_with_its_last_waiter_and_starts_again_with_the_next() {
    let (poll, source) = poll(|_| Ok(vec![instance("i-1", Running)]));
    poll.until(&ids(&["i-1"]), Running).await.unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(source.calls.load(Ordering::Relaxed), 1);
    poll.until(&ids(&["i-1"]), Running).await.unwrap();
    assert_eq!(source.calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_waiter_that_went_away_is_not_asked_for() {
    let (poll, source) = poll(|_| Ok(vec![instance("i-1", Pending)]));
    let wait = tokio::time::timeout(Duration::from_millis(12), async {
        let asked = ids(&["i-1"]);
        poll.until(&asked, Running).await
    });
    assert!(wait.await.is_err());
    tokio::time::sleep(Duration::from_millis(40)).await;
    let calls = source.calls.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(source.calls.load(Ordering::Relaxed), calls);
}

#[tokio::test]
async fn a_fresh_instance_that_ec2_does_not_know_yet_is_waited_for() {
    let (poll, _) = poll(|call| Ok(if call < 4 { vec![] } else { vec![instance("i-1", Running)] }));
    assert_eq!(poll.until(&ids(&["i-1"]), Running).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_instance_that_dies_while_it_should_start_fails_at_once() {
    let (poll, _) = poll(|call| {
        let mut dying = instance("i-1", if call < 2 { Pending } else { Terminated });
        dying.reason = Some("Server.InsufficientInstanceCapacity: no room".into());
        Ok(vec![dying])
    });
    let error = poll.until(&ids(&["i-1"]), Running).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "RunInstances: InsufficientInstanceCapacity: i-1 (node-of-i-1) is terminated: no room"
    );
}

#[tokio::test]
async fn the_deadline_names_what_is_behind() {
    let (poll, _) = poll(|_| Ok(vec![instance("i-1", Running), instance("i-2", Pending)]));
    let error = poll.until(&ids(&["i-1", "i-2"]), Running).await.unwrap_err();
    assert_eq!(error.to_string(), "i-2 (node-of-i-2) is pending, not running after 0 s");
}

#[tokio::test]
async fn an_unknown_instance_counts_as_gone_only_when_it_is_unknown_twice() {
    let (poll, source) = poll(|call| Ok(if call == 1 { vec![instance("i-1", Running)] } else { vec![] }));
    assert_eq!(poll.until(&ids(&["i-1"]), Terminated).await.unwrap(), []);
    assert_eq!(source.calls.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_refused_describe_fails_every_waiter_with_the_same_words() {
    let (poll, _) = poll(|_| Err(Fault::service("DescribeInstances", "UnauthorizedOperation", "no")));
    let (a, b) = (ids(&["i-1"]), ids(&["i-2"]));
    let (first, second) = tokio::join!(poll.until(&a, Running), poll.until(&b, Running));
    assert_eq!(first.unwrap_err().to_string(), "DescribeInstances is not allowed: no");
    assert_eq!(second.unwrap_err().to_string(), "DescribeInstances is not allowed: no");
}
