//! What a region offers: images, instance types, zones, regions.

use super::error::{ApiError, ApiResult};
use super::query::{Field, Query, check_filters, glob, page};
use super::response::Response;
use super::store::{Resource, Store, Tags};
use super::{Config, World};

/// A machine image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// `ami-...`.
    pub id: String,
    /// As its publisher names it.
    pub name: String,
    /// For people.
    pub description: String,
    /// Account of the publisher.
    pub owner: String,
    /// `x86_64` or `arm64`.
    pub architecture: String,
    /// e.g. `/dev/xvda`.
    pub root_device: String,
    /// `snap-...`.
    pub snapshot: String,
    /// GiB of its root.
    pub size: i64,
    /// ISO 8601.
    pub created: String,
    /// Public SSM parameters that resolve to it.
    pub parameters: Vec<String>,
    /// Tags.
    pub tags: Tags,
}

impl Resource for Image {
    const PREFIX: &'static str = "ami-";
    const KIND: &'static str = "image";
    const NOUN: &'static str = "image id";
    const NOT_FOUND: &'static str = "InvalidAMIID.NotFound";
    const MALFORMED: &'static str = "InvalidAMIID.Malformed";

    fn id(&self) -> &str {
        &self.id
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }

    fn tags_mut(&mut self) -> &mut Tags {
        &mut self.tags
    }
}

/// The images of the lab: Debian 13, as its publisher's account names it. An image is listed only
/// if the lab can really boot it.
pub fn lab_images() -> Vec<Image> {
    vec![Image {
        id: "ami-0deb1300000000064".into(),
        name: "debian-13-amd64-20260712-2537".into(),
        description: "Debian 13 (lab)".into(),
        owner: "136693071363".into(),
        architecture: "x86_64".into(),
        root_device: "/dev/xvda".into(),
        snapshot: "snap-0deb1300000000064".into(),
        size: 8,
        created: "2026-07-12T00:00:00.000Z".into(),
        parameters: vec![
            "/aws/service/debian/release/13/latest/amd64".into(),
            "/aws/service/debian/release/trixie/latest/amd64".into(),
        ],
        tags: Tags::new(),
    }]
}

/// An instance type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceType {
    /// e.g. `t3.medium`.
    pub name: &'static str,
    /// Virtual processors.
    pub vcpus: u32,
    /// MiB.
    pub memory: u32,
    /// `x86_64` or `arm64`.
    pub architecture: &'static str,
    /// Network interfaces at most.
    pub interfaces: u32,
    /// IPv4 addresses of each.
    pub addresses: u32,
    /// As EC2 words it.
    pub network: &'static str,
}

const fn x86(
    name: &'static str,
    vcpus: u32,
    gib: u32,
    interfaces: u32,
    addresses: u32,
    network: &'static str,
) -> InstanceType {
    InstanceType { name, vcpus, memory: gib * 1024, architecture: "x86_64", interfaces, addresses, network }
}

const fn arm(name: &'static str, vcpus: u32, gib: u32, interfaces: u32, addresses: u32) -> InstanceType {
    let network = "Up to 5 Gigabit";
    InstanceType { name, vcpus, memory: gib * 1024, architecture: "arm64", interfaces, addresses, network }
}

const FIVE: &str = "Up to 5 Gigabit";
const TWELVE: &str = "Up to 12.5 Gigabit";

/// The types the lab knows, with AWS's published figures.
const TYPES: &[InstanceType] = &[
    x86("t3.small", 2, 2, 3, 4, FIVE),
    x86("t3.medium", 2, 4, 3, 6, FIVE),
    x86("t3.large", 2, 8, 3, 12, FIVE),
    x86("t3.xlarge", 4, 16, 4, 15, FIVE),
    x86("t3.2xlarge", 8, 32, 4, 15, FIVE),
    x86("m6i.large", 2, 8, 3, 10, TWELVE),
    x86("m6i.xlarge", 4, 16, 4, 15, TWELVE),
    x86("m6i.2xlarge", 8, 32, 4, 15, TWELVE),
    x86("m6i.4xlarge", 16, 64, 8, 30, TWELVE),
    arm("t4g.small", 2, 2, 3, 4),
    arm("t4g.medium", 2, 4, 3, 6),
    arm("t4g.large", 2, 8, 3, 12),
    arm("t4g.xlarge", 4, 16, 4, 15),
    arm("t4g.2xlarge", 8, 32, 4, 15),
];

impl InstanceType {
    /// The type of this name.
    pub fn named(name: &str) -> Option<Self> {
        TYPES.iter().find(|known| known.name == name).copied()
    }

