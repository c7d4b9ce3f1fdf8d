//! The adapter to EC2: the [`Cloud`] port on aws-sdk-ec2.
//!
//! # What is ours
//! The cloud's tags are the only record. Every resource is tagged in the call that creates it with
//! the keys of [`crate::ports::tag`], so there is no moment in which something exists and nobody
//! knows whose it is; [`Ec2::observe`](Cloud::observe) finds all of it again by the cluster id, all
//! pages. `DescribeTags` by that id is asked besides: it lists every kind of resource, known to this
//! program or not, and so proves that nothing is left; what only a tag tells of is then described by
//! its id, since tags may outlive what they were on. Volumes and interfaces are tagged by
//! RunInstances too.
//!
//! # Calls that may be made twice
//! A call's answer can be lost, and this process can die between any two calls. Repeating must make
//! no second thing:
//!
//! | call | what makes it safe |
//! |---|---|
//! | RunInstances | client token; a launch finds its own instances by a tag of that token first. EC2 replays a token for dead instances too, so a token whose instances are all gone is followed by the next of its generations (`TOKEN.2`) |
//! | CreateRouteTable | the SDK's client token within a call; by tags between runs |
//! | CreateSecurityGroup, ImportKeyPair, CreateSubnet | unique name or range: a duplicate with our id is adopted, any other refused |
//! | CreateVpc, CreateInternetGateway | neither: never resent by the SDK; after an answer that was lost, EC2 is asked for our tag before the next try. What slips through is in [`CloudState::others`] |
//! | all others | idempotent |
//!
//! Several nodes come from one RunInstances call, which tags all of them alike: its tags say which
//! names they have and EC2 numbers them, so a crash before the names are tagged loses nothing.
//!
//! # Eventual consistency
//! A fresh id may be unknown for some seconds to the next call (`Invalid*.NotFound`). For ids that
//! this process made within two minutes that answer is asked again, for up to 30 s; for any other id
//! it is the truth. Waits describe by filter instead of by id, which leaves unknown ids out and does
//! not fail. Interfaces outlive their instances: a `DependencyViolation` is waited out for 6 s, for
//! another 60 s when interfaces alone hold the thing, and then reported with who holds it.
//!
//! # Waiting
//! Whoever waits for instances shares one poll that describes all ids at once, twice a second.

mod api;
mod confirm;
mod consistency;
mod convert;
mod create;
mod delete;
mod error;
mod launch;
mod naming;
mod observe;
mod offer;
mod permission;
mod poll;
mod rules;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
pub use aws_sdk_ec2::config::Credentials;
use tokio::sync::Mutex;

use api::Api;
use error::Fault;
use poll::{Pace, Poll, Source};

use crate::network::{Direction, Rule};
use crate::ports::{
    Cloud, CloudError, CloudState, Create, Delete, Instance, InstanceState, Launch, NodePhase, Offer, Scope,
    tag,
};
use crate::spec::{Provider, ProviderKind};

/// EC2, or anything that speaks its API.
pub struct Ec2 {
    api: Arc<Api>,
    poll: Poll,
    /// Root device name by image: pools of one image ask once.
    root_devices: Mutex<HashMap<String, String>>,
}

impl Ec2 {
    /// Reads the configuration; makes no call to EC2. Credentials come from `credentials`, else from
    /// the profile that the spec names and no other place, else from the SDK's chain (environment,
    /// default profile, instance role). That there are none shows with the first call.
    ///
    /// # Errors
    /// A lab without an endpoint: its credentials are not for Amazon's.
    pub async fn connect(provider: &Provider, credentials: Option<Credentials>) -> Result<Self, CloudError> {
        if provider.kind == ProviderKind::Lab && provider.endpoint.is_none() {
            let message = "the lab's address is not known".to_owned();
            return Err(CloudError::Unreachable { endpoint: "the lab".into(), message });
        }
        let api = Arc::new(Api::connect(provider, credentials).await);
        let poll = Poll::new(api.clone(), Pace::EC2);
        Ok(Self { api, poll, root_devices: Mutex::default() })
    }

    /// How many requests were sent so far, retries included.
    pub fn calls(&self) -> usize {
        self.api.calls()
    }

    /// The endpoint in use: the configured URL, or the region whose own it is.
    pub fn endpoint(&self) -> &str {
        self.api.endpoint()
    }

    async fn root_device(&self, image: &str) -> Result<String, Fault> {
        let mut known = self.root_devices.lock().await;
        if let Some(name) = known.get(image) {
            return Ok(name.clone());
        }
        let name = self.api.root_device(image).await?;
        known.insert(image.to_owned(), name.clone());
        Ok(name)
    }
}

#[async_trait]
impl Cloud for Ec2 {
    async fn account(&self) -> Result<String, CloudError> {
        let request = self.api.sts.get_caller_identity().customize().config_override(Api::hasty());
        let identity = self.api.call("GetCallerIdentity", request.send()).await?;
        Ok(create::id("GetCallerIdentity", identity.account)?)
    }

    async fn observe(&self, scope: &Scope) -> Result<CloudState, CloudError> {
        Ok(self.api.observe(scope).await?)
    }

    async fn offer(&self, zone: Option<&str>, types: &[String]) -> Result<Offer, CloudError> {
        Ok(self.api.offer(zone, types).await?)
    }

    async fn image(&self, parameter: &str) -> Result<String, CloudError> {
        Ok(self.api.image(parameter).await?)
    }

    async fn create(&self, scope: &Scope, create: &Create) -> Result<String, CloudError> {
        Ok(self.api.create(scope, create).await?)
    }

    async fn set_rules(
        &self,
        group: &str,
        direction: Direction,
        allow: &[Rule],
        revoke: &[Rule],
    ) -> Result<(), CloudError> {
        Ok(self.api.set_rules(group, direction, allow, revoke).await?)
    }

    async fn set_groups(&self, instance: &str, groups: &[String]) -> Result<(), CloudError> {
        Ok(self.api.set_groups(instance, groups).await?)
    }

    async fn launch(&self, scope: &Scope, launch: &Launch) -> Result<Vec<Instance>, CloudError> {
        if launch.nodes.is_empty() {
            return Ok(Vec::new());
        }
        let root = self.root_device(&launch.image).await?;
        Ok(self.api.launch(scope, launch, &root).await?)
    }

    async fn await_state(&self, ids: &[String], state: InstanceState) -> Result<Vec<Instance>, CloudError> {
        self.poll.until(ids, state).await
    }

    async fn mark(&self, ids: &[String], phase: NodePhase) -> Result<(), CloudError> {
        if ids.is_empty() {
            return Ok(());
        }
        let tags = vec![convert::new_tag(tag::PHASE, convert::phase_value(phase))];
        Ok(self.api.tag(ids.to_vec(), tags).await?)
    }

    async fn delete(&self, delete: &Delete) -> Result<(), CloudError> {
        Ok(self.api.delete(delete).await?)
    }

    async fn console(&self, instance: &str) -> Result<String, CloudError> {
        Ok(self.api.console(instance).await?)
    }
}

#[async_trait]
impl Source for Api {
    async fn describe(&self, ids: &[String]) -> Result<Vec<Instance>, Fault> {
        self.instances_by_id(ids).await
    }
}

impl fmt::Debug for Ec2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ec2")
            .field("region", &self.api.region)
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}
