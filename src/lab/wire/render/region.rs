//! Images, types, zones, regions, tags.

use super::page;
use crate::lab::wire::xml::Fields;
use crate::lab::world::{Image, InstanceType, Response, World};

/// The answer, if it is of this family.
pub fn render(response: &Response, world: &World) -> Fields {
    use Response as R;
    let config = world.config();
    match response {
        R::Images(all) => page("imagesSet", all, image),
        R::Types(all) => page("instanceTypeSet", all, instance_type),
        R::Offerings { items, location_type } => {
            page("instanceTypeOfferingSet", items, |(name, location)| {
                Fields::new()
                    .text("instanceType", name)
                    .text("locationType", location_type)
                    .text("location", location)
            })
        }
        R::Zones(zones) => Fields::new().items(
            "availabilityZoneInfo",
            zones.iter().map(|zone| {
                Fields::new()
                    .text("zoneName", zone)
                    .text("zoneId", config.zone_id(zone))
                    .text("zoneState", "available")
                    .text("zoneType", "availability-zone")
                    .text("regionName", &config.region)
                    .text("groupName", format!("{}-zg-1", config.region))
                    .text("networkBorderGroup", &config.region)
                    .text("optInStatus", "opt-in-not-required")
                    .items("messageSet", [])
            }),
        ),
        R::Regions(regions) => Fields::new().items(
            "regionInfo",
            regions.iter().map(|region| {
                Fields::new()
                    .text("regionName", region)
                    .text("regionEndpoint", format!("ec2.{region}.amazonaws.com"))
                    .text("optInStatus", "opt-in-not-required")
            }),
        ),
        R::TagList(all) => page("tagSet", all, |tag| {
            Fields::new()
                .text("resourceId", &tag.id)
                .text("resourceType", tag.kind)
                .text("key", &tag.key)
                .text("value", &tag.value)
        }),
        _ => Fields::new(),
    }
}

fn image(it: &Image) -> Fields {
    let ebs = Fields::new()
        .text("snapshotId", &it.snapshot)
        .text("volumeSize", it.size)
        .text("deleteOnTermination", true)
        .text("volumeType", "gp3")
        .text("encrypted", false);
    Fields::new()
        .text("imageId", &it.id)
        .text("imageLocation", format!("{}/{}", it.owner, it.name))
        .text("imageState", "available")
        .text("imageOwnerId", &it.owner)
        .text("creationDate", &it.created)
        .text("isPublic", true)
        .text("architecture", &it.architecture)
        .text("imageType", "machine")
        .text("name", &it.name)
        .text("description", &it.description)
        .text("platformDetails", "Linux/UNIX")
        .text("usageOperation", "RunInstances")
        .text("rootDeviceType", "ebs")
        .text("rootDeviceName", &it.root_device)
        .items("blockDeviceMapping", [Fields::new().text("deviceName", &it.root_device).fields("ebs", ebs)])
        .text("virtualizationType", "hvm")
        .text("hypervisor", "xen")
        .text("enaSupport", true)
        .tags(&it.tags)
}

fn instance_type(it: &InstanceType) -> Fields {
    let threads = if it.architecture == "x86_64" { 2 } else { 1 };
    let processor = Fields::new().texts("supportedArchitectures", [it.architecture]);
    let vcpu = Fields::new()
        .text("defaultVCpus", it.vcpus)
        .text("defaultCores", it.vcpus / threads)
        .text("defaultThreadsPerCore", threads);
    let ebs = Fields::new()
        .text("ebsOptimizedSupport", "default")
        .text("encryptionSupport", "supported")
        .text("nvmeSupport", "required");
    let network = Fields::new()
        .text("networkPerformance", it.network)
        .text("maximumNetworkInterfaces", it.interfaces)
        .text("maximumNetworkCards", 1)
        .text("defaultNetworkCardIndex", 0)
        .text("ipv4AddressesPerInterface", it.addresses)
        .text("ipv6AddressesPerInterface", it.addresses)
        .text("ipv6Supported", true)
        .text("enaSupport", "required")
        .text("efaSupported", false);
    Fields::new()
        .text("instanceType", it.name)
        .text("currentGeneration", true)
        .text("freeTierEligible", false)
        .texts("supportedUsageClasses", ["on-demand"])
        .texts("supportedRootDeviceTypes", ["ebs"])
        .texts("supportedVirtualizationTypes", ["hvm"])
        .text("bareMetal", false)
        .text("hypervisor", "nitro")
        .fields("processorInfo", processor)
        .fields("vCpuInfo", vcpu)
        .fields("memoryInfo", Fields::new().text("sizeInMiB", it.memory))
        .text("instanceStorageSupported", false)
        .fields("ebsInfo", ebs)
        .fields("networkInfo", network)
        .text("hibernationSupported", false)
        .text("burstablePerformanceSupported", it.burstable())
        .text("dedicatedHostsSupported", false)
        .text("autoRecoverySupported", true)
}
