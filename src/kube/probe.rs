//! The DNS probe: one small pod on every node, from which names are looked up.
//!
//! `up` starts it together with Calico, so that it costs no time, and it stays for the diagnosis.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use ::kube::api::{Api, AttachParams, ListParams};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::future::join_all;
use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType};
use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::UnboundedSender;

use super::error::{failure, innermost};
use super::obstacles::{excerpt, pod_obstacle};
use super::{KubeCluster, yaml};
use crate::diagnose::{Answer, Lookup, ProbeEvidence, ProbeOutcome, Target, Transport};
use crate::ports::{ClusterError, Workload, WorkloadKind};

/// The probe's image: busybox, for `nslookup` and `nc`.
pub const PROBE_IMAGE: &str = "docker.io/library/busybox:1.37";
/// The probe's namespace.
pub const PROBE_NAMESPACE: &str = "kubestrap-system";
/// The probe's DaemonSet.
const PROBE: &str = "kubestrap-probe";
/// The name that every cluster made by kubeadm can resolve.
const NAME: &str = "kubernetes.default.svc.cluster.local.";
/// What the probe runs for one round of lookups.
const SCRIPT: &str = include_str!("probe.sh");
/// Longest round of lookups: each takes 4 s at most and all run at once; the rest is for the way to the
/// kubelet. The API server itself would wait 30 s for a kubelet that it cannot reach.
const ROUND_LIMIT: Duration = Duration::from_secs(8);
/// Pause between two rounds while DNS is not there yet.
const PAUSE: Duration = Duration::from_millis(300);
/// A question without an answer that took this long was not closed by the server: it ran out.
const RAN_OUT: u64 = 2_500;

/// A server to ask.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) target: Target,
    pub(super) address: Ipv4Addr,
}

/// Everything that is applied with Calico: the probe, and a faster look at CoreDNS's readiness.
///
/// kubeadm leaves CoreDNS's readiness probe at Kubernetes' default of 10 s, and its first look comes
/// before CoreDNS has seen the API server: a cluster whose DNS answers waits 10 s to be told so. Only
/// that one field is owned by kubestrap.
pub fn probe_manifest() -> String {
    let mut documents = probe_objects();
    documents.push(json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "coredns", "namespace": "kube-system" },
        "spec": { "template": { "spec": { "containers": [
            { "name": "coredns", "readinessProbe": { "periodSeconds": 2 } },
        ] } } },
    }));
    yaml::render_all(&documents)
}

/// The namespace and the DaemonSet.
fn probe_objects() -> Vec<Value> {
    let labels = json!({ "app.kubernetes.io/name": PROBE, "app.kubernetes.io/part-of": "kubestrap" });
    let namespace = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": PROBE_NAMESPACE,
            "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
        },
    });
    let container = json!({
        "name": "probe",
        "image": PROBE_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "2147483647"],
        "resources": {
            "requests": { "cpu": "1m", "memory": "4Mi" },
            "limits": { "memory": "32Mi" },
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
        },
    });
    let daemon_set = json!({
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": { "name": PROBE, "namespace": PROBE_NAMESPACE, "labels": labels },
        "spec": {
            "selector": { "matchLabels": { "app.kubernetes.io/name": PROBE } },
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "100%" } },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": 0,
                    "tolerations": [{ "operator": "Exists" }],
                    "priorityClassName": "system-node-critical",
                    "securityContext": {
                        "runAsNonRoot": true,
                        "runAsUser": 65532,
                        "runAsGroup": 65532,
                        "seccompProfile": { "type": "RuntimeDefault" },
                    },
                    "containers": [container],
                },
            },
        },
    });
    vec![namespace, daemon_set]
}

