//! The smallest change that mends what was found, applied and then proven by collecting again.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use super::collect::{Collector, Witness};
use super::evidence::{ApiState, Evidence};
use super::report::{Finding, Report, Verdict};
use super::rules;
use crate::network::{Direction, Rule};
use crate::ports::CloudError;

/// Longest wait until the lookups succeed.
const PROOF_LIMIT: Duration = Duration::from_secs(30);
/// The same where a node is not Ready or the API server was out of reach: kubelets that were cut off back
/// off before they try again.
const RETURN_LIMIT: Duration = Duration::from_secs(120);
/// Pause between two collections that found something.
const PAUSE: Duration = Duration::from_millis(500);

/// A change that mends something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Fix {
    /// Add a rule to a group.
    AddRule {
        /// `sg-...`.
        group: String,
        /// Which gate.
        direction: Direction,
        /// The rule; peers are ids.
        rule: Rule,
    },
    /// Make an instance a member of its role's groups again, besides those it is in.
    JoinGroups {
        /// `i-...`.
        instance: String,
        /// `sg-...`, all of them.
        groups: Vec<String>,
    },
}

/// What can be mended without asking: rules that the required flows ask for and memberships of a role's groups
/// are added, nothing is ever removed.
pub fn fixes(evidence: &Evidence) -> Vec<Fix> {
    let joins = rules::memberships(evidence)
        .into_iter()
        .map(|(instance, groups)| Fix::JoinGroups { instance, groups });
    let additions = rules::additions(evidence).into_iter().map(|missing| Fix::AddRule {
        group: missing.group,
        direction: missing.direction,
        rule: missing.rule,
    });
    joins.chain(additions).collect()
}

/// Applies the fixes of a diagnosis, then collects until nothing is wrong any more, for 30 s, or for 120 s
/// where nodes have to come back.
///
/// The report tells the findings that are gone as applied, and the verdict of the last collection.
pub async fn fix_and_verify<W: Witness>(
    collector: &Collector<'_, W>,
    evidence: &Evidence,
    before: Report,
    progress: &UnboundedSender<String>,
) -> Result<Report, CloudError> {
    let fixes = fixes(evidence);
    if fixes.is_empty() {
        return Ok(before);
    }
    for fix in &fixes {
        let done = match fix {
            Fix::AddRule { group, direction, rule } => {
                collector.cloud.set_rules(group, *direction, std::slice::from_ref(rule), &[]).await?;
                format!("added to the {direction} rules of {group}: {rule}")
            }
            Fix::JoinGroups { instance, groups } => {
                collector.cloud.set_groups(instance, groups).await?;
                format!("{instance} is in {}", groups.join(", "))
            }
        };
        let _ = progress.send(done);
    }
    let start = Instant::now();
    let (rounds, after) = loop {
        let (evidence, report) = collector.diagnose().await;
        let cluster = &evidence.cluster;
        let all_there = cluster.api == ApiState::Answers && cluster.nodes.iter().all(|node| node.ready);
        let limit = if all_there { PROOF_LIMIT } else { RETURN_LIMIT };
        let lookups =
            report.checks.iter().flat_map(|check| &check.evidence).find(|line| line.contains("answered"));
        if let Some(lookups) = lookups {
            let _ = progress.send(format!("lookups: {lookups}"));
        }
        // Without the API server's credentials no lookup will ever be made.
        let hopeless = cluster.api == ApiState::NoKubeconfig;
        if report.verdict == Verdict::Healthy || hopeless || start.elapsed() + PAUSE >= limit {
            break (before.seconds + start.elapsed().as_secs_f64(), report);
        }
        tokio::time::sleep(PAUSE).await;
    };
    Ok(combined(before, after, rounds))
}

/// The findings that are gone, marked as applied where the last collection proves it, and those that are left.
fn combined(before: Report, after: Report, seconds: f64) -> Report {
    let left = |finding: &Finding| {
        after
            .findings
            .iter()
            .any(|other| (&other.code, &other.resource) == (&finding.code, &finding.resource))
    };
    let mut findings: Vec<Finding> = before.findings.into_iter().filter(|finding| !left(finding)).collect();
    for finding in &mut findings {
        // What was only a consequence went with its cause. Gone without a proof is not mended.
        finding.fix.applied = after.verdict == Verdict::Healthy;
    }
    findings.extend(after.findings);
    Report { verdict: after.verdict, findings, checks: after.checks, seconds }
}
