//! What must be true of several values together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use ipnet::Ipv4Net;

use super::model::{ImageSource, ProviderKind, ServiceProtocol};
use super::parse::{Draft, NetworkDraft, PoolDraft};
use super::read::{Field, Mistake, Mistakes};
use super::{codes, defaults, instance};
use crate::image::Platform;

/// Addresses of every subnet that EC2 keeps for itself: the first four and the last.
const RESERVED_ADDRESSES: u64 = 5;
/// The shortest prefix of an admin range that is not "the internet".
const ADMIN_PREFIX: u8 = 8;

pub(super) fn check(draft: &Draft, mistakes: &mut Mistakes<'_>) {
    ranges(draft, mistakes);
    admission(&draft.network, mistakes);
    pools(draft, mistakes);
    services(draft, mistakes);
}

/// Refuses the second of two equal items.
pub(super) fn unique<T: Ord + Display>(path: &str, items: &[Field<T>], mistakes: &mut Mistakes<'_>) {
    let mut seen = BTreeSet::new();
    for item in items.iter().filter(|item| item.sound) {
        if !seen.insert(&item.value) {
            let message = format!("`{path}` has {} twice", item.value);
            mistakes.note(item.span.clone(), Mistake::new(codes::DUPLICATE, message, "keep one of the two"));
        }
    }
}

/// Refuses the second table with the same value under `key`.
fn unique_key<'a, T: Ord + Display + 'a>(
    what: &str,
    fields: impl Iterator<Item = &'a Field<T>>,
    mistakes: &mut Mistakes<'_>,
) {
    let mut seen = BTreeSet::new();
    for field in fields.filter(|field| field.sound) {
        if !seen.insert(&field.value) {
            let message = format!("there are two {what} {}", field.value);
            mistakes.note(
                field.span.clone(),
                Mistake::new(codes::DUPLICATE, message, "change one, or remove it"),
            );
        }
    }
}

fn size(
    path: &str,
    field: &Field<Ipv4Net>,
    prefixes: std::ops::RangeInclusive<u8>,
    why: &str,
    mistakes: &mut Mistakes<'_>,
) -> bool {
    let length = field.value.prefix_len();
    if !field.sound || prefixes.contains(&length) {
        return field.sound;
    }
    let (low, high) = prefixes.into_inner();
    let good =
        Ipv4Net::new(field.value.network(), length.clamp(low, high)).map_or(field.value, |net| net.trunc());
    let message = format!("`{path}` is {}, and {why} from /{low} to /{high}", field.value);
    let remedy = format!("write for example \"{good}\"");
    mistakes.note(field.span.clone(), Mistake::new(codes::CIDR_SIZE, message, remedy));
    false
}

fn ranges(draft: &Draft, mistakes: &mut Mistakes<'_>) {
    let network = &draft.network;
    let vpc_fits = size("network.vpc_cidr", &network.vpc, 16..=28, "EC2 makes VPCs", mistakes);
    if vpc_fits && size("network.subnet_cidr", &network.subnet, 16..=28, "EC2 makes subnets", mistakes) {
        subnet(draft, mistakes);
    }
    size("network.service_cidr", &network.service, 12..=28, "kubeadm accepts service ranges", mistakes);
    if size("network.pod_cidr", &network.pod, 8..=24, "kubeadm accepts pod ranges", mistakes) {
        pods(draft, mistakes);
    }
    let named = [
        ("network.vpc_cidr", &network.vpc),
        ("network.pod_cidr", &network.pod),
        ("network.service_cidr", &network.service),
    ];
    for (index, (one_path, one)) in named.iter().enumerate() {
        for (two_path, two) in &named[index + 1..] {
            let apart = !one.value.contains(&two.value) && !two.value.contains(&one.value);
            if apart || !one.sound || !two.sound {
                continue;
            }
            // A default cannot be wrong: the place is whichever the file says.
            let written = if two.span == network.table { one } else { two };
            let message = format!("`{one_path}` {} and `{two_path}` {} overlap", one.value, two.value);
            let remedy = format!("take ranges that are apart: the defaults are {}", apart_defaults());
            mistakes.note(written.span.clone(), Mistake::new(codes::CIDR_OVERLAP, message, remedy));
        }
    }
    if draft.provider.kind.sound && draft.provider.kind.value == ProviderKind::Lab {
        let lab = defaults::lab_range();
        for (path, field) in named {
            if field.sound && (field.value.contains(&lab) || lab.contains(&field.value)) {
                let message = format!("`{path}` {} overlaps with the lab's own {lab}", field.value);
                let remedy = format!("take another: the defaults are {}", apart_defaults());
                mistakes.note(field.span.clone(), Mistake::new(codes::CIDR_OVERLAP, message, remedy));
            }
        }
    }
}

