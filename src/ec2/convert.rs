//! EC2's words in ours, and our tags in EC2's.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{self as ec2, Filter, InstanceStateName, ResourceType, Tag, TagSpecification};

use super::naming::{self, Unnamed};
use crate::ports::{Instance, InstanceState, NodePhase, Scope, tag};

/// A filter with one name.
pub(super) fn filter<V: Into<String>>(name: &str, values: impl IntoIterator<Item = V>) -> Filter {
    let values = values.into_iter().map(Into::into).collect();
    Filter::builder().name(name).set_values(Some(values)).build()
}

/// The filter for what is ours.
pub(super) fn ours(scope: &Scope) -> Filter {
    filter(&format!("tag:{}", tag::CLUSTER), [&scope.id])
}

/// The tags that every resource gets, for one logical name. `Name` is what consoles show.
pub(super) fn tags(scope: &Scope, logical: &str) -> Vec<Tag> {
    let last = logical.rsplit('/').next().unwrap_or(logical);
    [
        (tag::CLUSTER, scope.id.clone()),
        (tag::NAME, scope.name.clone()),
        (tag::LOGICAL, logical.to_owned()),
        ("Name", format!("{}-{last}", scope.name)),
    ]
    .into_iter()
    .map(|(key, value)| new_tag(key, value))
    .collect()
}

/// One tag.
pub(super) fn new_tag(key: &str, value: impl Into<String>) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// Tags for a creating call.
pub(super) fn tagged(kind: ResourceType, scope: &Scope, logical: &str) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).set_tags(Some(tags(scope, logical))).build()
}

/// The value of a tag.
pub(super) fn tag_value<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}

/// How a phase is written in its tag.
pub(super) fn phase_value(phase: NodePhase) -> &'static str {
    match phase {
        NodePhase::Launched => "launched",
        NodePhase::Joined => "joined",
        NodePhase::Ready => "ready",
    }
}

fn phase(tags: &[Tag]) -> NodePhase {
    [NodePhase::Joined, NodePhase::Ready]
        .into_iter()
        .find(|phase| tag_value(tags, tag::PHASE) == Some(phase_value(*phase)))
        .unwrap_or_default()
}

/// EC2's state; what it has not told yet is pending.
pub(super) fn state(instance: &ec2::Instance) -> InstanceState {
    match instance.state().and_then(|state| state.name()) {
        Some(InstanceStateName::Running) => InstanceState::Running,
        Some(InstanceStateName::Stopping) => InstanceState::Stopping,
        Some(InstanceStateName::Stopped) => InstanceState::Stopped,
        Some(InstanceStateName::ShuttingDown) => InstanceState::ShuttingDown,
        Some(InstanceStateName::Terminated) => InstanceState::Terminated,
        _ => InstanceState::Pending,
    }
}

/// An architecture as Kubernetes and OCI name it.
pub(super) fn arch(ec2: &str) -> &str {
    match ec2 {
        "x86_64" | "x86_64_mac" => "amd64",
        "arm64" | "arm64_mac" => "arm64",
        "i386" => "386",
        other => other,
    }
}

/// Instances with their node names, as people count them.
pub(super) fn instances<'a>(found: impl IntoIterator<Item = &'a ec2::Instance>) -> Vec<Instance> {
    let found: Vec<&ec2::Instance> = found.into_iter().collect();
    let unnamed: Vec<Unnamed> = found.iter().map(|instance| unnamed(instance)).collect();
    let names = naming::names(&unnamed);
    let mut instances: Vec<Instance> = found
        .into_iter()
        .map(|instance| {
            let id = instance.instance_id().unwrap_or_default();
            one(instance, names.get(id).cloned().unwrap_or_else(|| id.to_owned()))
        })
        .collect();
    instances.sort_by_cached_key(|instance| (naming::natural(&instance.node), instance.id.clone()));
    instances
}

fn unnamed(instance: &ec2::Instance) -> Unnamed {
    let pair = |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
    Unnamed {
        id: instance.instance_id().unwrap_or_default().to_owned(),
        index: instance.ami_launch_index().and_then(|index| index.try_into().ok()).unwrap_or(0),
        tags: instance.tags().iter().filter_map(pair).collect::<BTreeMap<_, _>>(),
    }
}

