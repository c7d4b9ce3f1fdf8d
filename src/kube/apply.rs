//! Server-side apply of manifests: definitions and namespaces, then what pods need, then the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::kube::api::{Api, DynamicObject, Patch, PatchParams};
use ::kube::core::{GroupVersion, TypeMeta};
use ::kube::discovery::{self, ApiResource, Scope};
use ::kube::runtime::wait::{await_condition, conditions};
use backon::{ExponentialBuilder, Retryable};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::Value;

use super::error::{failure, innermost, is_transient};
use super::{FIELD_MANAGER, KubeCluster};
use crate::ports::ClusterError;

/// Requests under way at a time: enough to hide latency, few enough for the API server's own limits.
const CONCURRENCY: usize = 8;
/// Objects per namespace wave; see [`wave`].
const WAVES: u8 = 3;
/// How long the API server may take to serve a new kind.
const ESTABLISHED_LIMIT: Duration = Duration::from_secs(30);

/// An object and the API that serves its kind.
pub(super) struct Addressed {
    pub(super) api: Api<DynamicObject>,
    pub(super) object: DynamicObject,
    pub(super) label: String,
}

impl KubeCluster {
    /// Applies all documents, forced, as field manager `kubestrap`.
    pub(super) async fn apply_documents(&self, documents: Vec<Value>) -> Result<(), ClusterError> {
        let objects: Vec<DynamicObject> = documents.into_iter().map(typed).collect::<Result<_, _>>()?;
        let mut waves: Vec<Vec<DynamicObject>> = (0..WAVES).map(|_| Vec::new()).collect();
        for object in objects {
            waves[usize::from(wave(&kind(&object).kind))].push(object);
        }
        let definitions: Vec<String> = waves[0]
            .iter()
            .filter(|object| kind(object).kind == "CustomResourceDefinition")
            .filter_map(|object| object.metadata.name.clone())
            .collect();
        for (position, wave) in waves.into_iter().enumerate() {
            if position + 1 == usize::from(WAVES) {
                self.await_established(&definitions).await?;
            }
            self.apply_wave(wave).await?;
        }
        Ok(())
    }

    async fn apply_wave(&self, wave: Vec<DynamicObject>) -> Result<(), ClusterError> {
        let addressed = self.address(wave).await?;
        stream::iter(addressed.into_iter().map(Ok))
            .try_for_each_concurrent(CONCURRENCY, |addressed| async move {
                self.apply_object(&addressed, false).await.map(drop)
            })
            .await
    }

    /// Applies one object; with `dry_run` nothing is kept and the answer is what it would become.
    pub(super) async fn apply_object(
        &self,
        addressed: &Addressed,
        dry_run: bool,
    ) -> Result<DynamicObject, ClusterError> {
        let mut params = PatchParams::apply(FIELD_MANAGER).force();
        params.dry_run = dry_run;
        let name = addressed.object.metadata.name.as_deref().unwrap_or_default();
        let patch = Patch::Apply(&addressed.object);
        (|| addressed.api.patch(name, &params, &patch))
            .retry(brief_retries())
            .when(is_transient)
            .await
            .map_err(|error| failure(&self.endpoint, &addressed.label, error))
    }

    /// Finds the API of every object, one discovery call a group.
    pub(super) async fn address(&self, objects: Vec<DynamicObject>) -> Result<Vec<Addressed>, ClusterError> {
        let groups: BTreeSet<String> =
            objects.iter().map(|object| kind(object).api_version.clone()).collect();
        let served: BTreeMap<String, BTreeMap<String, (ApiResource, Scope)>> = stream::iter(groups)
            .map(|group| async move { self.kinds_of(&group).await.map(|kinds| (group, kinds)) })
            .buffer_unordered(CONCURRENCY)
            .try_collect()
            .await?;
        objects
            .into_iter()
            .map(|object| {
                let types = kind(&object).clone();
                let label = label(&object);
                let (resource, scope) = served
                    .get(&types.api_version)
                    .and_then(|kinds| kinds.get(&types.kind))
                    .ok_or_else(|| ClusterError::Refused {
                        object: label.clone(),
                        message: format!(
                            "the API server has no kind {} in {}",
                            types.kind, types.api_version
                        ),
                    })?;
                let api = match scope {
                    Scope::Cluster => Api::all_with(self.client.clone(), resource),
                    Scope::Namespaced => {
                        let namespace = object.metadata.namespace.as_deref().unwrap_or("default");
                        Api::namespaced_with(self.client.clone(), namespace, resource)
                    }
                };
                Ok(Addressed { api, object, label })
            })
            .collect()
    }

