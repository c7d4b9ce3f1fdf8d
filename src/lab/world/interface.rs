//! Network interfaces and volumes.

use super::World;
use super::error::{ApiError, ApiResult};
use super::model::{Interface, Volume};
use super::query::{Field, Page, Query};
use super::response::{InterfaceView, Response};

fn public_ip(world: &World, eni: &Interface) -> Vec<String> {
    world.public_of(eni).map(|public| public.ip.to_string()).into_iter().collect()
}

/// Filters of DescribeNetworkInterfaces.
const FIELDS: &[Field<Interface>] = &[
    ("network-interface-id", |_, eni| vec![eni.id.clone()]),
    ("vpc-id", |_, eni| vec![eni.vpc.clone()]),
    ("subnet-id", |_, eni| vec![eni.subnet.clone()]),
    ("availability-zone", |_, eni| vec![eni.zone.clone()]),
    ("group-id", |_, eni| eni.groups.clone()),
    ("group-name", |world, eni| world.group_names(&eni.groups).into_iter().map(|(_, name)| name).collect()),
    ("attachment.instance-id", |_, eni| vec![eni.instance.clone()]),
    ("attachment.attachment-id", |_, eni| vec![eni.attachment.clone()]),
    ("attachment.status", |_, _| vec!["attached".into()]),
    ("attachment.device-index", |_, _| vec!["0".into()]),
    ("private-ip-address", |_, eni| vec![eni.private_ip.to_string()]),
    ("addresses.private-ip-address", |_, eni| vec![eni.private_ip.to_string()]),
    ("private-dns-name", |world, eni| vec![world.private_dns(eni)]),
    ("association.public-ip", public_ip),
    ("addresses.association.public-ip", public_ip),
    ("association.allocation-id", |world, eni| {
        world.public_of(eni).and_then(|public| public.elastic).map(|(id, _)| id).into_iter().collect()
    }),
    ("association.association-id", |world, eni| {
        world.public_of(eni).and_then(|public| public.elastic).map(|(_, id)| id).into_iter().collect()
    }),
    ("mac-address", |_, eni| vec![eni.mac.clone()]),
    ("description", |_, eni| vec![eni.description.clone()]),
    ("interface-type", |_, _| vec!["interface".into()]),
    ("owner-id", |world, _| vec![world.config.account.clone()]),
    ("requester-managed", |_, _| vec!["false".into()]),
    ("source-dest-check", |_, eni| vec![eni.source_dest_check.to_string()]),
    ("status", |_, _| vec!["in-use".into()]),
];

/// Filters of DescribeVolumes.
pub(super) const VOLUME_FIELDS: &[Field<Volume>] = &[
    ("volume-id", |_, volume| vec![volume.id.clone()]),
    ("attachment.instance-id", |_, volume| volume.instance.iter().cloned().collect()),
    ("attachment.device", |_, volume| volume.instance.iter().map(|_| volume.device.clone()).collect()),
    ("attachment.status", |_, volume| volume.instance.iter().map(|_| "attached".into()).collect()),
    ("attachment.delete-on-termination", |_, volume| {
        volume.instance.iter().map(|_| volume.delete_on_termination.to_string()).collect()
    }),
    ("availability-zone", |_, volume| vec![volume.zone.clone()]),
    ("encrypted", |_, volume| vec![volume.encrypted.to_string()]),
    ("size", |_, volume| vec![volume.size.to_string()]),
    ("snapshot-id", |_, volume| vec![volume.snapshot.clone()]),
    ("status", |_, volume| vec![volume.status().into()]),
    ("volume-type", |_, volume| vec![volume.kind.clone()]),
];

impl Volume {
    /// `in-use`, or `available` once its instance is gone.
    pub fn status(&self) -> &'static str {
        if self.instance.is_some() { "in-use" } else { "available" }
    }
}

impl World {
    /// `ip-10-0-0-4.ap-northeast-1.compute.internal`.
    fn private_dns(&self, interface: &Interface) -> String {
        let dashed = interface.private_ip.to_string().replace('.', "-");
        let region = match self.config.region.as_str() {
            "us-east-1" => "ec2.internal".to_owned(),
            region => format!("{region}.compute.internal"),
        };
        format!("ip-{dashed}.{region}")
    }

    pub(super) fn interface_view(&self, interface: &Interface) -> InterfaceView {
        InterfaceView {
            groups: self.group_names(&interface.groups),
            public: self.public_of(interface),
            private_dns: self.private_dns(interface),
            interface: interface.clone(),
        }
    }

    pub(super) fn describe_interfaces(&self, query: &Query) -> ApiResult<Response> {
        let Page { items, next_token } = self.list(&self.interfaces, query, FIELDS)?;
        let items = items.iter().map(|interface| self.interface_view(interface)).collect();
        Ok(Response::Interfaces(Page { items, next_token }))
    }

    pub(super) fn modify_interface(
        &mut self,
        id: &str,
        groups: Vec<String>,
        source_dest_check: Option<bool>,
        description: Option<String>,
    ) -> ApiResult<Response> {
        let vpc = self.interfaces.get(id)?.vpc.clone();
        let attributes = [!groups.is_empty(), source_dest_check.is_some(), description.is_some()];
        if attributes.iter().filter(|given| **given).count() != 1 {
            return Err(ApiError::combination("Exactly one attribute can be modified at a time"));
        }
        let groups = if groups.is_empty() { None } else { Some(self.groups_for(&vpc, &groups)?) };
        let interface = self.interfaces.get_mut(id)?;
        if let Some(groups) = groups {
            interface.groups = groups;
        }
        if let Some(check) = source_dest_check {
            interface.source_dest_check = check;
        }
        if let Some(description) = description {
            interface.description = description;
        }
        Ok(Response::Done)
    }
}
