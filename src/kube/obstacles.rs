//! What stands in the way: pod states, reasons, recent warnings. The evidence of a wait that ran out.

use ::kube::api::{Api, ListParams};
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};

use super::KubeCluster;

/// Lines of evidence at most: enough to see a pattern, few enough to read.
const LINES: usize = 12;
/// Characters of a message worth showing.
const EXCERPT: usize = 300;

impl KubeCluster {
    /// Pods of a namespace that match `selector` and are not ready, and the warnings about pods whose
    /// names begin with `prefix`. Never fails: what cannot be had is said in its place.
    pub(super) async fn obstacles(&self, namespace: &str, selector: &str, prefix: &str) -> Vec<String> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let (labelled, warnings) =
            (ListParams::default().labels(selector), ListParams::default().fields("type=Warning"));
        let (pods, events) = tokio::join!(pods.list(&labelled), events.list(&warnings));
        let mut lines = Vec::new();
        match pods {
            Ok(pods) if pods.items.is_empty() => lines.push(format!("no pod in {namespace} has {selector}")),
            Ok(pods) => lines.extend(pods.items.iter().filter_map(pod_obstacle)),
            Err(error) => lines.push(format!("pods of {namespace}: {}", super::error::innermost(&error))),
        }
        match events {
            Ok(events) => lines.extend(warnings_about(events.items, prefix)),
            Err(error) => lines.push(format!("events of {namespace}: {}", super::error::innermost(&error))),
        }
        lines.truncate(LINES);
        lines
    }
}

/// `pod web-1 on general-1: Pending, container web: ErrImagePull: not found`; `None` when it is ready.
pub(super) fn pod_obstacle(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    if ready {
        return None;
    }
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let mut line = format!("pod {name}");
    if let Some(node) = node {
        line.push_str(&format!(" on {node}"));
    }
    line.push_str(&format!(": {}", status.phase.as_deref().unwrap_or("Unknown")));
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    for container in containers {
        if let Some(reason) = container_obstacle(container) {
            line.push_str(&format!(", container {}: {reason}", container.name));
        }
    }
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status != "True");
    if let Some(message) = unscheduled.and_then(|condition| condition.message.as_deref()) {
        line.push_str(&format!(", not scheduled: {}", excerpt(message)));
    }
    Some(line)
}

/// Why a container does not run or is not ready.
pub(super) fn container_obstacle(container: &ContainerStatus) -> Option<String> {
    let reason = |reason: Option<&str>, message: Option<&str>| {
        let parts: Vec<String> = [reason, message].into_iter().flatten().map(excerpt).collect();
        (!parts.is_empty()).then(|| parts.join(": "))
    };
    let state = container.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let terminated = state.and_then(|state| state.terminated.as_ref());
    let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    if let Some(waiting) = waiting {
        let mut text = reason(waiting.reason.as_deref(), waiting.message.as_deref())?;
        if let Some(last) = last {
            let message = reason(last.reason.as_deref(), last.message.as_deref()).unwrap_or_default();
            text.push_str(&format!(" (last exit {}: {message})", last.exit_code));
        }
        return Some(text);
    }
    match terminated {
        Some(terminated) if terminated.exit_code != 0 => {
            let message =
                reason(terminated.reason.as_deref(), terminated.message.as_deref()).unwrap_or_default();
            Some(format!("exit {}: {message}", terminated.exit_code))
        }
        _ if state.is_some_and(|state| state.running.is_some()) && !container.ready => {
            Some("running, not ready".into())
        }
        _ => None,
    }
}

/// The newest warnings about objects whose names begin with `prefix`, newest first.
fn warnings_about(mut events: Vec<Event>, prefix: &str) -> Vec<String> {
    let concerns =
        |event: &Event| event.involved_object.name.as_deref().is_some_and(|name| name.starts_with(prefix));
    events.retain(concerns);
    // The resource version of an event grows with time; `lastTimestamp` is absent from new-style events.
    events.sort_by_key(|event| {
        let version =
            event.metadata.resource_version.as_deref().and_then(|version| version.parse::<u64>().ok());
        std::cmp::Reverse(version.unwrap_or(0))
    });
    let mut seen = std::collections::BTreeSet::new();
    events
        .iter()
        .map(|event| {
            let reason = event.reason.as_deref().unwrap_or("Warning");
            let message = excerpt(event.message.as_deref().unwrap_or_default());
            let name = event.involved_object.name.as_deref().unwrap_or_default();
            format!("{reason} {name}: {message}")
        })
        .filter(|line| seen.insert(line.clone()))
        .take(6)
        .collect()
}

/// The beginning of a message, on one line.
pub(super) fn excerpt(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
