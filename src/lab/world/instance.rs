//! Instances: describe and modify.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::World;
use super::catalogue::InstanceType;
use super::error::{ApiError, ApiResult};
use super::launch::{terminates, user_data};
use super::model::{Instance, State};
use super::query::{Field, Page, Query, check_filters, glob, page};
use super::request::{InstanceChange, MetadataSpec};
use super::response::{InstanceView, InterfaceView, ReservationView, Response, StatusView};

fn eni<T>(world: &World, instance: &Instance, value: impl Fn(InterfaceView) -> T) -> Option<T> {
    let id = instance.interface.as_ref()?;
    world.interfaces.find(id).map(|interface| value(world.interface_view(interface)))
}

fn one(value: Option<String>) -> Vec<String> {
    value.into_iter().filter(|value| !value.is_empty()).collect()
}

fn group_ids(world: &World, instance: &Instance) -> Vec<String> {
    eni(world, instance, |view| view.interface.groups).unwrap_or_default()
}

fn group_names(world: &World, instance: &Instance) -> Vec<String> {
    eni(world, instance, |view| view.groups.into_iter().map(|(_, name)| name).collect()).unwrap_or_default()
}

fn public_ip(world: &World, instance: &Instance) -> Vec<String> {
    one(eni(world, instance, |view| view.public.map(|public| public.ip.to_string())).flatten())
}

fn private_ip(world: &World, instance: &Instance) -> Vec<String> {
    one(eni(world, instance, |view| view.interface.private_ip.to_string()))
}

/// Filters of DescribeInstances.
const FIELDS: &[Field<Instance>] = &[
    ("instance-id", |_, i| vec![i.id.clone()]),
    ("reservation-id", |_, i| vec![i.reservation.clone()]),
    ("instance-state-name", |_, i| vec![i.state.name().into()]),
    ("instance-state-code", |_, i| vec![i.state.code().to_string()]),
    ("instance-type", |_, i| vec![i.instance_type.clone()]),
    ("image-id", |_, i| vec![i.image.clone()]),
    ("architecture", |_, i| vec![i.architecture.clone()]),
    ("availability-zone", |_, i| vec![i.zone.clone()]),
    ("client-token", |_, i| one(i.client_token.clone())),
    ("key-name", |_, i| one(i.key.as_ref().map(|(name, _)| name.clone()))),
    ("launch-index", |_, i| vec![i.launch_index.to_string()]),
    ("owner-id", |world, _| vec![world.config.account.clone()]),
    ("vpc-id", |world, i| one(eni(world, i, |view| view.interface.vpc))),
    ("subnet-id", |world, i| one(eni(world, i, |view| view.interface.subnet))),
    ("private-ip-address", private_ip),
    ("network-interface.addresses.private-ip-address", private_ip),
    ("network-interface.private-ip-address", private_ip),
    ("ip-address", public_ip),
    ("network-interface.association.public-ip", public_ip),
    ("network-interface.addresses.association.public-ip", public_ip),
    ("private-dns-name", |world, i| one(eni(world, i, |view| view.private_dns))),
    ("dns-name", |world, i| one(eni(world, i, |view| view.public.map(|public| public.dns)).flatten())),
    ("network-interface.network-interface-id", |_, i| one(i.interface.clone())),
    ("network-interface.subnet-id", |world, i| one(eni(world, i, |view| view.interface.subnet))),
    ("network-interface.vpc-id", |world, i| one(eni(world, i, |view| view.interface.vpc))),
    ("network-interface.group-id", group_ids),
    ("network-interface.group-name", group_names),
    ("instance.group-id", group_ids),
    ("instance.group-name", group_names),
    ("source-dest-check", |world, i| one(eni(world, i, |view| view.interface.source_dest_check.to_string()))),
    ("metadata-options.http-tokens", |_, i| {
        vec![if i.metadata.tokens_required { "required" } else { "optional" }.into()]
    }),
    ("metadata-options.http-endpoint", |_, i| {
        vec![if i.metadata.enabled { "enabled" } else { "disabled" }.into()]
    }),
    ("metadata-options.http-put-response-hop-limit", |_, i| vec![i.metadata.hop_limit.to_string()]),
    ("monitoring-state", |_, i| vec![if i.monitoring { "enabled" } else { "disabled" }.into()]),
    ("root-device-name", |_, i| vec![i.root_device.clone()]),
    ("root-device-type", |_, _| vec!["ebs".into()]),
    ("block-device-mapping.volume-id", |_, i| vec![i.volume.clone()]),
    ("block-device-mapping.device-name", |_, i| vec![i.root_device.clone()]),
    ("hypervisor", |_, _| vec!["xen".into()]),
    ("virtualization-type", |_, _| vec!["hvm".into()]),
    ("tenancy", |_, _| vec!["default".into()]),
    ("state-reason-code", |_, i| one(i.reason.as_ref().map(|(code, _)| code.clone()))),
];

/// Attributes of DescribeInstanceAttribute.
const ATTRIBUTES: [&str; 16] = [
    "blockDeviceMapping",
    "disableApiStop",
    "disableApiTermination",
    "ebsOptimized",
    "enaSupport",
    "enclaveOptions",
    "groupSet",
    "instanceInitiatedShutdownBehavior",
    "instanceType",
    "kernel",
    "productCodes",
    "ramdisk",
    "rootDeviceName",
    "sourceDestCheck",
    "sriovNetSupport",
    "userData",
];

/// Filters of DescribeInstanceStatus.
const STATUS_FILTERS: [&str; 5] = [
    "availability-zone",
    "instance-state-code",
    "instance-state-name",
    "instance-status.status",
    "system-status.status",
];