impl KubeCluster {
    /// Looks the API server's name up from every node until it is answered everywhere.
    pub(super) async fn wait_for_dns(
        &self,
        limit: Duration,
        progress: &UnboundedSender<String>,
    ) -> Result<(), ClusterError> {
        let start = Instant::now();
        let workload =
            Workload { kind: WorkloadKind::DaemonSet, namespace: PROBE_NAMESPACE.into(), name: PROBE.into() };
        self.watch_rollout(&workload, limit, progress).await?;
        let nodes = self.node_names().await?;
        let mut answered: Vec<String> = Vec::new();
        loop {
            let server = Server { target: Target::Service, address: self.dns_address().await? };
            let pods = self.probe_pods().await?;
            let (probes, lookups) = self.look_up(&nodes, &pods, &[server]).await;
            for node in &nodes {
                let mut here = lookups.iter().filter(|lookup| lookup.from_node == *node).peekable();
                let all = here.peek().is_some() && here.all(Lookup::answered);
                if all && !answered.contains(node) {
                    let _ = progress.send(format!("DNS answers on {node}"));
                    answered.push(node.clone());
                }
            }
            if nodes.iter().all(|node| answered.contains(node)) {
                return Ok(());
            }
            if start.elapsed() + PAUSE >= limit {
                let silent = nodes.iter().filter(|node| !answered.contains(node));
                let list = silent.map(String::as_str).collect::<Vec<_>>().join(", ");
                let mut evidence: Vec<String> = probes.iter().filter_map(obstacle).collect();
                evidence.extend(lookups.iter().map(Lookup::to_string));
                evidence.extend(self.obstacles("kube-system", "k8s-app=kube-dns", "coredns").await);
                return Err(ClusterError::Deadline {
                    what: format!("DNS did not answer on {list}"),
                    seconds: limit.as_secs(),
                    evidence,
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Starts the probe where it is missing and waits until its pods run, but not for longer than `limit`.
    pub(super) async fn ensure_probe(&self, limit: Duration) -> Result<(), ClusterError> {
        self.apply_documents(probe_objects()).await?;
        let workload =
            Workload { kind: WorkloadKind::DaemonSet, namespace: PROBE_NAMESPACE.into(), name: PROBE.into() };
        let (progress, _) = tokio::sync::mpsc::unbounded_channel();
        self.watch_rollout(&workload, limit, &progress).await
    }

    /// The newest probe pod of every node.
    pub(super) async fn probe_pods(&self) -> Result<BTreeMap<String, Pod>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), PROBE_NAMESPACE);
        let labels = ListParams::default().labels(&format!("app.kubernetes.io/name={PROBE}"));
        let mut pods = api
            .list(&labels)
            .await
            .map_err(|error| failure(&self.endpoint, &format!("the pods of {PROBE_NAMESPACE}"), error))?
            .items;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods.sort_by_key(|pod| pod.metadata.creation_timestamp.clone());
        let on_node = |pod: Pod| Some((pod.spec.as_ref()?.node_name.clone()?, pod));
        Ok(pods.into_iter().filter_map(on_node).collect())
    }

    /// Asks all `servers` from the probe of every node, all at once.
    pub(super) async fn look_up(
        &self,
        nodes: &[String],
        pods: &BTreeMap<String, Pod>,
        servers: &[Server],
    ) -> (Vec<ProbeEvidence>, Vec<Lookup>) {
        let rounds = nodes.iter().map(|node| async move {
            let evidence = |pod: Option<&str>, outcome| ProbeEvidence {
                node: node.clone(),
                pod: pod.map(str::to_owned),
                outcome,
            };
            let Some(pod) = pods.get(node) else {
                let outcome = ProbeOutcome::NotRunning("there is no probe pod on it".into());
                return (evidence(None, outcome), Vec::new());
            };
            let name = pod.metadata.name.clone().unwrap_or_default();
            if let Some(obstacle) = pod_obstacle(pod) {
                return (evidence(Some(&name), ProbeOutcome::NotRunning(obstacle)), Vec::new());
            }
            match self.round(&name, servers).await {
                Ok(output) => {
                    (evidence(Some(&name), ProbeOutcome::Ran), lookups(node, &name, servers, &output))
                }
                Err(message) => (evidence(Some(&name), ProbeOutcome::ExecFailed(message)), Vec::new()),
            }
        });
        let (probes, lookups): (Vec<_>, Vec<_>) = join_all(rounds).await.into_iter().unzip();
        (probes, lookups.into_iter().flatten().collect())
    }

    /// Runs the script in a probe pod; what it printed.
    async fn round(&self, pod: &str, servers: &[Server]) -> Result<String, String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), PROBE_NAMESPACE);
        let mut command = vec!["sh".to_owned(), "-c".into(), SCRIPT.into(), "probe".into()];
        command.extend([NAME.to_owned(), BASE64.encode(tcp_query())]);
        command.extend(servers.iter().map(|server| server.address.to_string()));
        let params =
            AttachParams::default().stdin(false).stdout(true).stderr(true).max_stdout_buf_size(64 * 1024);
        let run = async {
            let mut process = api.exec(pod, command, &params).await.map_err(|error| innermost(&error))?;
            let (stdout, stderr) = (process.stdout(), process.stderr());
            let status = process.take_status();
            let (mut output, mut errors) = (String::new(), String::new());
            let read_output = async {
                if let Some(mut stdout) = stdout {
                    let _ = stdout.read_to_string(&mut output).await;
                }
            };
            let read_errors = async {
                if let Some(mut stderr) = stderr {
                    let _ = stderr.read_to_string(&mut errors).await;
                }
            };
            tokio::join!(read_output, read_errors);
            let status = match status {
                Some(status) => status.await,
                None => None,
            };
            let succeeded = status.as_ref().is_some_and(|status| status.status.as_deref() == Some("Success"));
            if succeeded || !output.is_empty() {
                return Ok(output);
            }
            let said = status.and_then(|status| status.message).unwrap_or_default();
            Err(excerpt(&format!("{said} {errors}")))
        };
        match tokio::time::timeout(ROUND_LIMIT, run).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("the kubelet did not answer within {} s", ROUND_LIMIT.as_secs())),
        }
    }

    /// Address of the Service kube-dns.
    async fn dns_address(&self) -> Result<Ipv4Addr, ClusterError> {
        let object = "Service kube-system/kube-dns";
        let api: Api<Service> = Api::namespaced(self.client.clone(), "kube-system");
        let service = api.get("kube-dns").await.map_err(|error| failure(&self.endpoint, object, error))?;
        let address = service.spec.and_then(|spec| spec.cluster_ip).unwrap_or_default();
        address.parse().map_err(|_| ClusterError::Refused {
            object: object.into(),
            message: format!("its address is `{address}`"),
        })
    }
}

