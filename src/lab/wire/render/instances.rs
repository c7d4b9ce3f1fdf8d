//! Instances, interfaces, volumes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::page;
use crate::lab::wire::xml::Fields;
use crate::lab::world::{
    Instance, InstanceType, InstanceView, InterfaceView, Metadata, PublicView, ReservationView, Response,
    State, StatusView, Volume, World,
};

/// The answer, if it is of this family.
pub fn render(response: &Response, account: &str, world: &World) -> Fields {
    use Response as R;
    match response {
        R::Reservation(it) => reservation(it, account),
        R::Reservations(all) => page("reservationSet", all, |it| reservation(it, account)),
        R::Statuses(all) => page("instanceStatusSet", all, |it| status(it, world)),
        R::Changes(all) => Fields::new().items(
            "instancesSet",
            all.iter().map(|(id, before, after)| {
                Fields::new()
                    .text("instanceId", id)
                    .fields("currentState", state(*after))
                    .fields("previousState", state(*before))
            }),
        ),
        R::InstanceAttribute { instance, name } => attribute(instance, name),
        R::Metadata(it) => {
            Fields::new().text("instanceId", &it.id).fields("instanceMetadataOptions", metadata(&it.metadata))
        }
        R::Console { instance, at, text } => {
            Fields::new().text("instanceId", instance).time("timestamp", *at).text("output", text)
        }
        R::Interfaces(all) => page("networkInterfaceSet", all, |it| network_interface(it, world)),
        R::Volumes(all) => page("volumeSet", all, volume),
        _ => Fields::new(),
    }
}

fn state(state: State) -> Fields {
    Fields::new().text("code", state.code()).text("name", state.name())
}

fn groups(groups: &[(String, String)]) -> impl Iterator<Item = Fields> {
    groups.iter().map(|(id, name)| Fields::new().text("groupId", id).text("groupName", name))
}

fn on(enabled: bool) -> &'static str {
    if enabled { "enabled" } else { "disabled" }
}

fn reservation(it: &ReservationView, account: &str) -> Fields {
    Fields::new()
        .text("reservationId", &it.id)
        .text("ownerId", account)
        .items("groupSet", [])
        .items("instancesSet", it.instances.iter().map(|it| instance(it, account)))
}

fn metadata(it: &Metadata) -> Fields {
    Fields::new()
        .text("state", "applied")
        .text("httpTokens", if it.tokens_required { "required" } else { "optional" })
        .text("httpPutResponseHopLimit", it.hop_limit)
        .text("httpEndpoint", on(it.enabled))
        .text("httpProtocolIpv6", "disabled")
        .text("instanceMetadataTags", on(it.tags))
}

fn mapping(volume: &Volume) -> Fields {
    let ebs = Fields::new()
        .text("volumeId", &volume.id)
        .text("status", "attached")
        .time("attachTime", volume.created)
        .text("deleteOnTermination", volume.delete_on_termination);
    Fields::new().text("deviceName", &volume.device).fields("ebs", ebs)
}