impl World {
    pub(super) fn instance_view(&self, instance: &Instance) -> InstanceView {
        InstanceView {
            instance: instance.clone(),
            interface: eni(self, instance, |view| view),
            volume: self.volumes.find(&instance.volume).cloned(),
        }
    }

    pub(super) fn describe_instances(&self, query: &Query) -> ApiResult<Response> {
        if !query.ids.is_empty() {
            self.check_instances(&query.ids)?;
        }
        let mut chosen: Vec<Instance> =
            self.select(&self.instances, query, FIELDS)?.into_iter().cloned().collect();
        let key = |i: &Instance| format!("{} {:08}", i.reservation, i.launch_index);
        chosen.sort_by_key(key);
        let Page { items, next_token } = page(chosen, query, key)?;
        let mut reservations: Vec<ReservationView> = Vec::new();
        for instance in items {
            let view = self.instance_view(&instance);
            match reservations.last_mut() {
                Some(last) if last.id == instance.reservation => last.instances.push(view),
                _ => reservations.push(ReservationView { id: instance.reservation, instances: vec![view] }),
            }
        }
        Ok(Response::Reservations(Page { items: reservations, next_token }))
    }

    pub(super) fn instance_status(&self, query: &Query, include_all: bool) -> ApiResult<Response> {
        if !query.ids.is_empty() {
            self.check_instances(&query.ids)?;
        }
        check_filters(&query.filters, |name| STATUS_FILTERS.contains(&name), false)?;
        let view = |i: &Instance| StatusView {
            id: i.id.clone(),
            zone: i.zone.clone(),
            state: i.state,
            status: match i.state {
                State::Running if self.now >= i.since.after(self.config.delays.status) => "ok",
                State::Running | State::Pending => "initializing",
                _ => "not-applicable",
            },
        };
        let passes = |view: &StatusView| {
            query.filters.iter().all(|filter| {
                let value = match filter.name.as_str() {
                    "availability-zone" => view.zone.clone(),
                    "instance-state-code" => view.state.code().to_string(),
                    "instance-state-name" => view.state.name().to_owned(),
                    _ => view.status.to_owned(),
                };
                filter.values.iter().any(|wanted| glob(wanted, &value))
            })
        };
        let chosen: Vec<StatusView> = self
            .instances
            .visible()
            .filter(|i| query.ids.is_empty() || query.ids.contains(&i.id))
            .filter(|i| include_all || i.state == State::Running)
            .map(view)
            .filter(passes)
            .collect();
        page(chosen, query, |view| view.id.clone()).map(Response::Statuses)
    }

    pub(super) fn modify_instance(&mut self, id: &str, change: InstanceChange) -> ApiResult<Response> {
        let instance = self.instances.get(id)?.clone();
        if instance.state == State::Terminated {
            return Err(ApiError::new(
                "IncorrectInstanceState",
                format!("The instance '{id}' is not in a state from which its attributes can be modified."),
            ));
        }
        let stopped = || match instance.state {
            State::Stopped => Ok(()),
            _ => Err(ApiError::new(
                "IncorrectInstanceState",
                format!("The instance '{id}' is not in the 'stopped' state."),
            )),
        };
        let interface = instance.interface.clone().unwrap_or_default();
        match change {
            InstanceChange::SourceDestCheck(check) => {
                self.interfaces.get_mut(&interface)?.source_dest_check = check;
            }
            InstanceChange::Groups(groups) => {
                let groups = self.groups_for(&instance.vpc, &groups)?;
                self.interfaces.get_mut(&interface)?.groups = groups;
            }
            InstanceChange::DisableApiTermination(on) => {
                self.instances.get_mut(id)?.disable_api_termination = on;
            }
            InstanceChange::DisableApiStop(on) => self.instances.get_mut(id)?.disable_api_stop = on,
            InstanceChange::ShutdownBehavior(behavior) => {
                self.instances.get_mut(id)?.terminate_on_shutdown = terminates(&behavior)?;
            }
            InstanceChange::InstanceType(name) => {
                stopped()?;
                let kind = InstanceType::named(&name)
                    .filter(|kind| kind.architecture == instance.architecture)
                    .ok_or_else(|| ApiError::value(format!("Invalid value '{name}' for InstanceType.")))?;
                self.instances.get_mut(id)?.instance_type = kind.name.to_owned();
            }
            InstanceChange::UserData(text) => {
                stopped()?;
                self.instances.get_mut(id)?.user_data = Some(user_data(&text)?);
            }
        }
        Ok(Response::Done)
    }

    pub(super) fn instance_attribute(&self, id: &str, name: String) -> ApiResult<Response> {
        if !ATTRIBUTES.contains(&name.as_str()) {
            return Err(ApiError::value(format!(
                "Value ({name}) for parameter attribute is invalid. Unknown attribute."
            )));
        }
        let instance = Box::new(self.instance_view(self.instances.get(id)?));
        Ok(Response::InstanceAttribute { instance, name })
    }

    pub(super) fn modify_metadata(&mut self, id: &str, spec: &MetadataSpec) -> ApiResult<Response> {
        let instance = self.instances.get_mut(id)?;
        if matches!(instance.state, State::ShuttingDown | State::Terminated) {
            return Err(ApiError::new(
                "IncorrectInstanceState",
                format!(
                    "The instance '{id}' is not in a state from which its metadata options can be modified."
                ),
            ));
        }
        instance.metadata = instance.metadata.clone().with(spec)?;
        Ok(Response::Metadata(Box::new(instance.clone())))
    }

    pub(super) fn console_output(&self, id: &str) -> ApiResult<Response> {
        let instance = self.instances.get(id)?;
        let text = self.console.get(id).cloned().unwrap_or_default();
        Ok(Response::Console { instance: instance.id.clone(), at: instance.since, text: BASE64.encode(text) })
    }
}
