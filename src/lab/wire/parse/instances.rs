//! Instances, interfaces, volumes.

use crate::lab::wire::params::Scope;
use crate::lab::world::{
    ApiError, ApiResult, InstanceChange, MetadataSpec, Request, RunInstances, VolumeSpec,
};

/// The call, if it is of this family.
pub fn parse(action: &str, p: &Scope<'_>) -> ApiResult<Option<Request>> {
    use Request as R;
    Ok(Some(match action {
        "RunInstances" => R::RunInstances(Box::new(run(p)?)),
        "DescribeInstances" => R::DescribeInstances(p.query("InstanceId")?),
        "DescribeInstanceStatus" => R::DescribeInstanceStatus {
            query: p.query("InstanceId")?,
            include_all: p.flag("IncludeAllInstances")?.unwrap_or(false),
        },
        "TerminateInstances" => {
            // Here a machine goes at once, forced or not.
            p.flag("Force")?;
            p.flag("SkipOsShutdown")?;
            R::TerminateInstances { ids: p.texts("InstanceId") }
        }
        "StopInstances" => {
            if p.flag("Hibernate")? == Some(true) {
                return Err(ApiError::new(
                    "UnsupportedHibernationConfiguration",
                    "The instances are not configured for hibernation.",
                ));
            }
            p.flag("SkipOsShutdown")?;
            R::StopInstances { ids: p.texts("InstanceId"), force: p.flag("Force")?.unwrap_or(false) }
        }
        "StartInstances" => R::StartInstances { ids: p.texts("InstanceId") },
        "RebootInstances" => R::RebootInstances { ids: p.texts("InstanceId") },
        "ModifyInstanceAttribute" => {
            R::ModifyInstanceAttribute { id: p.need("InstanceId")?, change: change(p)? }
        }
        "DescribeInstanceAttribute" => {
            R::DescribeInstanceAttribute { id: p.need("InstanceId")?, attribute: p.need("Attribute")? }
        }
        "ModifyInstanceMetadataOptions" => {
            R::ModifyInstanceMetadataOptions { id: p.need("InstanceId")?, metadata: metadata(p)? }
        }
        "GetConsoleOutput" => {
            p.flag("Latest")?;
            R::GetConsoleOutput { id: p.need("InstanceId")? }
        }
        "DescribeNetworkInterfaces" => R::DescribeNetworkInterfaces(p.query("NetworkInterfaceId")?),
        "ModifyNetworkInterfaceAttribute" => R::ModifyNetworkInterfaceAttribute {
            id: p.need("NetworkInterfaceId")?,
            groups: p.texts("SecurityGroupId"),
            source_dest_check: p.attribute("SourceDestCheck")?,
            description: p.member("Description").text("Value"),
        },
        "DescribeVolumes" => R::DescribeVolumes(p.query("VolumeId")?),
        _ => return Ok(None),
    }))
}

fn metadata(p: &Scope<'_>) -> ApiResult<MetadataSpec> {
    if let Some(on) = p.text("HttpProtocolIpv6").filter(|value| value != "disabled") {
        return Err(ApiError::unsupported(format!("The lab is IPv4 only: HttpProtocolIpv6 {on}.")));
    }
    Ok(MetadataSpec {
        tokens: p.text("HttpTokens"),
        hop_limit: p.number("HttpPutResponseHopLimit")?,
        endpoint: p.text("HttpEndpoint"),
        tags: p.text("InstanceMetadataTags"),
    })
}

fn run(p: &Scope<'_>) -> ApiResult<RunInstances> {
    let mut launch = RunInstances {
        image: p.need("ImageId")?,
        instance_type: p.text("InstanceType").unwrap_or_else(|| "m1.small".into()),
        min_count: p.number("MinCount")?.ok_or_else(|| ApiError::missing("MinCount"))?,
        max_count: p.number("MaxCount")?.ok_or_else(|| ApiError::missing("MaxCount"))?,
        key_name: p.text("KeyName"),
        groups: p.texts("SecurityGroupId"),
        subnet: p.text("SubnetId"),
        user_data: p.text("UserData"),
        private_ip: p.text("PrivateIpAddress"),
        metadata: metadata(&p.member("MetadataOptions"))?,
        tags: p.tag_specs()?,
        client_token: p.text("ClientToken").filter(|token| !token.is_empty()),
        disable_api_termination: p.flag("DisableApiTermination")?.unwrap_or(false),
        disable_api_stop: p.flag("DisableApiStop")?.unwrap_or(false),
        shutdown_behavior: p.text("InstanceInitiatedShutdownBehavior"),
        monitoring: p.member("Monitoring").flag("Enabled")?.unwrap_or(false),
        ebs_optimized: p.flag("EbsOptimized")?.unwrap_or(false),
        ..RunInstances::default()
    };
    let placement = p.member("Placement");
    launch.zone = placement.text("AvailabilityZone");
    if let Some(tenancy) = placement.text("Tenancy").filter(|tenancy| tenancy != "default") {
        return Err(ApiError::unsupported(format!("The lab has default tenancy only, not {tenancy}.")));
    }
    interfaces(p, &mut launch)?;
    match p.members("BlockDeviceMapping").as_slice() {
        [] => {}
        [one] => launch.volume = volume(one)?,
        _ => return Err(ApiError::unsupported("The lab has one volume per instance, its root.")),
    }
    Ok(launch)
}