fn apart_defaults() -> String {
    format!(
        "{} (VPC), {} (pods), {} (services)",
        defaults::vpc_cidr(),
        defaults::pod_cidr(),
        defaults::service_cidr()
    )
}

fn nodes(draft: &Draft) -> u64 {
    let workers: u64 = draft.workers.iter().map(|pool| u64::from(pool.count.value)).sum();
    workers + u64::from(draft.control_plane.count.value)
}

fn subnet(draft: &Draft, mistakes: &mut Mistakes<'_>) {
    let NetworkDraft { vpc, subnet, .. } = &draft.network;
    if !vpc.value.contains(&subnet.value) {
        let message =
            format!("`network.subnet_cidr` {} is not inside `network.vpc_cidr` {}", subnet.value, vpc.value);
        let remedy = format!("write \"{}\", or leave it out", defaults::subnet_of(vpc.value));
        mistakes.note(subnet.span.clone(), Mistake::new(codes::CIDR, message, remedy));
        return;
    }
    let addresses = (1_u64 << (32 - subnet.value.prefix_len())) - RESERVED_ADDRESSES;
    let nodes = nodes(draft);
    if nodes > addresses {
        let message = format!(
            "`network.subnet_cidr` {} has {addresses} addresses beside the 5 that EC2 keeps, and there are {nodes} nodes",
            subnet.value
        );
        mistakes.note(subnet.span.clone(), Mistake::new(codes::CIDR_SIZE, message, "take a larger range"));
    }
}

/// kubeadm makes the controller manager give every node a /24 of the pod range.
fn pods(draft: &Draft, mistakes: &mut Mistakes<'_>) {
    let pod = &draft.network.pod;
    let room = 1_u64 << (24 - pod.value.prefix_len().min(24));
    let nodes = nodes(draft);
    if nodes > room {
        let message = format!(
            "`network.pod_cidr` {} has room for {room} nodes of a /24 each, and there are {nodes}",
            pod.value
        );
        let bits = u8::try_from(nodes.next_power_of_two().trailing_zeros()).unwrap_or(16).min(16);
        let remedy = format!("take a range of /{} or larger", 24 - bits);
        mistakes.note(pod.span.clone(), Mistake::new(codes::CIDR_SIZE, message, remedy));
    }
}

fn admission(network: &NetworkDraft, mistakes: &mut Mistakes<'_>) {
    unique("network.admin_cidrs", &network.admin.value, mistakes);
    if network.admin.sound && network.admin.value.is_empty() {
        let message =
            "`network.admin_cidrs` is empty: nobody could reach SSH and the API server, nor could kubestrap";
        let remedy = "write your own address as others see it, for example [\"203.0.113.7/32\"]";
        mistakes.note(network.admin.span.clone(), Mistake::new(codes::ADMIN, message, remedy));
    }
    for cidr in &network.admin.value {
        if cidr.value.prefix_len() < ADMIN_PREFIX && !network.allow_world_admin {
            let message = format!(
                "`network.admin_cidrs` has {}: SSH and the API server would be open to it",
                cidr.value
            );
            let remedy = "write your own address as others see it, for example \"203.0.113.7/32\"; \
                          if you mean it, add allow_world_admin = true to [network]";
            mistakes.note(cidr.span.clone(), Mistake::new(codes::ADMIN, message, remedy));
        }
    }
    unique_key("network.node_ports for port", network.node_ports.iter().map(|port| &port.port), mistakes);
    for (index, node_port) in network.node_ports.iter().enumerate() {
        let path = format!("network.node_ports[{index}].from");
        unique(&path, &node_port.from.value, mistakes);
        if node_port.from.sound && node_port.from.value.is_empty() {
            let message = format!("`{path}` is empty: nobody could reach the port");
            let remedy = "name the ranges of its clients, or remove the port";
            mistakes.note(node_port.from.span.clone(), Mistake::new(codes::NODE_PORT, message, remedy));
        }
    }
}

