//! Calico's manifest: fetched, then configured by editing its objects, never its text.

use std::time::Duration;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::error::innermost;
use super::yaml;
use crate::ports::ClusterError;
use crate::spec::{ProviderKind, Spec};

/// Longest wait for a manifest (330 kB).
const FETCH_LIMIT: Duration = Duration::from_secs(60);
/// How often Calico's readiness is asked, seconds. Upstream's 10 means that a node which is ready
/// waits up to 10 s more until Kubernetes knows; the probe itself takes some 50 ms.
const READINESS_PERIOD: u32 = 2;

/// The Calico manifest of `spec`, fetched from its source and configured for its pods' addresses.
pub async fn calico_manifest(spec: &Spec) -> Result<String, ClusterError> {
    let source = match &spec.sources.calico_manifest {
        Some(source) => source.clone(),
        None => upstream(&spec.calico.version),
    };
    // The lab's sources are on this machine, whatever proxy leads to the web.
    let direct = spec.provider.kind == ProviderKind::Lab;
    configure_calico(&fetch_manifest(&source, direct).await?, spec.network.pod_cidr)
}

/// Where the Calico project publishes the VXLAN manifest of a version.
fn upstream(version: &str) -> String {
    format!("https://raw.githubusercontent.com/projectcalico/calico/v{version}/manifests/calico-vxlan.yaml")
}

/// Reads a manifest from an `http(s)://` URL, by the environment's proxy unless `direct`, or else from a file.
pub async fn fetch_manifest(source: &str, direct: bool) -> Result<String, ClusterError> {
    let malformed =
        |message: String| ClusterError::Malformed { what: format!("the manifest {source}"), message };
    if !source.starts_with("http://") && !source.starts_with("https://") {
        let path = source.strip_prefix("file://").unwrap_or(source);
        return tokio::fs::read_to_string(path).await.map_err(|error| malformed(error.to_string()));
    }
    let fetch = async {
        let client = reqwest::Client::builder();
        let client = if direct { client.no_proxy() } else { client };
        let response = client.build()?.get(source).send().await?;
        let status = response.status();
        Ok::<_, reqwest::Error>((status, response.text().await?))
    };
    let answer = tokio::time::timeout(FETCH_LIMIT, fetch)
        .await
        .map_err(|_| malformed(format!("not complete within {} s", FETCH_LIMIT.as_secs())))?;
    match answer {
        Ok((status, text)) if status.is_success() => Ok(text),
        Ok((status, _)) => Err(malformed(format!("the server answered {status}"))),
        Err(error) => Err(malformed(innermost(&error))),
    }
}

/// Configures an upstream Calico manifest, in either of its flavours, for VXLAN in every direction:
///
/// * the default pool is `pod_cidr`, VXLAN `Always` (upstream's `CrossSubnet` sends bare pod addresses
///   inside a subnet, which EC2 drops), no IP-in-IP, no BGP: backend `vxlan`, no BIRD probes;
/// * the autodetected address is the one Kubernetes has, so that a node's other interfaces do not matter;
/// * readiness is asked every 2 s.
///
/// [`ClusterError::Malformed`] when the manifest is not Calico's.
pub fn configure_calico(manifest: &str, pod_cidr: Ipv4Net) -> Result<String, ClusterError> {
    let mut objects = yaml::documents("the Calico manifest", manifest)?;
    set_backend(object(&mut objects, "ConfigMap", "calico-config")?)?;
    let node = object(&mut objects, "DaemonSet", "calico-node")?;
    // All nodes at once: nothing runs on them yet, and an upgrade of Calico keeps established traffic.
    *at(node, "/spec/updateStrategy/rollingUpdate")? = json!({ "maxUnavailable": "100%" });
    let container = container(node, "calico-node")?;
    for (name, value) in [
        ("CALICO_IPV4POOL_CIDR", pod_cidr.trunc().to_string()),
        ("CALICO_IPV4POOL_VXLAN", "Always".into()),
        ("CALICO_IPV4POOL_IPIP", "Never".into()),
        ("CALICO_IPV6POOL_VXLAN", "Never".into()),
        ("CLUSTER_TYPE", "k8s".into()),
        ("IP_AUTODETECTION_METHOD", "kubernetes-internal-ip".into()),
    ] {
        set_env(container, name, &value)?;
    }
    for probe in ["livenessProbe", "readinessProbe"] {
        let command = at(container, &format!("/{probe}/exec/command"))?;
        let words = command.as_array_mut().ok_or_else(|| unlike("a probe's command is not a list"))?;
        words.retain(|word| !word.as_str().is_some_and(|word| word.starts_with("-bird")));
    }
    ask_readiness_often(container)?;
    let controllers = object(&mut objects, "Deployment", "calico-kube-controllers")?;
    ask_readiness_often(self::container(controllers, "calico-kube-controllers")?)?;
    Ok(yaml::render_all(&objects))
}