fn one(instance: &ec2::Instance, node: String) -> Instance {
    let reason = instance.state_reason().and_then(|reason| {
        let code = reason.code()?;
        Some(match reason.message() {
            // EC2 repeats the code in front of the message.
            Some(message) if message.starts_with(code) => message.to_owned(),
            Some(message) => format!("{code}: {message}"),
            None => code.to_owned(),
        })
    });
    // Groups are the interfaces'; EC2 repeats those of the first on the instance.
    let interfaces = instance.network_interfaces().iter().flat_map(|it| it.groups());
    let groups = instance.security_groups().iter().chain(interfaces);
    let mut groups: Vec<String> = groups.filter_map(|group| group.group_id().map(str::to_owned)).collect();
    groups.sort();
    groups.dedup();
    Instance {
        id: instance.instance_id().unwrap_or_default().to_owned(),
        node,
        state: state(instance),
        instance_type: instance.instance_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        arch: arch(instance.architecture().map(|arch| arch.as_str()).unwrap_or_default()).to_owned(),
        private_ip: instance.private_ip_address().and_then(|address| address.parse().ok()),
        public_ip: instance.public_ip_address().and_then(|address| address.parse().ok()),
        groups,
        phase: phase(instance.tags()),
        reason: reason.filter(|reason| !reason.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::{ArchitectureValues, GroupIdentifier, InstanceType, StateReason};

    use super::*;

    fn in_state(name: InstanceStateName) -> ec2::Instance {
        ec2::Instance::builder().state(ec2::InstanceState::builder().name(name).build()).build()
    }

    #[test]
    fn every_state_of_ec2_is_ours_and_a_missing_one_is_pending() {
        let table = [
            (InstanceStateName::Pending, "pending"),
            (InstanceStateName::Running, "running"),
            (InstanceStateName::Stopping, "stopping"),
            (InstanceStateName::Stopped, "stopped"),
            (InstanceStateName::ShuttingDown, "shutting-down"),
            (InstanceStateName::Terminated, "terminated"),
        ];
        for (theirs, ours) in table {
            assert_eq!(state(&in_state(theirs)).to_string(), ours);
        }
        assert_eq!(state(&ec2::Instance::builder().build()), InstanceState::Pending);
    }

    #[test]
    fn an_instance_is_read_with_its_tags_addresses_and_reason() {
        let instance = ec2::Instance::builder()
            .instance_id("i-1")
            .instance_type(InstanceType::T3Medium)
            .architecture(ArchitectureValues::X8664)
            .private_ip_address("10.0.0.5")
            .security_groups(GroupIdentifier::builder().group_id("sg-2").build())
            .security_groups(GroupIdentifier::builder().group_id("sg-1").build())
            .state(ec2::InstanceState::builder().name(InstanceStateName::Terminated).build())
            .state_reason(
                StateReason::builder()
                    .code("Server.InsufficientInstanceCapacity")
                    .message("Server.InsufficientInstanceCapacity: no room")
                    .build(),
            )
            .tags(new_tag(tag::LOGICAL, "node/general-1"))
            .tags(new_tag(tag::PHASE, "joined"))
            .build();
        insta::assert_debug_snapshot!(instances([&instance]), @r#"
        [
            Instance {
                id: "i-1",
                node: "general-1",
                state: Terminated,
                instance_type: "t3.medium",
                arch: "amd64",
                private_ip: Some(
                    10.0.0.5,
                ),
                public_ip: None,
                groups: [
                    "sg-1",
                    "sg-2",
                ],
                phase: Joined,
                reason: Some(
                    "Server.InsufficientInstanceCapacity: no room",
                ),
            },
        ]
        "#);
    }

    #[test]
    fn every_phase_is_read_back_as_it_was_written() {
        for written in [NodePhase::Launched, NodePhase::Joined, NodePhase::Ready] {
            assert_eq!(phase(&[new_tag(tag::PHASE, phase_value(written))]), written);
        }
    }
}