/// `NetworkInterface.1`: the other way to say subnet, groups and public address.
fn interfaces(p: &Scope<'_>, launch: &mut RunInstances) -> ApiResult<()> {
    let interface = match p.members("NetworkInterface").as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        _ => return Err(ApiError::unsupported("The lab has one network interface per instance.")),
    };
    if !launch.groups.is_empty() || launch.subnet.is_some() {
        return Err(ApiError::combination(
            "Network interfaces and an instance-level security groups may not be specified on the same request",
        ));
    }
    if interface.number("DeviceIndex")?.unwrap_or(0) != 0 {
        return Err(ApiError::value("The first network interface must have device index 0."));
    }
    if interface.flag("DeleteOnTermination")? == Some(false) {
        return Err(ApiError::unsupported("The lab's interfaces go with their instances."));
    }
    interface.text("Description");
    launch.in_interface = true;
    launch.subnet = interface.text("SubnetId");
    launch.groups = interface.texts("SecurityGroupId");
    launch.public_ip = interface.flag("AssociatePublicIpAddress")?;
    launch.private_ip = interface.text("PrivateIpAddress").or(launch.private_ip.take());
    Ok(())
}

fn volume(p: &Scope<'_>) -> ApiResult<VolumeSpec> {
    let ebs = p.member("Ebs");
    if let Some(key) = ebs.text("KmsKeyId") {
        return Err(ApiError::new("InvalidKmsKey.NotFound", format!("The KMS key '{key}' does not exist")));
    }
    Ok(VolumeSpec {
        device: p.text("DeviceName"),
        size: ebs.number("VolumeSize")?,
        kind: ebs.text("VolumeType"),
        encrypted: ebs.flag("Encrypted")?,
        delete_on_termination: ebs.flag("DeleteOnTermination")?,
        iops: ebs.number("Iops")?,
        throughput: ebs.number("Throughput")?,
    })
}

/// The one attribute of a ModifyInstanceAttribute call, in any of its spellings.
fn change(p: &Scope<'_>) -> ApiResult<InstanceChange> {
    let mut changes = Vec::new();
    let groups = p.texts("GroupId");
    if !groups.is_empty() {
        changes.push(InstanceChange::Groups(groups));
    }
    changes.extend(p.attribute("SourceDestCheck")?.map(InstanceChange::SourceDestCheck));
    changes.extend(p.attribute("DisableApiTermination")?.map(InstanceChange::DisableApiTermination));
    changes.extend(p.attribute("DisableApiStop")?.map(InstanceChange::DisableApiStop));
    let value = |name| p.member(name).text("Value");
    changes.extend(value("InstanceInitiatedShutdownBehavior").map(InstanceChange::ShutdownBehavior));
    changes.extend(value("InstanceType").map(InstanceChange::InstanceType));
    changes.extend(value("UserData").map(InstanceChange::UserData));
    if let Some(attribute) = p.text("Attribute") {
        let value = p.need("Value")?;
        changes.push(match attribute.as_str() {
            "sourceDestCheck" => InstanceChange::SourceDestCheck(value == "true"),
            "disableApiTermination" => InstanceChange::DisableApiTermination(value == "true"),
            "disableApiStop" => InstanceChange::DisableApiStop(value == "true"),
            "instanceInitiatedShutdownBehavior" => InstanceChange::ShutdownBehavior(value),
            "instanceType" => InstanceChange::InstanceType(value),
            "userData" => InstanceChange::UserData(value),
            other => {
                return Err(ApiError::unsupported(format!("The lab cannot modify the attribute {other}.")));
            }
        });
    }
    match changes.len() {
        1 => Ok(changes.remove(0)),
        0 => Err(ApiError::missing("attribute")),
        _ => Err(ApiError::combination("Fields for multiple attribute types specified")),
    }
}