    async fn kinds_of(
        &self,
        api_version: &str,
    ) -> Result<BTreeMap<String, (ApiResource, Scope)>, ClusterError> {
        let version: GroupVersion = api_version.parse().map_err(|_| ClusterError::Malformed {
            what: "the manifest".into(),
            message: format!("`{api_version}` is not an apiVersion"),
        })?;
        let group = (|| discovery::pinned_group(&self.client, &version))
            .retry(brief_retries())
            .when(is_transient)
            .await
            .map_err(|error| failure(&self.endpoint, api_version, error))?;
        Ok(group
            .versioned_resources(&version.version)
            .into_iter()
            .map(|(resource, capabilities)| (resource.kind.clone(), (resource, capabilities.scope)))
            .collect())
    }

    /// Watches until the API server serves all these definitions.
    async fn await_established(&self, definitions: &[String]) -> Result<(), ClusterError> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let all = futures::future::try_join_all(definitions.iter().map(|name| {
            let api = api.clone();
            async move {
                await_condition(api, name, conditions::is_crd_established()).await.map_err(|error| {
                    let object = format!("CustomResourceDefinition {name}");
                    ClusterError::Refused { object, message: innermost(&error) }
                })
            }
        }));
        match tokio::time::timeout(ESTABLISHED_LIMIT, all).await {
            Ok(result) => result.map(drop),
            Err(_) => Err(ClusterError::Deadline {
                what: "the custom resource definitions were not established".into(),
                seconds: ESTABLISHED_LIMIT.as_secs(),
                evidence: definitions.to_vec(),
            }),
        }
    }
}

/// Pauses of 0.1 to 1 s, some ten seconds in all: a control plane that has just started stumbles.
fn brief_retries() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(1))
        .with_max_times(12)
        .with_jitter()
}

/// What must be there before what: 0 kinds and namespaces, 1 what pods refer to, 2 everything else.
fn wave(kind: &str) -> u8 {
    match kind {
        "CustomResourceDefinition" | "Namespace" | "PriorityClass" => 0,
        "ServiceAccount" | "ClusterRole" | "ClusterRoleBinding" | "Role" | "RoleBinding" | "ConfigMap"
        | "Secret" | "Service" => 1,
        _ => 2,
    }
}

/// A document as an object, or what it lacks.
pub(super) fn typed(document: Value) -> Result<DynamicObject, ClusterError> {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let named = text("/metadata/name");
    let malformed = |message: String| ClusterError::Malformed { what: "the manifest".into(), message };
    for field in ["/apiVersion", "/kind", "/metadata/name"] {
        if text(field).is_none() {
            let kind = text("/kind").unwrap_or_else(|| "an object".into());
            let name = named.map(|name| format!(" {name}")).unwrap_or_default();
            let field = field.trim_start_matches('/').replace('/', ".");
            return Err(malformed(format!("{kind}{name} has no {field}")));
        }
    }
    serde_json::from_value(document).map_err(|error| malformed(error.to_string()))
}

fn kind(object: &DynamicObject) -> &TypeMeta {
    object.types.as_ref().expect("`typed` has checked it")
}

/// `DaemonSet kube-system/calico-node`.
fn label(object: &DynamicObject) -> String {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    match &object.metadata.namespace {
        Some(namespace) => format!("{} {namespace}/{name}", kind(object).kind),
        None => format!("{} {name}", kind(object).kind),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_without_what_names_it_is_told_by_what_it_has() {
        let message = |document: Value| typed(document).expect_err("incomplete").to_string();
        assert_eq!(
            message(json!({"kind": "Pod", "metadata": {"name": "a"}})),
            "the manifest: Pod a has no apiVersion"
        );
        assert_eq!(
            message(json!({"apiVersion": "v1", "kind": "Pod"})),
            "the manifest: Pod has no metadata.name"
        );
        assert_eq!(message(json!({})), "the manifest: an object has no apiVersion");
    }

    #[test]
    fn objects_are_called_by_kind_namespace_and_name() {
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "b"}});
        assert_eq!(label(&typed(object).expect("complete")), "Pod b/a");
    }
}
