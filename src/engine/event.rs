//! What work tells those who watch it. Only renderers in `ui` print.

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// Something that happened in a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// When, UTC.
    #[serde(serialize_with = "rfc3339")]
    pub time: OffsetDateTime,
    /// Step id.
    pub step: String,
    /// Node, when the step is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What happened.
    pub state: EventState,
    /// In words.
    pub message: String,
}

/// `2026-11-21T09:30:00.123456789Z`.
fn rfc3339<S: Serializer>(time: &OffsetDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&time.format(&Rfc3339).map_err(serde::ser::Error::custom)?)
}

/// The stations of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventState {
    /// It runs.
    Started,
    /// It got somewhere.
    Progress,
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// It will not run, because one before it failed or the run was interrupted.
    Skipped,
}

/// Where a step sends its events. Cheap to clone; a listener that went away is no error.
#[derive(Clone, Debug)]
pub struct Events {
    sender: UnboundedSender<Event>,
    step: String,
    node: Option<String>,
}

impl Events {
    /// Events of no step in particular.
    pub fn new(sender: UnboundedSender<Event>) -> Self {
        Self { sender, step: String::new(), node: None }
    }

    /// The same listener, for one step.
    pub fn of(&self, step: &str, node: Option<&str>) -> Self {
        Self { sender: self.sender.clone(), step: step.to_owned(), node: node.map(str::to_owned) }
    }

    /// Tells the listener.
    pub fn send(&self, state: EventState, message: impl Into<String>) {
        let event = Event {
            time: OffsetDateTime::now_utc(),
            step: self.step.clone(),
            node: self.node.clone(),
            state,
            message: message.into(),
        };
        let _ = self.sender.send(event);
    }

    /// A channel whose messages become progress, and the task that passes them on; it ends when the last
    /// sender is gone.
    pub fn relay(&self) -> (UnboundedSender<String>, JoinHandle<()>) {
        let (sender, mut messages) = unbounded_channel();
        let events = self.clone();
        let relay = tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                events.progress(message);
            }
        });
        (sender, relay)
    }

    /// Tells of progress.
    pub fn progress(&self, message: impl Into<String>) {
        self.send(EventState::Progress, message);
    }
}