fn pools(draft: &Draft, mistakes: &mut Mistakes<'_>) {
    unique_key("worker pools named", draft.workers.iter().map(|pool| &pool.name), mistakes);
    for pool in &draft.workers {
        if pool.name.sound && pool.name.value == draft.control_plane.name.value {
            let message =
                format!("`{}.name` is {:?}, which is the control plane's", pool.path, pool.name.value);
            mistakes.note(pool.name.span.clone(), Mistake::new(codes::NAME, message, "write another name"));
        }
    }
    let control_plane = &draft.control_plane;
    if control_plane.instance_type.sound {
        let path = format!("{}.instance_type", control_plane.path);
        if let Some(mistake) = instance::too_small(&path, &control_plane.instance_type.value) {
            mistakes.note(control_plane.instance_type.span.clone(), mistake);
        }
    }
    machine_image(draft, mistakes);
}

/// One machine image is for one architecture.
fn machine_image(draft: &Draft, mistakes: &mut Mistakes<'_>) {
    let image = &draft.provider.image;
    let fixed = match &image.value {
        ImageSource::Ami(id) => id,
        ImageSource::Ssm(parameter) if !parameter.contains("{arch}") => parameter,
        ImageSource::Ssm(_) => return,
    };
    let pools: Vec<&PoolDraft> = std::iter::once(&draft.control_plane).chain(&draft.workers).collect();
    let sound = pools.iter().filter(|pool| pool.instance_type.sound);
    let mut by_platform: BTreeMap<Platform, &str> = BTreeMap::new();
    for pool in sound {
        by_platform
            .entry(instance::architecture(&pool.instance_type.value))
            .or_insert(&pool.instance_type.value);
    }
    if let (true, Some(amd), Some(arm)) =
        (image.sound, by_platform.get(&Platform::LinuxAmd64), by_platform.get(&Platform::LinuxArm64))
    {
        let message =
            format!("`provider.image` {fixed} is one image, and {amd} is amd64 while {arm} is arm64");
        let remedy = "leave it out for Debian 13, or write \"ssm:/parameter/{arch}\"";
        mistakes.note(image.span.clone(), Mistake::new(codes::ARCH, message, remedy));
    }
}

fn services(draft: &Draft, mistakes: &mut Mistakes<'_>) {
    unique_key("services named", draft.services.iter().map(|service| &service.name), mistakes);
    let mut node_ports: BTreeMap<u16, &str> = BTreeMap::new();
    for service in &draft.services {
        let (path, name) = (&service.path, &service.name.value);
        if let (Some(port), true) = (service.node_port.value, service.node_port.sound) {
            if let Some(other) = node_ports.insert(port, name) {
                let message = format!("`{path}.node_port` is {port}, and so is that of {other}");
                let remedy = "take another from 30000 to 32767";
                mistakes
                    .note(service.node_port.span.clone(), Mistake::new(codes::DUPLICATE, message, remedy));
            }
            let declared = draft.network.node_ports.iter().any(|declared| declared.port.value == port);
            let readable = draft.network.node_ports.iter().all(|declared| declared.port.sound);
            if !declared && readable {
                let message = format!(
                    "`{path}.node_port` is {port}, which `network.node_ports` does not have: nobody could reach it"
                );
                let remedy = format!(
                    "add {{ port = {port}, from = [\"0.0.0.0/0\"] }} to network.node_ports, or narrower ranges"
                );
                mistakes
                    .note(service.node_port.span.clone(), Mistake::new(codes::NODE_PORT, message, remedy));
            }
        }
        for pool in draft.workers.iter().filter(|pool| pool.instance_type.sound && service.platforms.sound) {
            let platform = instance::architecture(&pool.instance_type.value);
            if !service.platforms.value.iter().any(|built| built.value == platform) {
                let message = format!(
                    "`{path}.platforms` lacks {platform}, which the nodes of pool {} are ({}): the image would not run there",
                    pool.name.value, pool.instance_type.value
                );
                let remedy = format!("add \"{platform}\", or leave platforms out for both");
                mistakes.note(service.platforms.span.clone(), Mistake::new(codes::ARCH, message, remedy));
                break;
            }
        }
        if service.check.value.is_some() {
            let why = match (service.protocol.value, service.node_port.value) {
                (ServiceProtocol::Grpc, _) if service.protocol.sound => {
                    "speaks gRPC, and a check is an HTTP request"
                }
                (_, None) if service.node_port.sound => "has no node_port, and a check goes through it",
                _ => continue,
            };
            let message = format!("`{path}.check` cannot be made: {name} {why}");
            let remedy = "remove the check, or make it an HTTP service with a node_port";
            mistakes.note(service.check.span.clone(), Mistake::new(codes::CHECK, message, remedy));
        }
    }
}
