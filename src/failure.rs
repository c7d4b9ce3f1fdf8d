//! Errors as people and programs meet them: a code, what failed, the evidence, the remedy.
//!
//! Typed errors arise in the library; here each becomes one [`Failure`], the only place where codes,
//! exit codes and remedies are chosen. `ui` renders it once.

mod catalogue;
mod convert;

use serde::Serialize;

use crate::spec::SpecErrors;

pub use catalogue::explain;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "u8")]
pub enum Exit {
    /// Done.
    Done,
    /// Failed.
    Failed,
    /// `plan --detailed-exitcode`: there are changes.
    Changes,
    /// `diagnose` found a fault.
    Faulty,
    /// Credentials are missing, expired or refused.
    Credentials,
    /// Another run holds the cluster's lock.
    Locked,
    /// Partly done: run it again.
    Partial,
    /// Wrong usage or spec; nothing was touched.
    Usage,
    /// Interrupted.
    Interrupted,
    /// The status of a command that was run on a node: `ssh NODE -- COMMAND`.
    Command(u8),
}

impl From<Exit> for u8 {
    fn from(exit: Exit) -> u8 {
        match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Changes => 2,
            Exit::Faulty => 3,
            Exit::Credentials => 4,
            Exit::Locked => 5,
            Exit::Partial => 6,
            Exit::Usage => 64,
            Exit::Interrupted => 130,
            Exit::Command(status) => status,
        }
    }
}

/// One failure, ready to be rendered.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// `KS-...`; `kubestrap explain` says more.
    pub code: &'static str,
    /// How the process ends.
    #[serde(rename = "exit_code")]
    pub exit: Exit,
    /// What failed, in one sentence.
    pub message: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// What to do about it; a command where there is one.
    pub remedy: Option<String>,
    /// The mistakes of a spec, each with its place.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub mistakes: Option<Box<SpecErrors>>,
}

impl Failure {
    /// A failure without evidence.
    pub fn new(code: &'static str, exit: Exit, message: impl Into<String>) -> Self {
        Self { code, exit, message: message.into(), evidence: Vec::new(), remedy: None, mistakes: None }
    }

    /// With a remedy.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// With one more piece of evidence.
    pub fn evidence(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }
}