fn instance(view: &InstanceView, account: &str) -> Fields {
    let it: &Instance = &view.instance;
    let eni = view.interface.as_ref();
    let public = eni.and_then(|eni| eni.public.as_ref());
    let cpu = InstanceType::named(&it.instance_type).map(|kind| {
        let threads = if kind.architecture == "x86_64" { 2 } else { 1 };
        Fields::new().text("coreCount", kind.vcpus / threads).text("threadsPerCore", threads)
    });
    let fields = Fields::new()
        .text("instanceId", &it.id)
        .text("imageId", &it.image)
        .fields("instanceState", state(it.state))
        .text("privateDnsName", eni.map(|eni| eni.private_dns.as_str()).unwrap_or_default())
        .text("dnsName", public.map(|public| public.dns.as_str()).unwrap_or_default())
        .text("reason", it.reason.as_ref().map(|(_, message)| message.as_str()).unwrap_or_default())
        .opt("keyName", it.key.as_ref().map(|(name, _)| name))
        .text("amiLaunchIndex", it.launch_index)
        .items("productCodes", [])
        .text("instanceType", &it.instance_type)
        .time("launchTime", it.launched)
        .fields(
            "placement",
            Fields::new().text("availabilityZone", &it.zone).text("groupName", "").text("tenancy", "default"),
        )
        .fields("monitoring", Fields::new().text("state", on(it.monitoring)))
        .opt("subnetId", eni.map(|_| &it.subnet))
        .opt("vpcId", eni.map(|_| &it.vpc))
        .opt("privateIpAddress", eni.map(|eni| eni.interface.private_ip))
        .opt("ipAddress", public.map(|public| public.ip))
        .opt("sourceDestCheck", eni.map(|eni| eni.interface.source_dest_check))
        .items("groupSet", eni.iter().flat_map(|eni| groups(&eni.groups)));
    let fields = match &it.reason {
        Some((code, message)) => {
            fields.fields("stateReason", Fields::new().text("code", code).text("message", message))
        }
        None => fields,
    };
    let fields = fields
        .text("architecture", &it.architecture)
        .text("rootDeviceType", "ebs")
        .text("rootDeviceName", &it.root_device)
        .items("blockDeviceMapping", view.volume.iter().map(mapping))
        .text("virtualizationType", "hvm")
        .text("hypervisor", "xen")
        .text("clientToken", it.client_token.as_deref().unwrap_or_default())
        .items("networkInterfaceSet", eni.map(|eni| attached_interface(eni, account)))
        .text("ebsOptimized", it.ebs_optimized)
        .text("enaSupport", true)
        .fields("hibernationOptions", Fields::new().text("configured", false))
        .fields("enclaveOptions", Fields::new().text("enabled", false))
        .fields("metadataOptions", metadata(&it.metadata))
        .fields("maintenanceOptions", Fields::new().text("autoRecovery", "default"))
        .text("platformDetails", "Linux/UNIX")
        .text("usageOperation", "RunInstances")
        .time("usageOperationUpdateTime", it.launched);
    match cpu {
        Some(cpu) => fields.fields("cpuOptions", cpu),
        None => fields,
    }
    .tags(&it.tags)
}

/// `association` of an interface; DescribeNetworkInterfaces shows the ids of an elastic one too.
fn association(public: &PublicView, account: &str, ids: bool) -> Fields {
    let elastic = public.elastic.as_ref().filter(|_| ids);
    Fields::new()
        .text("publicIp", public.ip)
        .text("publicDnsName", &public.dns)
        .text("ipOwnerId", if public.elastic.is_some() { account } else { "amazon" })
        .opt("allocationId", elastic.map(|(id, _)| id))
        .opt("associationId", elastic.map(|(_, id)| id))
}

/// What both shapes of an interface have.
fn interface(view: &InterfaceView, account: &str, ids: bool) -> Fields {
    let it = &view.interface;
    let public = || view.public.as_ref().map(|public| association(public, account, ids));
    let with_public = |fields: Fields| match public() {
        Some(public) => fields.fields("association", public),
        None => fields,
    };
    let address = Fields::new()
        .text("privateIpAddress", it.private_ip)
        .text("privateDnsName", &view.private_dns)
        .text("primary", true);
    let fields = Fields::new()
        .text("networkInterfaceId", &it.id)
        .text("subnetId", &it.subnet)
        .text("vpcId", &it.vpc)
        .text("description", &it.description)
        .text("ownerId", account)
        .text("status", "in-use")
        .text("macAddress", &it.mac)
        .text("privateIpAddress", it.private_ip)
        .text("privateDnsName", &view.private_dns)
        .text("sourceDestCheck", it.source_dest_check)
        .text("interfaceType", "interface")
        .items("groupSet", groups(&view.groups))
        .items("ipv6AddressesSet", [])
        .items("privateIpAddressesSet", [with_public(address)]);
    with_public(fields)
}

fn attachment(view: &InterfaceView) -> Fields {
    Fields::new()
        .text("attachmentId", &view.interface.attachment)
        .text("deviceIndex", 0)
        .text("networkCardIndex", 0)
        .text("status", "attached")
        .time("attachTime", view.interface.attached)
        .text("deleteOnTermination", true)
}

