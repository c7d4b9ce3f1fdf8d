//! RunInstances.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::World;
use super::catalogue::{Image, InstanceType};
use super::error::{ApiError, ApiResult};
use super::model::{Instance, Interface, Metadata, State, Subnet, Volume};
use super::request::{MetadataSpec, Request, RunInstances};
use super::response::{ReservationView, Response};
use super::store::Resource;
use super::tag::tags_of;

/// EC2's limit for user data, before base64.
const MOST_USER_DATA: usize = 16_384;

/// Resource types whose tags RunInstances takes.
const TAGGABLE: [&str; 3] = ["instance", "volume", "network-interface"];

/// Decodes user data and checks its size.
///
/// # Errors
/// What is no base64, or more than 16 KiB.
pub(super) fn user_data(text: &str) -> ApiResult<Vec<u8>> {
    let bytes = BASE64.decode(text).map_err(|_| ApiError::value("Invalid BASE64 encoding of user data."))?;
    if bytes.len() > MOST_USER_DATA {
        return Err(ApiError::value(format!("User data is limited to {MOST_USER_DATA} bytes")));
    }
    Ok(bytes)
}

/// `stop` or `terminate`.
///
/// # Errors
/// Anything else.
pub(super) fn terminates(behavior: &str) -> ApiResult<bool> {
    match behavior {
        "stop" => Ok(false),
        "terminate" => Ok(true),
        other => Err(ApiError::value(format!(
            "Value ({other}) for parameter instanceInitiatedShutdownBehavior is invalid."
        ))),
    }
}

impl Metadata {
    /// These options with the given ones changed.
    ///
    /// # Errors
    /// Values that EC2 does not take.
    pub(super) fn with(mut self, spec: &MetadataSpec) -> ApiResult<Self> {
        fn choose(value: &Option<String>, name: &str, yes: &str, no: &str, into: &mut bool) -> ApiResult<()> {
            match value.as_deref() {
                None => {}
                Some(value) if value == yes => *into = true,
                Some(value) if value == no => *into = false,
                Some(other) => {
                    return Err(ApiError::value(format!("Value ({other}) for parameter {name} is invalid.")));
                }
            }
            Ok(())
        }
        choose(&spec.tokens, "HttpTokens", "required", "optional", &mut self.tokens_required)?;
        choose(&spec.endpoint, "HttpEndpoint", "enabled", "disabled", &mut self.enabled)?;
        choose(&spec.tags, "InstanceMetadataTags", "enabled", "disabled", &mut self.tags)?;
        if let Some(hops) = spec.hop_limit {
            self.hop_limit = u8::try_from(hops).ok().filter(|hops| (1..=64).contains(hops)).ok_or_else(|| {
                ApiError::value(format!(
                    "Value ({hops}) for parameter HttpPutResponseHopLimit is invalid. Must be between 1 and 64."
                ))
            })?;
        }
        Ok(self)
    }
}

impl World {
    pub(super) fn run_instances(&mut self, launch: RunInstances) -> ApiResult<Response> {
        let token = launch.client_token.clone();
        let request = Request::RunInstances(Box::new(launch.clone()));
        // A launch of which no tombstone is left is forgotten, and so is its token.
        if let Some(id) = self.replay(token.as_deref(), &request)?
            && self.instances.all().any(|instance| instance.reservation == id)
        {
            return Ok(Response::Reservation(self.reservation(&id)));
        }
        let image = self.image(&launch.image)?.clone();
        let kind = InstanceType::named(&launch.instance_type).ok_or_else(|| {
            ApiError::value(format!("Invalid value '{}' for InstanceType.", launch.instance_type))
        })?;
        if kind.architecture != image.architecture {
            return Err(ApiError::value(format!(
                "The architecture '{}' of the specified instance type does not match the architecture '{}' of the specified AMI. Specify an instance type and an AMI that have matching architectures, and try again. You can use 'describe-instance-types' or 'describe-images' to discover the architecture of the instance type or AMI.",
                kind.architecture, image.architecture
            )));
        }
        if launch.min_count < 1 || launch.max_count < launch.min_count {
            return Err(ApiError::value(format!(
                "Invalid value '{}' for minCount or '{}' for maxCount. Counts start at 1, and the least may not be more than the most.",
                launch.min_count, launch.max_count
            )));
        }
        let subnet = launch.subnet.as_deref().ok_or_else(|| {
            ApiError::new(
                "VPCIdNotSpecified",
                "No default VPC for this user. Specify the SubnetId parameter.",
            )
        })?;
        let subnet = self.subnets.get(subnet)?.clone();
        if let Some(zone) = launch.zone.as_ref().filter(|zone| **zone != subnet.zone) {
            return Err(ApiError::value(format!(
                "The subnet '{}' is in availability zone '{}', not in '{zone}'.",
                subnet.id, subnet.zone
            )));
        }
        let count = self.count(&launch, &subnet)?;
        let id = self.mint("r-");
        for index in 0..count {
            self.launch_one(&launch, &image, &subnet, &id, index)?;
        }
        self.remember(token, request, &id);
        Ok(Response::Reservation(self.reservation(&id)))
    }

    /// How many to launch: as many as fit, up to the most asked for.
    fn count(&self, launch: &RunInstances, subnet: &Subnet) -> ApiResult<u32> {
        let free = i64::from(self.available(subnet));
        if launch.min_count > free {
            return Err(ApiError::new(
                "InsufficientFreeAddressesInSubnet",
                format!(
                    "There are not enough free addresses in subnet '{}' to satisfy the requested number of instances.",
                    subnet.id
                ),
            ));
        }
        if launch.private_ip.is_some() && launch.max_count > 1 {
            return Err(ApiError::combination(
                "A private IP address can be given for the launch of one instance only",
            ));
        }
        Ok(u32::try_from(launch.max_count.min(free)).unwrap_or(u32::MAX))
    }

