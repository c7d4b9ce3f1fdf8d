//! Launching a pool: one RunInstances call, safe to repeat.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{
    self as ec2, BlockDeviceMapping, EbsBlockDevice, HttpTokensState, InstanceMetadataEndpointState,
    InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification, ResourceType, TagSpecification,
    VolumeType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::api::Api;
use super::convert::{filter, instances, new_tag, ours, tag_value, tags};
use super::error::Fault;
use super::naming::{LAUNCH_TAG, NODES_TAG, nodes_value};
use super::observe::list;
use crate::ports::{Instance, InstanceState, Launch, NodePhase, Scope, tag};

/// How many tagging calls are out at once.
const CONCURRENT_TAGGING: usize = 8;

impl Api {
    /// Launches, or finds what this very launch has made before; the instances in the order of their names.
    pub async fn launch(&self, scope: &Scope, launch: &Launch, root: &str) -> Result<Vec<Instance>, Fault> {
        let token = match self.earlier(scope, launch).await? {
            Earlier::Alive(instances) => return self.name(scope, instances).await,
            Earlier::Token(token) => token,
        };
        let launched = self.run_instances(scope, launch, root, &token).await?;
        for instance in &launched {
            instance.instance_id().iter().for_each(|id| self.fresh.note(id));
        }
        self.name(scope, launched).await
    }

    /// What became of this launch before. EC2 replays a token for instances that are long dead too,
    /// so a token whose instances are all gone is spent, and the next of its generations is used.
    async fn earlier(&self, scope: &Scope, launch: &Launch) -> Result<Earlier, Fault> {
        let by_token = filter(&format!("tag:{LAUNCH_TAG}"), [format!("{}*", launch.client_token)]);
        let request = self.ec2.describe_instances().filters(ours(scope)).filters(by_token);
        let reservations = list!(self, "DescribeInstances", request).await?;
        Ok(earlier(
            &launch.client_token,
            reservations.into_iter().flat_map(|it| it.instances.unwrap_or_default()),
        ))
    }

    async fn run_instances(
        &self,
        scope: &Scope,
        launch: &Launch,
        root: &str,
        token: &str,
    ) -> Result<Vec<ec2::Instance>, Fault> {
        let count = i32::try_from(launch.nodes.len()).unwrap_or(i32::MAX);
        let specifications: Vec<TagSpecification> =
            [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface]
                .into_iter()
                .map(|kind| {
                    let tags = launch_tags(scope, launch, token, &kind);
                    TagSpecification::builder().resource_type(kind).set_tags(Some(tags)).build()
                })
                .collect();
        let volume = EbsBlockDevice::builder()
            .volume_type(VolumeType::Gp3)
            .volume_size(launch.disk_gib.into())
            .encrypted(true)
            .delete_on_termination(true)
            .build();
        // Groups and subnet go with the interface: that is where EC2 takes the public address too.
        let interface = InstanceNetworkInterfaceSpecification::builder()
            .device_index(0)
            .subnet_id(&launch.subnet)
            .set_groups(Some(launch.groups.clone()))
            .associate_public_ip_address(true)
            .delete_on_termination(true)
            .build();
        // Sessions only, and answers that do not leave the node: pods have no business with the
        // node's metadata, and a hop limit of 1 keeps it from them.
        let metadata = InstanceMetadataOptionsRequest::builder()
            .http_endpoint(InstanceMetadataEndpointState::Enabled)
            .http_tokens(HttpTokensState::Required)
            .http_put_response_hop_limit(1)
            .build();
        let request = self
            .ec2
            .run_instances()
            .client_token(token)
            .min_count(count)
            .max_count(count)
            .image_id(&launch.image)
            .instance_type(launch.instance_type.as_str().into())
            .key_name(&launch.key_name)
            .user_data(BASE64.encode(&launch.user_data))
            .block_device_mappings(BlockDeviceMapping::builder().device_name(root).ebs(volume).build())
            .network_interfaces(interface)
            .metadata_options(metadata)
            .set_tag_specifications(Some(specifications));
        let mut named = launch.groups.clone();
        named.extend([launch.subnet.clone(), launch.key_name.clone()]);
        let run = || self.call("RunInstances", request.clone().send());
        Ok(self.settled(&named, run).await?.instances.unwrap_or_default())
    }

    /// Gives each instance its own name tags, where the launch could not.
    async fn name(&self, scope: &Scope, launched: Vec<ec2::Instance>) -> Result<Vec<Instance>, Fault> {
        let named = instances(&launched);
        let is_tagged = |id: &str| {
            launched.iter().filter(|it| it.instance_id() == Some(id)).any(|it| {
                tag_value(it.tags(), tag::LOGICAL).is_some_and(|logical| logical.starts_with("node/"))
            })
        };
        let untagged: Vec<(String, Vec<ec2::Tag>)> = named
            .iter()
            .filter(|it| !is_tagged(&it.id))
            .map(|it| (it.id.clone(), tags(scope, &format!("node/{}", it.node))))
            .collect();
        stream::iter(untagged)
            .map(|(id, tags)| self.tag(vec![id], tags))
            .buffer_unordered(CONCURRENT_TAGGING)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(named)
    }

    /// Sets tags of what is there.
    pub async fn tag(&self, ids: Vec<String>, tags: Vec<ec2::Tag>) -> Result<(), Fault> {
        let call = || {
            let request =
                self.ec2.create_tags().set_resources(Some(ids.clone())).set_tags(Some(tags.clone()));
            self.call("CreateTags", request.send())
        };
        self.settled(&ids, call).await.map(drop)
    }

