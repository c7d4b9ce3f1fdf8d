//! Collects the evidence: Kubernetes and EC2 are asked at the same time.

use std::time::Instant;

use async_trait::async_trait;

use super::evidence::{
    AbsentEvidence, ApiState, CloudEvidence, ClusterEvidence, Evidence, FlowEvidence, GroupEvidence,
    MemberEvidence,
};
use super::report::Report;
use super::rules::judge;
use crate::network;
use crate::ports::{Cloud, CloudState, Scope, SecurityGroup};
use crate::spec::{Role, Spec};

/// Who can tell about DNS from inside the cluster. Implemented by the adapter to Kubernetes.
#[async_trait]
pub trait Witness: Send + Sync {
    /// Everything that Kubernetes knows about DNS, with lookups from every node. Never fails: what cannot
    /// be asked is evidence too.
    async fn dns_evidence(&self) -> ClusterEvidence;
}

/// Where the evidence comes from.
pub struct Collector<'a, W: Witness> {
    /// The API server; `None` when there is no kubeconfig.
    pub cluster: Option<&'a W>,
    /// EC2.
    pub cloud: &'a dyn Cloud,
    /// Whose resources these are.
    pub scope: &'a Scope,
    /// What was asked for.
    pub spec: &'a Spec,
}

impl<W: Witness> Collector<'_, W> {
    /// Everything the rules need. Never fails: what cannot be had is evidence too.
    pub async fn collect(&self) -> Evidence {
        let cluster = async {
            match self.cluster {
                Some(cluster) => cluster.dns_evidence().await,
                None => ClusterEvidence::without_api("", ApiState::NoKubeconfig),
            }
        };
        let (cluster, cloud) = tokio::join!(cluster, self.cloud.observe(self.scope));
        let cloud = match cloud {
            Ok(state) => self.cloud_evidence(&state, None),
            Err(error) => self.cloud_evidence(&CloudState::default(), Some(error.to_string())),
        };
        Evidence { cluster, cloud }
    }

    /// Collects and judges.
    pub async fn diagnose(&self) -> (Evidence, Report) {
        let start = Instant::now();
        let evidence = self.collect().await;
        let mut report = judge(&evidence);
        report.seconds = start.elapsed().as_secs_f64();
        (evidence, report)
    }

    fn cloud_evidence(&self, state: &CloudState, failure: Option<String>) -> CloudEvidence {
        let evidence = |logical: &str, group: &SecurityGroup| GroupEvidence {
            logical: logical.to_owned(),
            id: group.id.clone(),
            name: group.name.clone(),
            ingress: group.ingress.clone(),
            egress: group.egress.clone(),
        };
        let groups = state.groups.iter().map(|(logical, group)| evidence(logical, group));
        let attached = state.attached.iter().map(|group| evidence("", group));
        let control_plane =
            |node: &str| self.spec.nodes().any(|(name, role)| name == node && role == Role::ControlPlane);
        let members = state.instances.iter().map(|instance| MemberEvidence {
            node: instance.node.clone(),
            control_plane: control_plane(&instance.node),
            instance: instance.id.clone(),
            state: instance.state.to_string(),
            private_ip: instance.private_ip,
            groups: instance.groups.clone(),
        });
        let absent = self.spec.nodes().filter_map(|(node, role)| {
            let present = state.instances.iter().any(|instance| instance.node == node);
            // Who could not be asked has told of no instance.
            (failure.is_none() && !present)
                .then_some(AbsentEvidence { node, control_plane: role == Role::ControlPlane })
        });
        let absent = absent.collect();
        CloudEvidence {
            region: self.spec.provider.region.clone(),
            endpoint: self.spec.provider.endpoint.clone(),
            failure,
            groups: groups.collect(),
            attached: attached.collect(),
            members: members.collect(),
            absent,
            flows: network::required(self.spec).iter().map(FlowEvidence::from).collect(),
        }
    }
}
