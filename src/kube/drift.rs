//! What applying a manifest would change.

use serde_json::Value;

use super::KubeCluster;
use super::apply::typed;
use super::error::failure;
use super::yaml;
use crate::ports::ClusterError;

/// What one object would go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drift {
    /// It is not there.
    Missing {
        /// Kind and name.
        object: String,
    },
    /// It is there and differs.
    Changed {
        /// Kind and name.
        object: String,
    },
}

impl KubeCluster {
    /// The objects of `manifest` that applying would create or change; empty means: nothing to do.
    /// Asks the API server itself, by a dry run, so that defaults and other owners are told apart.
    pub async fn drift(&self, manifest: &str) -> Result<Vec<Drift>, ClusterError> {
        let objects = yaml::documents("the manifest", manifest)?
            .into_iter()
            .map(typed)
            .collect::<Result<Vec<_>, _>>()?;
        let mut drift = Vec::new();
        for addressed in self.address(objects).await? {
            let object = addressed.label.clone();
            let name = addressed.object.metadata.name.clone().unwrap_or_default();
            let found = addressed
                .api
                .get_opt(&name)
                .await
                .map_err(|error| failure(&self.endpoint, &object, error))?;
            let Some(found) = found else {
                drift.push(Drift::Missing { object });
                continue;
            };
            let would_be = self.apply_object(&addressed, true).await?;
            if essence(&found) != essence(&would_be) {
                drift.push(Drift::Changed { object });
            }
        }
        Ok(drift)
    }
}

/// An object without what the API server keeps about it.
fn essence(object: &::kube::api::DynamicObject) -> Value {
    let mut value = super::objects::value(object);
    if let Some(map) = value.as_object_mut() {
        map.remove("status");
        if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            for kept in ["managedFields", "resourceVersion", "generation"] {
                metadata.remove(kept);
            }
        }
    }
    value
}