/// Why nothing was asked from a node.
fn obstacle(probe: &ProbeEvidence) -> Option<String> {
    match &probe.outcome {
        ProbeOutcome::Ran => None,
        ProbeOutcome::NotRunning(why) | ProbeOutcome::ExecFailed(why) => {
            Some(format!("{}: {why}", probe.node))
        }
    }
}

/// The question as DNS over TCP sends it: its length, then the message.
fn tcp_query() -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.id = 0x6b73;
    message.metadata.recursion_desired = true;
    let name = Name::from_ascii(NAME).expect("a constant name");
    message.add_query(Query::query(name, RecordType::A));
    let message = message.to_vec().expect("a question fits");
    let length = u16::try_from(message.len()).expect("a question is short");
    [length.to_be_bytes().as_slice(), &message].concat()
}

/// What the script printed, as lookups; lines that are not of it are left out.
fn lookups(node: &str, pod: &str, servers: &[Server], output: &str) -> Vec<Lookup> {
    let lookup = |line: &str| {
        let mut words = line.split(' ');
        let (transport, address, start, end) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let raw = BASE64.decode(words.next().unwrap_or_default()).ok()?;
        let address: Ipv4Addr = address.parse().ok()?;
        let server = servers.iter().find(|server| server.address == address)?;
        let ms = milliseconds(start, end)?;
        let (transport, answer) = match transport {
            "udp" => (Transport::Udp, nslookup_answer(&String::from_utf8_lossy(&raw), ms)),
            "tcp" => (Transport::Tcp, tcp_answer(&raw, ms)),
            _ => return None,
        };
        Some(Lookup {
            from_node: node.to_owned(),
            from_pod: pod.to_owned(),
            target: server.target.clone(),
            server: address,
            transport,
            answer,
        })
    };
    let mut lookups: Vec<Lookup> = output.lines().filter_map(lookup).collect();
    lookups.sort_by(|one, two| (&one.target, one.transport).cmp(&(&two.target, two.transport)));
    lookups
}

fn milliseconds(start: &str, end: &str) -> Option<u64> {
    let (start, end): (f64, f64) = (start.parse().ok()?, end.parse().ok()?);
    let seconds = Duration::try_from_secs_f64(end - start).ok()?;
    u64::try_from(seconds.as_millis()).ok()
}

