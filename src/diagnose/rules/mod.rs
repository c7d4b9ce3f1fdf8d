//! Pure rules: [`Evidence`] in, [`Report`] out.
//!
//! Causes come first: instances, memberships and security groups, by proof. What they explain (a lookup
//! without an answer, a kubelet that cannot be reached) becomes their evidence; what they do not explain
//! is a finding of its own.

mod coredns;
mod groups;
mod lookups;
mod nodes;
#[cfg(test)]
mod tests;

use super::evidence::{ApiState, Evidence, Lookup, ProbeOutcome};
use super::report::{Check, CheckState, Finding, Report, Severity, Verdict};

use groups::Stopped;
pub(super) use groups::{additions, memberships};
use nodes::Dead;

/// Lines of one kind in a finding or check.
const LINES: usize = 6;

/// Judges `evidence`. `seconds` is zero: the judge has no clock.
pub fn judge(evidence: &Evidence) -> Report {
    let cluster = &evidence.cluster;
    let mut dead = nodes::dead(evidence);
    let mut stopped = groups::stopped(evidence);
    let mut symptoms = Vec::new();

    api(evidence, &mut stopped, &dead, &mut symptoms);
    if matches!(cluster.api, ApiState::Answers) {
        symptoms.extend(coredns::judge(cluster, &mut dead));
        nodes::judge(evidence, &mut stopped, &mut dead, &mut symptoms);
        lookups::judge(cluster, &mut stopped, &mut dead, &mut symptoms);
    }
    let mut causes: Vec<Finding> = dead.into_iter().map(|dead| dead.finding).collect();
    causes.extend(stopped.into_iter().map(|stopped| stopped.finding));
    causes.extend(symptoms);

    let checks = checks(evidence, &causes);
    let verdict = if causes.iter().any(|finding| finding.severity == Severity::Error) {
        Verdict::Faulty
    } else if checks.iter().any(|check| check.state == CheckState::Skipped) || !cluster.failures.is_empty() {
        Verdict::Unknown
    } else {
        Verdict::Healthy
    };
    Report { verdict, findings: causes, checks, seconds: 0.0 }
}

/// The API server cannot be asked: because of a group, or we do not know why.
fn api(evidence: &Evidence, stopped: &mut [Stopped], dead: &[Dead], symptoms: &mut Vec<Finding>) {
    let cluster = &evidence.cluster;
    let (code, cause, line) = match &cluster.api {
        ApiState::Answers => return,
        ApiState::Unreachable { message } => (
            "KS-API-UNREACHABLE",
            "the API server does not answer from here, so nothing can be asked of Kubernetes or looked up from its pods",
            format!("{}: {message}", cluster.endpoint),
        ),
        ApiState::Unauthorized { message } => (
            "KS-API-UNAUTHORIZED",
            "the API server refuses the credentials of the kubeconfig",
            format!("{}: {message}", cluster.endpoint),
        ),
        ApiState::NoKubeconfig => (
            "KS-API-KUBECONFIG",
            "there is no kubeconfig here",
            "run `kubestrap kubeconfig` to fetch it".into(),
        ),
    };
    let unreachable = matches!(cluster.api, ApiState::Unreachable { .. });
    if cluster.api == ApiState::NoKubeconfig && dead.iter().any(|dead| dead.control_plane) {
        // It would be fetched from there.
        return;
    }
    if unreachable {
        if let Some(stopped) =
            stopped.iter_mut().find(|stopped| stopped.has("api/") && !stopped.only("api/nodes"))
        {
            stopped.finding.evidence.push(line);
            return;
        }
        if dead.iter().any(|dead| dead.control_plane) {
            return symptoms.push(Finding::error(code, "API server", cause).into_warning().seen([line]));
        }
    }
    let mut finding = Finding::error(code, "API server", cause).into_warning().seen([line]);
    if unreachable {
        finding.evidence.push(
            "the security groups admit the spec's admin_cidrs to it: either this machine's address is not in them, \
             or kube-apiserver does not run"
                .into(),
        );
    }
    symptoms.push(finding.mended_by("kubestrap ssh control-plane-1 -- sudo crictl ps -a"));
}