    fn launch_one(
        &mut self,
        launch: &RunInstances,
        image: &Image,
        subnet: &Subnet,
        reservation: &str,
        index: u32,
    ) -> ApiResult<()> {
        let key = match &launch.key_name {
            Some(name) => {
                let key = self.key_named(name)?;
                Some((key.name.clone(), key.public_key.clone()))
            }
            None => None,
        };
        let metadata = Metadata { tokens_required: false, hop_limit: 1, enabled: true, tags: false };
        let metadata = metadata.with(&launch.metadata)?;
        let tags = tags_of(Instance::KIND, &TAGGABLE, &launch.tags)?;
        let user_data = launch.user_data.as_deref().map(user_data).transpose()?;
        let terminate_on_shutdown =
            launch.shutdown_behavior.as_deref().map(terminates).transpose()?.unwrap_or(false);
        let id = self.mint("i-");
        let wants_public_ip = launch.public_ip.unwrap_or(subnet.map_public_ip);
        let interface = self.attach_interface(launch, subnet, &id, wants_public_ip)?;
        let volume = self.attach_volume(launch, image, subnet, &id)?;
        self.instances.insert(Instance {
            id,
            reservation: reservation.to_owned(),
            launch_index: index,
            image: image.id.clone(),
            instance_type: launch.instance_type.clone(),
            architecture: image.architecture.clone(),
            root_device: image.root_device.clone(),
            zone: subnet.zone.clone(),
            vpc: subnet.vpc.clone(),
            subnet: subnet.id.clone(),
            key,
            user_data,
            wants_public_ip,
            state: State::Pending,
            since: self.now,
            reason: None,
            launched: self.now,
            started: false,
            interface: Some(interface),
            volume,
            metadata,
            disable_api_termination: launch.disable_api_termination,
            disable_api_stop: launch.disable_api_stop,
            terminate_on_shutdown,
            monitoring: launch.monitoring,
            ebs_optimized: launch.ebs_optimized,
            client_token: launch.client_token.clone(),
            reboots: 0,
            tags,
        });
        Ok(())
    }

    fn attach_interface(
        &mut self,
        launch: &RunInstances,
        subnet: &Subnet,
        instance: &str,
        public: bool,
    ) -> ApiResult<String> {
        let groups = self.groups_for(&subnet.vpc, &launch.groups)?;
        let private_ip = self.private_address(subnet, launch.private_ip.as_deref())?;
        let public_ip = if public { Some(self.public_address()?) } else { None };
        let tags = tags_of(Interface::KIND, &TAGGABLE, &launch.tags)?;
        let id = self.mint("eni-");
        let bits = self.ids.next().to_be_bytes();
        // Locally administered, like the addresses of EC2.
        let mac =
            format!("06:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", bits[0], bits[1], bits[2], bits[3], bits[4]);
        self.interfaces.insert(Interface {
            id: id.clone(),
            attachment: self.ids.mint("eni-attach-"),
            instance: instance.to_owned(),
            vpc: subnet.vpc.clone(),
            subnet: subnet.id.clone(),
            zone: subnet.zone.clone(),
            private_ip,
            public_ip,
            mac,
            groups,
            source_dest_check: true,
            description: String::new(),
            attached: self.now,
            tags,
        });
        Ok(id)
    }

    fn attach_volume(
        &mut self,
        launch: &RunInstances,
        image: &Image,
        subnet: &Subnet,
        instance: &str,
    ) -> ApiResult<String> {
        let spec = &launch.volume;
        if let Some(device) = spec.device.as_ref().filter(|device| **device != image.root_device) {
            return Err(ApiError::unsupported(format!(
                "The lab has root volumes only: the image's root device is {}, not {device}.",
                image.root_device
            )));
        }
        let size = spec.size.unwrap_or(image.size);
        if size < image.size {
            return Err(ApiError::new(
                "InvalidBlockDeviceMapping",
                format!(
                    "Volume of size {size}GB is smaller than snapshot '{}', expect size>= {}GB",
                    image.snapshot, image.size
                ),
            ));
        }
        let kind = spec.kind.clone().unwrap_or_else(|| "gp3".into());
        if !matches!(kind.as_str(), "gp2" | "gp3" | "io1" | "io2") {
            return Err(ApiError::value(format!("Value ({kind}) for parameter volumeType is invalid.")));
        }
        let tags = tags_of(Volume::KIND, &TAGGABLE, &launch.tags)?;
        let id = self.mint("vol-");
        self.volumes.insert(Volume {
            id: id.clone(),
            instance: Some(instance.to_owned()),
            device: image.root_device.clone(),
            zone: subnet.zone.clone(),
            size,
            iops: spec.iops.unwrap_or(3000),
            throughput: (kind == "gp3").then(|| spec.throughput.unwrap_or(125)),
            kind,
            encrypted: spec.encrypted.unwrap_or(false),
            snapshot: image.snapshot.clone(),
            delete_on_termination: spec.delete_on_termination.unwrap_or(true),
            created: self.now,
            tags,
        });
        Ok(id)
    }

    /// A reservation as it is now.
    pub(super) fn reservation(&self, id: &str) -> ReservationView {
        let mut instances: Vec<_> =
            self.instances.all().filter(|instance| instance.reservation == id).collect();
        instances.sort_by_key(|instance| instance.launch_index);
        let instances = instances.into_iter().map(|instance| self.instance_view(instance)).collect();
        ReservationView { id: id.to_owned(), instances }
    }
}