fn set_backend(config: &mut Value) -> Result<(), ClusterError> {
    *at(config, "/data/calico_backend")? = json!("vxlan");
    Ok(())
}

fn ask_readiness_often(container: &mut Value) -> Result<(), ClusterError> {
    let probe = at(container, "/readinessProbe")?;
    probe["periodSeconds"] = json!(READINESS_PERIOD);
    Ok(())
}

/// Sets an environment variable, replacing one of that name.
fn set_env(container: &mut Value, name: &str, value: &str) -> Result<(), ClusterError> {
    let env = at(container, "/env")?.as_array_mut().ok_or_else(|| unlike("env is not a list"))?;
    let entry = json!({ "name": name, "value": value });
    match env.iter_mut().find(|entry| entry["name"] == name) {
        Some(existing) => *existing = entry,
        None => env.push(entry),
    }
    Ok(())
}

fn object<'a>(objects: &'a mut [Value], kind: &str, name: &str) -> Result<&'a mut Value, ClusterError> {
    objects
        .iter_mut()
        .find(|object| {
            object["kind"] == kind && object.pointer("/metadata/name").is_some_and(|is| is == name)
        })
        .ok_or_else(|| unlike(&format!("it has no {kind} {name}")))
}

fn container<'a>(workload: &'a mut Value, name: &str) -> Result<&'a mut Value, ClusterError> {
    let containers = at(workload, "/spec/template/spec/containers")?;
    containers
        .as_array_mut()
        .and_then(|containers| containers.iter_mut().find(|container| container["name"] == name))
        .ok_or_else(|| unlike(&format!("it has no container {name}")))
}

fn at<'a>(object: &'a mut Value, pointer: &str) -> Result<&'a mut Value, ClusterError> {
    object
        .pointer_mut(pointer)
        .ok_or_else(|| unlike(&format!("there is no {}", pointer[1..].replace('/', "."))))
}

fn unlike(message: &str) -> ClusterError {
    ClusterError::Malformed { what: "the Calico manifest".into(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The parts of upstream's BGP flavour that are edited, and one that is not.
    const UPSTREAM: &str = include_str!("../../tests/fixtures/calico-trimmed.yaml");

    fn pods() -> Ipv4Net {
        "192.168.0.0/16".parse().expect("a range")
    }

    #[test]
    fn every_edit_lands_and_nothing_else_changes() {
        insta::assert_snapshot!(configure_calico(UPSTREAM, pods()).expect("Calico's"));
    }

    #[test]
    fn configuring_twice_is_configuring_once() {
        let once = configure_calico(UPSTREAM, pods()).expect("Calico's");
        assert_eq!(configure_calico(&once, pods()).expect("still Calico's"), once);
    }

    #[test]
    fn another_manifest_is_refused_by_what_it_lacks() {
        let refuse = |text: &str| configure_calico(text, pods()).expect_err("not Calico's").to_string();
        assert_eq!(
            refuse("kind: Pod\napiVersion: v1\nmetadata: {name: a}"),
            "the Calico manifest: it has no ConfigMap calico-config"
        );
        let without_env = UPSTREAM.replace("env:", "environment:");
        assert_eq!(refuse(&without_env), "the Calico manifest: there is no env");
    }

    #[tokio::test]
    async fn a_manifest_that_is_not_there_is_named() {
        let error = fetch_manifest("/nonexistent/calico.yaml", true).await.expect_err("absent").to_string();
        assert_eq!(error, "the manifest /nonexistent/calico.yaml: No such file or directory (os error 2)");
    }

    #[tokio::test]
    async fn a_server_without_the_manifest_is_named_with_its_answer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}/calico.yaml", listener.local_addr().expect("bound"));
        let server = axum::Router::new().route("/other", axum::routing::get(|| async { "" }));
        let task = tokio::spawn(async move { axum::serve(listener, server).await });
        let error = fetch_manifest(&url, true).await.expect_err("404").to_string();
        task.abort();
        assert_eq!(error, format!("the manifest {url}: the server answered 404 Not Found"));
    }
}
