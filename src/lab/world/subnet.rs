//! Subnets, and the private addresses in them.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::World;
use super::error::{ApiError, ApiResult};
use super::model::Subnet;
use super::query::{Field, Page, Query};
use super::request::TagSpec;
use super::response::{Response, SubnetView};
use super::store::Resource;
use super::tag::tags_for;
use super::vpc::parse_cidr;

/// Filters of DescribeSubnets.
const FIELDS: &[Field<Subnet>] = &[
    ("subnet-id", |_, subnet| vec![subnet.id.clone()]),
    ("vpc-id", |_, subnet| vec![subnet.vpc.clone()]),
    ("cidr-block", |_, subnet| vec![subnet.cidr.to_string()]),
    ("cidr", |_, subnet| vec![subnet.cidr.to_string()]),
    ("cidrBlock", |_, subnet| vec![subnet.cidr.to_string()]),
    ("availability-zone", |_, subnet| vec![subnet.zone.clone()]),
    ("availabilityZone", |_, subnet| vec![subnet.zone.clone()]),
    ("availability-zone-id", |world, subnet| vec![world.config.zone_id(&subnet.zone)]),
    ("available-ip-address-count", |world, subnet| vec![world.available(subnet).to_string()]),
    ("default-for-az", |_, _| vec!["false".into()]),
    ("map-public-ip-on-launch", |_, subnet| vec![subnet.map_public_ip.to_string()]),
    ("owner-id", |world, _| vec![world.config.account.clone()]),
    ("state", |_, _| vec!["available".into()]),
];

impl World {
    pub(super) fn create_subnet(
        &mut self,
        vpc: &str,
        cidr: &str,
        zone: Option<String>,
        zone_id: Option<String>,
        tags: Vec<TagSpec>,
    ) -> ApiResult<Response> {
        let tags = tags_for(Subnet::KIND, tags)?;
        let vpc = self.vpcs.get(vpc)?;
        let cidr = parse_cidr(cidr, "cidrBlock")?;
        if !(16..=28).contains(&cidr.prefix_len()) || !vpc.cidr.contains(&cidr) {
            return Err(ApiError::new("InvalidSubnet.Range", format!("The CIDR '{cidr}' is invalid.")));
        }
        let clash = |other: &Subnet| {
            other.vpc == vpc.id && (other.cidr.contains(&cidr) || cidr.contains(&other.cidr))
        };
        if self.subnets.all().any(clash) {
            return Err(ApiError::new(
                "InvalidSubnet.Conflict",
                format!("The CIDR '{cidr}' conflicts with another subnet"),
            ));
        }
        let zone = match (zone, zone_id) {
            (Some(_), Some(_)) => {
                return Err(ApiError::combination(
                    "Only one of the parameters availabilityZone and availabilityZoneId can be given",
                ));
            }
            (Some(zone), None) => self.config.zones.iter().find(|known| **known == zone).cloned().ok_or(zone),
            (None, Some(id)) => {
                self.config.zones.iter().find(|known| self.config.zone_id(known) == id).cloned().ok_or(id)
            }
            (None, None) => self.config.zones.first().cloned().ok_or_else(String::new),
        }
        .map_err(|zone| {
            ApiError::value(format!(
                "Value ({zone}) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: {}.",
                self.config.zones.join(", ")
            ))
        })?;
        let vpc = vpc.id.clone();
        let subnet = Subnet { id: self.mint("subnet-"), vpc, cidr, zone, map_public_ip: false, tags };
        self.subnets.insert(subnet.clone());
        Ok(Response::Subnet(self.subnet_view(subnet)))
    }

    pub(super) fn delete_subnet(&mut self, id: &str) -> ApiResult<Response> {
        self.subnets.get(id)?;
        if self.interfaces.all().any(|interface| interface.subnet == id) {
            return Err(ApiError::dependency(format!(
                "The subnet '{id}' has dependencies and cannot be deleted."
            )));
        }
        for table in self.tables.all_mut() {
            table.associations.retain(|(_, subnet)| subnet != id);
        }
        self.subnets.remove(id);
        Ok(Response::Done)
    }

    pub(super) fn modify_subnet(&mut self, id: &str, map_public_ip: bool) -> ApiResult<Response> {
        self.subnets.get_mut(id)?.map_public_ip = map_public_ip;
        Ok(Response::Done)
    }

    pub(super) fn describe_subnets(&self, query: &Query) -> ApiResult<Response> {
        let Page { items, next_token } = self.list(&self.subnets, query, FIELDS)?;
        let items = items.into_iter().map(|subnet| self.subnet_view(subnet)).collect();
        Ok(Response::Subnets(Page { items, next_token }))
    }

    fn subnet_view(&self, subnet: Subnet) -> SubnetView {
        SubnetView { available: self.available(&subnet), subnet }
    }

    fn used(&self, subnet: &str) -> BTreeSet<Ipv4Addr> {
        self.interfaces.all().filter(|eni| eni.subnet == subnet).map(|eni| eni.private_ip).collect()
    }

    /// Free addresses: EC2 keeps the first four and the last of every subnet.
    pub(super) fn available(&self, subnet: &Subnet) -> u32 {
        let size = 1u32 << (32 - u32::from(subnet.cidr.prefix_len()));
        size - 5 - self.used(&subnet.id).len() as u32
    }

    /// The lowest free address, or the one that is asked for.
    ///
    /// # Errors
    /// A full subnet; an address outside it, reserved or in use.
    pub(super) fn private_address(&self, subnet: &Subnet, wanted: Option<&str>) -> ApiResult<Ipv4Addr> {
        let first = u32::from(subnet.cidr.network()) + 4;
        let last = u32::from(subnet.cidr.broadcast()) - 1;
        let used = self.used(&subnet.id);
        let Some(wanted) = wanted else {
            return (first..=last).map(Ipv4Addr::from).find(|ip| !used.contains(ip)).ok_or_else(|| {
                ApiError::new(
                    "InsufficientFreeAddressesInSubnet",
                    format!(
                        "There are not enough free addresses in subnet '{}' to satisfy the requested number of instances.",
                        subnet.id
                    ),
                )
            });
        };
        let ip: Ipv4Addr =
            wanted.parse().map_err(|_| ApiError::value(format!("Invalid IPv4 address: {wanted}")))?;
        if !subnet.cidr.contains(&ip) {
            return Err(ApiError::value("Address does not fall within the subnet's address range"));
        }
        if !(first..=last).contains(&u32::from(ip)) {
            return Err(ApiError::value("Address is in subnet's reserved address range"));
        }
        if used.contains(&ip) {
            return Err(ApiError::new("InvalidIPAddress.InUse", "Address is in use."));
        }
        Ok(ip)
    }
}