/// The checks in their order, with what was seen.
fn checks(evidence: &Evidence, findings: &[Finding]) -> Vec<Check> {
    let cluster = &evidence.cluster;
    let mut checks = vec![api_check(evidence)];
    let asked = matches!(cluster.api, ApiState::Answers);
    let failed = |families: &[&str]| {
        findings.iter().any(|finding| {
            finding.severity == Severity::Error
                && families.iter().any(|family| finding.code.starts_with(family))
        })
    };
    let mut check = |name: &str, state: CheckState, evidence: Vec<String>| {
        checks.push(Check { name: name.into(), state, evidence });
    };
    let not_asked = || vec!["the API server cannot be asked".to_owned()];
    if asked {
        let state = if failed(&["KS-DNS-COREDNS-"]) { CheckState::Failed } else { CheckState::Passed };
        check("CoreDNS pods run and are ready", state, coredns::pod_lines(cluster));
        let state = if failed(&["KS-DNS-SERVICE-", "KS-DNS-ENDPOINTS-"])
            || cluster.kube_dns.as_ref().is_none_or(|service| service.ready.is_empty())
        {
            CheckState::Failed
        } else {
            CheckState::Passed
        };
        check("the Service kube-dns has endpoints", state, coredns::service_lines(cluster));
        let (state, lines) = lookup_check(evidence);
        check("lookups from a pod on every node, over UDP and TCP", state, lines);
    } else {
        check("CoreDNS pods run and are ready", CheckState::Skipped, not_asked());
        check("the Service kube-dns has endpoints", CheckState::Skipped, not_asked());
        check("lookups from a pod on every node, over UDP and TCP", CheckState::Skipped, not_asked());
    }
    let (state, lines) = groups::check(evidence);
    check("the security groups admit every required flow", state, lines);
    checks
}

fn api_check(evidence: &Evidence) -> Check {
    let cluster = &evidence.cluster;
    let (state, line) = match &cluster.api {
        ApiState::Answers => (CheckState::Passed, cluster.endpoint.clone()),
        ApiState::Unreachable { message } | ApiState::Unauthorized { message } => {
            (CheckState::Failed, format!("{}: {message}", cluster.endpoint))
        }
        ApiState::NoKubeconfig => (CheckState::Skipped, "there is no kubeconfig here".into()),
    };
    let mut lines = vec![line];
    lines.extend(cluster.failures.iter().cloned());
    Check { name: "the API server answers".into(), state, evidence: lines }
}

fn lookup_check(evidence: &Evidence) -> (CheckState, Vec<String>) {
    let cluster = &evidence.cluster;
    let mut lines: Vec<String> = Vec::new();
    let mut silent = false;
    for probe in &cluster.probes {
        if let ProbeOutcome::NotRunning(why) | ProbeOutcome::ExecFailed(why) = &probe.outcome {
            silent = true;
            lines.push(format!("{}: no lookup could be made: {why}", probe.node));
        }
    }
    let unanswered: Vec<&Lookup> = cluster.lookups.iter().filter(|lookup| !lookup.answered()).collect();
    let answered = cluster.lookups.len() - unanswered.len();
    lines.push(format!("{answered} of {} answered", cluster.lookups.len()));
    lines.extend(few(unanswered.iter().map(|lookup| lookup.to_string())));
    let state = if !unanswered.is_empty() {
        CheckState::Failed
    } else if silent || cluster.lookups.is_empty() {
        CheckState::Skipped
    } else {
        CheckState::Passed
    };
    (state, lines)
}

/// The first lines, and how many more there are.
fn few(lines: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.into_iter().collect();
    if lines.len() > LINES {
        let more = lines.len() - LINES + 1;
        lines.truncate(LINES - 1);
        lines.push(format!("... and {more} more"));
    }
    lines
}