    /// Whether it earns CPU credits.
    pub fn burstable(&self) -> bool {
        self.name.starts_with('t')
    }
}

/// Filters of DescribeImages.
const IMAGE_FIELDS: &[Field<Image>] = &[
    ("image-id", |_, image| vec![image.id.clone()]),
    ("name", |_, image| vec![image.name.clone()]),
    ("description", |_, image| vec![image.description.clone()]),
    ("architecture", |_, image| vec![image.architecture.clone()]),
    ("owner-id", |_, image| vec![image.owner.clone()]),
    ("root-device-name", |_, image| vec![image.root_device.clone()]),
    ("root-device-type", |_, _| vec!["ebs".into()]),
    ("virtualization-type", |_, _| vec!["hvm".into()]),
    ("hypervisor", |_, _| vec!["xen".into()]),
    ("image-type", |_, _| vec!["machine".into()]),
    ("is-public", |_, _| vec!["true".into()]),
    ("ena-support", |_, _| vec!["true".into()]),
    ("state", |_, _| vec!["available".into()]),
    ("creation-date", |_, image| vec![image.created.clone()]),
    ("block-device-mapping.volume-type", |_, _| vec!["gp3".into()]),
    ("block-device-mapping.device-name", |_, image| vec![image.root_device.clone()]),
];