/// busybox nslookup's words.
fn nslookup_answer(text: &str, ms: u64) -> Answer {
    if text.contains("Name:") {
        Answer::Answered { ms }
    } else if text.contains("NXDOMAIN") {
        Answer::NxDomain
    } else if text.contains("refused") {
        Answer::Refused
    } else if text.trim().is_empty() || text.contains("timed out") {
        Answer::TimedOut
    } else {
        Answer::Other { text: excerpt(text) }
    }
}

/// A DNS message behind its length, or what busybox nc said instead.
fn tcp_answer(raw: &[u8], ms: u64) -> Answer {
    if raw.is_empty() {
        return match ms {
            RAN_OUT.. => Answer::TimedOut,
            _ => Answer::Other { text: "the connection was closed without an answer".into() },
        };
    }
    let text = String::from_utf8_lossy(raw);
    if text.starts_with("nc: ") {
        return if text.contains("refused") {
            Answer::Refused
        } else if text.contains("timed out") {
            Answer::TimedOut
        } else {
            Answer::Other { text: excerpt(&text) }
        };
    }
    match raw.get(2..).and_then(|message| Message::from_vec(message).ok()) {
        Some(message) => match message.metadata.response_code {
            ResponseCode::NoError if !message.answers.is_empty() => Answer::Answered { ms },
            ResponseCode::NXDomain => Answer::NxDomain,
            code => Answer::Other { text: code.to_string() },
        },
        None => Answer::Other { text: "an answer that is not DNS".into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers() -> Vec<Server> {
        let pod = Target::Pod { name: "coredns-a".into(), node: "general-1".into() };
        vec![
            Server { target: Target::Service, address: Ipv4Addr::new(10, 96, 0, 10) },
            Server { target: pod, address: Ipv4Addr::new(192, 168, 1, 2) },
        ]
    }

    fn line(transport: &str, server: &str, end: &str, raw: &[u8]) -> String {
        format!("{transport} {server} 100.00 {end} {}\n", BASE64.encode(raw))
    }

    #[test]
    fn every_answer_is_told_apart() {
        let mut message = Message::from_vec(&tcp_query()[2..]).expect("ours").into_response();
        message.metadata.response_code = ResponseCode::NXDomain;
        let no_such_name = [&[0, 0], message.to_vec().expect("fits").as_slice()].concat();
        let found = b"Server:\t\t10.96.0.10\nAddress:\t10.96.0.10:53\n\nName:\tkubernetes.default.svc.cluster.local\nAddress: 10.96.0.1\n";
        let output = [
            line("udp", "10.96.0.10", "100.03", found),
            line("tcp", "10.96.0.10", "103.00", b""),
            line("udp", "192.168.1.2", "103.01", b";; connection timed out; no servers could be reached\n\n"),
            line("tcp", "192.168.1.2", "100.01", &no_such_name),
            "noise\n".into(),
        ];
        let answers: Vec<String> = lookups("general-2", "probe", &servers(), &output.concat())
            .iter()
            .map(Lookup::to_string)
            .collect();
        assert_eq!(
            answers,
            [
                "general-2 -> kube-dns (10.96.0.10), UDP: answered in 30 ms",
                "general-2 -> kube-dns (10.96.0.10), TCP: no answer",
                "general-2 -> coredns-a on general-1 (192.168.1.2), UDP: no answer",
                "general-2 -> coredns-a on general-1 (192.168.1.2), TCP: no such name",
            ]
        );
    }

    #[test]
    fn a_closed_port_is_not_a_lost_packet() {
        assert_eq!(nslookup_answer("nslookup: read: Connection refused\n", 10), Answer::Refused);
        assert_eq!(
            tcp_answer(b"nc: can't connect to remote host (10.0.0.1): Connection refused\n", 0),
            Answer::Refused
        );
        assert_eq!(
            tcp_answer(b"", 10),
            Answer::Other { text: "the connection was closed without an answer".into() }
        );
        assert_eq!(
            nslookup_answer("** server can't find x: SERVFAIL", 10),
            Answer::Other { text: "** server can't find x: SERVFAIL".into() }
        );
    }

    #[test]
    fn what_is_applied_with_calico() {
        insta::assert_snapshot!(probe_manifest());
    }
}