fn attached_interface(view: &InterfaceView, account: &str) -> Fields {
    interface(view, account, false).fields("attachment", attachment(view))
}

fn network_interface(view: &InterfaceView, world: &World) -> Fields {
    let account = &world.config().account;
    let it = &view.interface;
    let attachment = attachment(view).text("instanceId", &it.instance).text("instanceOwnerId", account);
    interface(view, account, true)
        .text("availabilityZone", &it.zone)
        .text("requesterManaged", false)
        .fields("attachment", attachment)
        .tags(&it.tags)
}

fn status(it: &StatusView, world: &World) -> Fields {
    let summary = || {
        let reachability = match it.status {
            "ok" => "passed",
            "initializing" => "initializing",
            _ => return Fields::new().text("status", it.status),
        };
        let detail = Fields::new().text("name", "reachability").text("status", reachability);
        Fields::new().text("status", it.status).items("details", [detail])
    };
    Fields::new()
        .text("instanceId", &it.id)
        .text("availabilityZone", &it.zone)
        .text("availabilityZoneId", world.config().zone_id(&it.zone))
        .fields("instanceState", state(it.state))
        .fields("systemStatus", summary())
        .fields("instanceStatus", summary())
}

fn attribute(view: &InstanceView, name: &str) -> Fields {
    let it = &view.instance;
    let fields = Fields::new().text("instanceId", &it.id);
    let value = |value: String| Fields::new().text("value", value);
    let eni = view.interface.as_ref();
    match name {
        "instanceType" => fields.fields("instanceType", value(it.instance_type.clone())),
        "userData" => {
            let data = it.user_data.as_ref().map(|data| value(BASE64.encode(data))).unwrap_or_default();
            fields.fields("userData", data)
        }
        "disableApiTermination" => {
            fields.fields("disableApiTermination", value(it.disable_api_termination.to_string()))
        }
        "disableApiStop" => fields.fields("disableApiStop", value(it.disable_api_stop.to_string())),
        "instanceInitiatedShutdownBehavior" => {
            let behavior = if it.terminate_on_shutdown { "terminate" } else { "stop" };
            fields.fields("instanceInitiatedShutdownBehavior", value(behavior.into()))
        }
        "rootDeviceName" => fields.fields("rootDeviceName", value(it.root_device.clone())),
        "sourceDestCheck" => {
            let check = eni.is_some_and(|eni| eni.interface.source_dest_check);
            fields.fields("sourceDestCheck", value(check.to_string()))
        }
        "ebsOptimized" => fields.fields("ebsOptimized", value(it.ebs_optimized.to_string())),
        "enaSupport" => fields.fields("enaSupport", value("true".into())),
        "groupSet" => fields.items("groupSet", eni.iter().flat_map(|eni| groups(&eni.groups))),
        "enclaveOptions" => fields.fields("enclaveOptions", Fields::new().text("enabled", false)),
        "blockDeviceMapping" => fields.items("blockDeviceMapping", view.volume.iter().map(mapping)),
        // The world checked the name: kernel, ramdisk and the like have no value here.
        _ => fields,
    }
}

fn volume(it: &Volume) -> Fields {
    let attachment = |instance: &String| {
        Fields::new()
            .text("volumeId", &it.id)
            .text("instanceId", instance)
            .text("device", &it.device)
            .text("status", "attached")
            .time("attachTime", it.created)
            .text("deleteOnTermination", it.delete_on_termination)
    };
    Fields::new()
        .text("volumeId", &it.id)
        .text("size", it.size)
        .text("snapshotId", &it.snapshot)
        .text("availabilityZone", &it.zone)
        .text("status", it.status())
        .time("createTime", it.created)
        .items("attachmentSet", it.instance.iter().map(attachment))
        .text("volumeType", &it.kind)
        .text("iops", it.iops)
        .opt("throughput", it.throughput)
        .text("encrypted", it.encrypted)
        .text("multiAttachEnabled", false)
        .tags(&it.tags)
}