type TypeField = (&'static str, fn(&InstanceType) -> String);

/// Filters of DescribeInstanceTypes.
const TYPE_FIELDS: &[TypeField] = &[
    ("instance-type", |kind| kind.name.to_owned()),
    ("processor-info.supported-architecture", |kind| kind.architecture.to_owned()),
    ("vcpu-info.default-vcpus", |kind| kind.vcpus.to_string()),
    ("memory-info.size-in-mib", |kind| kind.memory.to_string()),
    ("burstable-performance-supported", |kind| kind.burstable().to_string()),
    ("current-generation", |_| "true".to_owned()),
    ("bare-metal", |_| "false".to_owned()),
    ("hypervisor", |_| "nitro".to_owned()),
    ("supported-virtualization-type", |_| "hvm".to_owned()),
    ("supported-root-device-type", |_| "ebs".to_owned()),
];

impl Config {
    /// `apne1-az1` for the first zone of `ap-northeast-1`.
    pub fn zone_id(&self, zone: &str) -> String {
        let mut parts = self.region.split('-');
        let area = parts.next().unwrap_or_default();
        let way = match parts.next().unwrap_or_default() {
            "northeast" => "ne",
            "northwest" => "nw",
            "southeast" => "se",
            "southwest" => "sw",
            other => other.get(..1).unwrap_or_default(),
        };
        let number = parts.next().unwrap_or_default();
        let at = self.zones.iter().position(|known| known == zone).map_or(0, |at| at + 1);
        format!("{area}{way}{number}-az{at}")
    }
}

impl World {
    /// The image of this id.
    ///
    /// # Errors
    /// `InvalidAMIID...`; the text has the id in brackets, as EC2's has.
    pub(super) fn image(&self, id: &str) -> ApiResult<&Image> {
        self.config.images.iter().find(|image| image.id == id).ok_or_else(|| {
            let mut error = Store::<Image>::unknown(id);
            if error.code == "InvalidAMIID.NotFound" {
                error.message = format!("The image id '[{id}]' does not exist");
            }
            error
        })
    }

    /// The image that a public SSM parameter resolves to.
    pub fn image_parameter(&self, name: &str) -> Option<&Image> {
        let name = name.strip_suffix("/ami-id").unwrap_or(name);
        self.config.images.iter().find(|image| image.parameters.iter().any(|known| known == name))
    }

    pub(super) fn describe_images(&self, query: &Query, owners: &[String]) -> ApiResult<Response> {
        let mut all = Store::default();
        for image in &self.config.images {
            all.insert(image.clone());
        }
        for id in &query.ids {
            self.image(id)?;
        }
        let mut found = self.list(&all, query, IMAGE_FIELDS)?;
        let owned = |image: &Image| {
            owners
                .iter()
                .any(|owner| *owner == image.owner || (owner == "self" && image.owner == self.config.account))
        };
        found.items.retain(|image| owners.is_empty() || owned(image));
        Ok(Response::Images(found))
    }

    pub(super) fn describe_types(&self, query: &Query) -> ApiResult<Response> {
        let field = |name: &str| TYPE_FIELDS.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        check_filters(&query.filters, |name| field(name).is_some(), false)?;
        let unknown: Vec<&str> =
            query.ids.iter().map(String::as_str).filter(|name| InstanceType::named(name).is_none()).collect();
        if !unknown.is_empty() {
            return Err(ApiError::new(
                "InvalidInstanceType",
                format!("The following supplied instance types do not exist: [{}]", unknown.join(", ")),
            ));
        }
        let passes = |kind: &InstanceType| {
            query.filters.iter().all(|filter| {
                let value = field(&filter.name).map(|value| value(kind)).unwrap_or_default();
                filter.values.iter().any(|wanted| glob(wanted, &value))
            })
        };
        let mut chosen: Vec<InstanceType> = TYPES
            .iter()
            .filter(|kind| query.ids.is_empty() || query.ids.iter().any(|id| id == kind.name))
            .filter(|kind| passes(kind))
            .copied()
            .collect();
        chosen.sort_by_key(|kind| kind.name);
        page(chosen, query, |kind| kind.name.to_owned()).map(Response::Types)
    }

    pub(super) fn describe_offerings(
        &self,
        query: &Query,
        location_type: Option<String>,
    ) -> ApiResult<Response> {
        let location_type = location_type.unwrap_or_else(|| "region".into());
        let locations: Vec<String> = match location_type.as_str() {
            "region" => vec![self.config.region.clone()],
            "availability-zone" => self.config.zones.clone(),
            "availability-zone-id" => {
                self.config.zones.iter().map(|zone| self.config.zone_id(zone)).collect()
            }
            other => return Err(ApiError::value(format!("Invalid value '{other}' for locationType"))),
        };
        check_filters(&query.filters, |name| matches!(name, "instance-type" | "location"), false)?;
        let passes = |(name, location): &(String, String)| {
            query.filters.iter().all(|filter| {
                let value = if filter.name == "location" { location } else { name };
                filter.values.iter().any(|wanted| glob(wanted, value))
            })
        };
        let every = |kind: &InstanceType| {
            let name = kind.name.to_owned();
            locations.iter().map(move |location| (name.clone(), location.clone()))
        };
        let mut items: Vec<_> = TYPES.iter().flat_map(every).filter(passes).collect();
        items.sort();
        let items = page(items, query, |(name, location)| format!("{name} {location}"))?;
        Ok(Response::Offerings { items, location_type })
    }

    pub(super) fn describe_zones(&self, query: &Query, zone_ids: &[String]) -> ApiResult<Response> {
        let config = &self.config;
        let value = |name: &str, zone: &str| -> Option<String> {
            Some(match name {
                "zone-name" => zone.to_owned(),
                "zone-id" => config.zone_id(zone),
                "region-name" | "group-name" => config.region.clone(),
                "state" => "available".into(),
                "zone-type" => "availability-zone".into(),
                "opt-in-status" => "opt-in-not-required".into(),
                _ => return None,
            })
        };
        check_filters(&query.filters, |name| value(name, "").is_some(), false)?;
        for zone in &query.ids {
            if !config.zones.contains(zone) {
                return Err(ApiError::value(format!("Invalid availability zone: [{zone}]")));
            }
        }
        let passes = |zone: &&String| {
            query.filters.iter().all(|filter| {
                let value = value(&filter.name, zone).unwrap_or_default();
                filter.values.iter().any(|wanted| glob(wanted, &value))
            })
        };
        let zones = config
            .zones
            .iter()
            .filter(|zone| query.ids.is_empty() || query.ids.contains(zone))
            .filter(|zone| zone_ids.is_empty() || zone_ids.contains(&config.zone_id(zone)))
            .filter(passes)
            .cloned()
            .collect();
        Ok(Response::Zones(zones))
    }

    pub(super) fn describe_regions(&self, query: &Query) -> ApiResult<Response> {
        let region = &self.config.region;
        check_filters(
            &query.filters,
            |name| matches!(name, "region-name" | "endpoint" | "opt-in-status"),
            false,
        )?;
        if let Some(other) = query.ids.iter().find(|id| *id != region) {
            return Err(ApiError::value(format!("Invalid region provided: {other}")));
        }
        let passes = query.filters.iter().all(|filter| {
            let value = match filter.name.as_str() {
                "region-name" => region.clone(),
                "endpoint" => format!("ec2.{region}.amazonaws.com"),
                _ => "opt-in-not-required".into(),
            };
            filter.values.iter().any(|wanted| glob(wanted, &value))
        });
        Ok(Response::Regions(if passes { vec![region.clone()] } else { Vec::new() }))
    }
}
