//! What the diagnosis says: checks in order, findings, a verdict. The JSON shape is a contract.

use serde::{Deserialize, Serialize};

/// The outcome of a diagnosis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// In one word.
    pub verdict: Verdict,
    /// What is wrong, causes first.
    pub findings: Vec<Finding>,
    /// What was looked at, in order.
    pub checks: Vec<Check>,
    /// How long collecting the evidence took.
    pub seconds: f64,
}

/// A diagnosis in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that was looked at is as it must be, and everything was looked at.
    Healthy,
    /// At least one finding is an error.
    Faulty,
    /// No fault was found, and not everything could be looked at.
    Unknown,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something does not work or will not.
    Error,
    /// Worth knowing.
    Warning,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `KS-...`, stable; `kubestrap explain` knows it.
    pub code: String,
    /// How bad.
    pub severity: Severity,
    /// What it is about: `sg-0abc`, `Deployment kube-system/coredns`, `node general-1`.
    pub resource: String,
    /// Why, in a sentence.
    pub cause: String,
    /// What was seen.
    pub evidence: Vec<String>,
    /// What mends it.
    pub fix: FixCommand,
}

/// What mends a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixCommand {
    /// A command to copy; absent when no single command does it.
    pub command: Option<String>,
    /// Whether `--fix` has done it and the lookups succeeded afterwards.
    pub applied: bool,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// How it went.
    pub state: CheckState,
    /// What was seen.
    pub evidence: Vec<String>,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it must be.
    Passed,
    /// Not so.
    Failed,
    /// It could not be looked at; the evidence says why.
    Skipped,
}

impl Finding {
    /// An error with a command that mends it.
    pub(super) fn error(code: &str, resource: impl Into<String>, cause: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            severity: Severity::Error,
            resource: resource.into(),
            cause: cause.into(),
            evidence: Vec::new(),
            fix: FixCommand::default(),
        }
    }

    /// The same as a warning.
    pub(super) fn into_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// With these lines of evidence.
    pub(super) fn seen(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    /// With a command that mends it.
    pub(super) fn mended_by(mut self, command: impl Into<String>) -> Self {
        self.fix.command = Some(command.into());
        self
    }
}

/// A report for people, without colour.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    for check in &report.checks {
        let mark = match check.state {
            CheckState::Passed => "ok     ",
            CheckState::Failed => "FAILED ",
            CheckState::Skipped => "skipped",
        };
        text.push_str(&format!("{mark}  {}\n", check.name));
        for line in &check.evidence {
            text.push_str(&format!("           {line}\n"));
        }
    }
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        text.push_str(&format!(
            "\n{severity} {} ({})\n  {}\n",
            finding.code, finding.resource, finding.cause
        ));
        for line in &finding.evidence {
            text.push_str(&format!("    {line}\n"));
        }
        match (&finding.fix.command, finding.fix.applied) {
            (Some(command), false) => text.push_str(&format!("  fix: {command}\n")),
            (_, true) => text.push_str("  fixed, and the lookups succeed\n"),
            (None, false) => {}
        }
    }
    let verdict = match report.verdict {
        Verdict::Healthy => "healthy",
        Verdict::Faulty => "faulty",
        Verdict::Unknown => "unknown: not everything could be looked at",
    };
    text.push_str(&format!("\nDNS is {verdict} ({:.1} s)\n", report.seconds));
    text
}