    /// The image's root device name, e.g. `/dev/xvda`.
    pub async fn root_device(&self, image: &str) -> Result<String, Fault> {
        let found = self.call("DescribeImages", self.ec2.describe_images().image_ids(image).send()).await?;
        found.images().iter().find_map(|it| it.root_device_name.clone()).ok_or_else(|| {
            let message = format!("The image id '[{image}]' does not exist or has no root device");
            Fault::service("DescribeImages", "InvalidAMIID.NotFound", message)
        })
    }
}

/// What a launch finds of itself.
#[derive(Debug, PartialEq)]
enum Earlier {
    /// Its instances are there.
    Alive(Vec<ec2::Instance>),
    /// It may be sent, with this token.
    Token(String),
}

/// Judges the instances of all generations of a token. One that lives makes its generation count:
/// the others of it, dead or not, are its caller's to see.
fn earlier(token: &str, found: impl IntoIterator<Item = ec2::Instance>) -> Earlier {
    let mut generations: BTreeMap<u32, Vec<ec2::Instance>> = BTreeMap::new();
    for instance in found {
        let of = tag_value(instance.tags(), LAUNCH_TAG).and_then(|it| it.strip_prefix(token));
        let generation = match of {
            Some("") => Some(1),
            Some(suffix) => suffix.strip_prefix('.').and_then(|it| it.parse().ok()),
            None => None,
        };
        generations.entry(generation.unwrap_or(1)).or_default().push(instance);
    }
    match generations.pop_last() {
        None => Earlier::Token(token.to_owned()),
        Some((_, instances)) if instances.iter().any(lives) => Earlier::Alive(instances),
        Some((generation, _)) => Earlier::Token(format!("{token}.{}", generation + 1)),
    }
}

fn lives(instance: &ec2::Instance) -> bool {
    !matches!(super::convert::state(instance), InstanceState::ShuttingDown | InstanceState::Terminated)
}

/// The tags of a launch: a single node's own, or the pool's with the list of its nodes.
fn launch_tags(scope: &Scope, launch: &Launch, token: &str, kind: &ResourceType) -> Vec<ec2::Tag> {
    let logical = match launch.nodes.as_slice() {
        [node] => format!("node/{node}"),
        _ => format!("pool/{}", launch.pool),
    };
    let mut tags = tags(scope, &logical);
    if *kind == ResourceType::Instance {
        tags.push(new_tag(tag::PHASE, super::convert::phase_value(NodePhase::Launched)));
        tags.push(new_tag(LAUNCH_TAG, token));
        tags.extend(nodes_value(&launch.pool, &launch.nodes).map(|value| new_tag(NODES_TAG, value)));
    }
    tags
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::InstanceStateName;

    use super::*;

    fn instance(token: &str, state: InstanceStateName) -> ec2::Instance {
        ec2::Instance::builder()
            .state(ec2::InstanceState::builder().name(state).build())
            .tags(new_tag(LAUNCH_TAG, token))
            .build()
    }

    #[test]
    fn a_first_launch_uses_its_own_token() {
        assert_eq!(earlier("abc", []), Earlier::Token("abc".into()));
    }

    #[test]
    fn a_repeated_launch_finds_its_instances() {
        let alive = instance("abc", InstanceStateName::Pending);
        assert_eq!(earlier("abc", [alive.clone()]), Earlier::Alive(vec![alive]));
    }

    #[test]
    fn a_token_whose_instances_are_gone_is_spent() {
        let gone = instance("abc", InstanceStateName::Terminated);
        assert_eq!(earlier("abc", [gone.clone()]), Earlier::Token("abc.2".into()));
        let again = instance("abc.2", InstanceStateName::ShuttingDown);
        assert_eq!(earlier("abc", [gone.clone(), again.clone()]), Earlier::Token("abc.3".into()));
        let alive = instance("abc.3", InstanceStateName::Running);
        assert_eq!(earlier("abc", [gone, again, alive.clone()]), Earlier::Alive(vec![alive]));
    }

    #[test]
    fn a_launch_of_one_node_names_it_in_the_launching_call() {
        let scope = Scope { id: "books-3f9a2c81".into(), name: "books".into() };
        let launch = |nodes: &[&str]| Launch {
            client_token: "abc".into(),
            nodes: nodes.iter().map(|it| (*it).to_owned()).collect(),
            pool: "general".into(),
            image: "ami-1".into(),
            instance_type: "t3.medium".into(),
            subnet: "subnet-1".into(),
            groups: vec!["sg-1".into()],
            key_name: "key".into(),
            user_data: String::new(),
            disk_gib: 20,
        };
        let shown = |nodes: &[&str]| {
            let tags = launch_tags(&scope, &launch(nodes), "abc", &ResourceType::Instance);
            tags.iter()
                .map(|it| format!("{}={}", it.key().unwrap_or_default(), it.value().unwrap_or_default()))
                .collect::<Vec<_>>()
                .join("\n")
        };
        insta::assert_snapshot!(shown(&["general-2"]), @"
        kubestrap:cluster-id=books-3f9a2c81
        kubestrap:cluster=books
        kubestrap:logical=node/general-2
        Name=books-general-2
        kubestrap:phase=launched
        kubestrap:launch=abc
        kubestrap:nodes=general-[2]
        ");
        insta::assert_snapshot!(shown(&["general-1", "general-2", "general-4"]), @"
        kubestrap:cluster-id=books-3f9a2c81
        kubestrap:cluster=books
        kubestrap:logical=pool/general
        Name=books-general
        kubestrap:phase=launched
        kubestrap:launch=abc
        kubestrap:nodes=general-[1-2,4]
        ");
    }
}
