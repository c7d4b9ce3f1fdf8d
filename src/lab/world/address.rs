//! Public addresses: elastic ones, and those that come with a running instance.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::World;
use super::error::{ApiError, ApiResult};
use super::model::{Address, Interface};
use super::query::{Field, Query};
use super::request::TagSpec;
use super::response::{AddressView, PublicView, Response};
use super::store::Resource;
use super::tag::tags_for;

/// Filters of DescribeAddresses.
const FIELDS: &[Field<Address>] = &[
    ("allocation-id", |_, address| vec![address.id.clone()]),
    ("association-id", |_, address| address.association.iter().map(|(id, _)| id.clone()).collect()),
    ("domain", |_, _| vec!["vpc".into()]),
    ("instance-id", |world, address| {
        world.holder(address).map(|eni| eni.instance.clone()).into_iter().collect()
    }),
    ("network-border-group", |world, _| vec![world.config.region.clone()]),
    ("network-interface-id", |_, address| address.association.iter().map(|(_, eni)| eni.clone()).collect()),
    ("network-interface-owner-id", |world, address| {
        address.association.iter().map(|_| world.config.account.clone()).collect()
    }),
    ("private-ip-address", |world, address| {
        world.holder(address).map(|eni| eni.private_ip.to_string()).into_iter().collect()
    }),
    ("public-ip", |_, address| vec![address.ip.to_string()]),
];

impl World {
    /// A public address that nobody has; the pool is walked round, so that one just released is
    /// not given out at once.
    ///
    /// # Errors
    /// `AddressLimitExceeded` when the pool is used up.
    pub(super) fn public_address(&mut self) -> ApiResult<Ipv4Addr> {
        let used: BTreeSet<Ipv4Addr> = self
            .addresses
            .all()
            .map(|address| address.ip)
            .chain(self.interfaces.all().filter_map(|eni| eni.public_ip))
            .collect();
        let pool = self.config.public_pool;
        let first = u32::from(pool.network()).saturating_add(2);
        let end = u32::from(pool.broadcast());
        let start = self.last_public.map_or(first, |last| u32::from(last).saturating_add(1));
        let free =
            (start..end).chain(first..start.min(end)).map(Ipv4Addr::from).find(|ip| !used.contains(ip));
        self.last_public = free.or(self.last_public);
        free.ok_or_else(|| {
            ApiError::new("AddressLimitExceeded", "The maximum number of addresses has been reached.")
        })
    }

    /// The interface that an elastic address points at.
    fn holder(&self, address: &Address) -> Option<&Interface> {
        address.association.as_ref().and_then(|(_, eni)| self.interfaces.find(eni))
    }

    /// What an interface is reached by: its elastic address, or the one of its launch.
    pub(super) fn public_of(&self, interface: &Interface) -> Option<PublicView> {
        let elastic = self.addresses.all().find_map(|address| {
            let (association, eni) = address.association.as_ref()?;
            (*eni == interface.id).then(|| (address.ip, Some((address.id.clone(), association.clone()))))
        });
        let (ip, elastic) = elastic.or(interface.public_ip.map(|ip| (ip, None)))?;
        let named = self.vpcs.find(&interface.vpc).is_some_and(|vpc| vpc.dns_hostnames);
        let dns = match named {
            true => {
                let dashed = ip.to_string().replace('.', "-");
                format!("ec2-{dashed}.{}.compute.amazonaws.com", self.config.region)
            }
            false => String::new(),
        };
        Some(PublicView { ip, dns, elastic })
    }

    pub(super) fn allocate_address(
        &mut self,
        domain: Option<String>,
        tags: Vec<TagSpec>,
    ) -> ApiResult<Response> {
        if let Some(domain) = domain.filter(|domain| domain != "vpc") {
            return Err(ApiError::value(format!(
                "Invalid value '{domain}' for domain. Only 'vpc' is supported."
            )));
        }
        let tags = tags_for(Address::KIND, tags)?;
        let ip = self.public_address()?;
        let address = Address { id: self.mint("eipalloc-"), ip, association: None, tags };
        self.addresses.insert(address.clone());
        Ok(Response::Address(address))
    }

    pub(super) fn release_address(&mut self, id: &str) -> ApiResult<Response> {
        let address = self.addresses.get(id)?;
        if address.association.is_some() {
            return Err(ApiError::new(
                "InvalidIPAddress.InUse",
                format!("Address {} is in use.", address.ip),
            ));
        }
        self.addresses.remove(id);
        Ok(Response::Done)
    }

    pub(super) fn associate_address(
        &mut self,
        id: &str,
        instance: Option<String>,
        interface: Option<String>,
        allow_reassociation: bool,
    ) -> ApiResult<Response> {
        let address = self.addresses.get(id)?;
        let interface = match (instance, interface) {
            (Some(instance), None) => match &self.instances.get(&instance)?.interface {
                Some(interface) => interface.clone(),
                None => {
                    return Err(ApiError::new(
                        "InvalidInstanceID",
                        format!("The instance '{instance}' is not in a valid state for this operation."),
                    ));
                }
            },
            (None, Some(interface)) => interface,
            (None, None) => {
                return Err(ApiError::missing("InstanceId or NetworkInterfaceId"));
            }
            (Some(_), Some(_)) => {
                return Err(ApiError::combination(
                    "You may specify only one of the parameters instanceId and networkInterfaceId",
                ));
            }
        };
        let vpc = self.interfaces.get(&interface)?.vpc.clone();
        if let Some((association, held)) = &address.association {
            if *held == interface {
                return Ok(Response::AddressAssociation(association.clone()));
            }
            if !allow_reassociation {
                return Err(ApiError::new(
                    "Resource.AlreadyAssociated",
                    format!("resource {id} is already associated with associate-id {association}"),
                ));
            }
        }
        if !self.gateways.all().any(|gateway| gateway.vpc.as_deref() == Some(&vpc)) {
            return Err(ApiError::new(
                "Gateway.NotAttached",
                format!("Network {vpc} is not attached to any internet gateway"),
            ));
        }
        // An interface has one public address: the new one takes the place of the old.
        for other in self.addresses.all_mut() {
            other.association.take_if(|(_, held)| *held == interface);
        }
        self.interfaces.get_mut(&interface)?.public_ip = None;
        let association = self.mint("eipassoc-");
        self.addresses.get_mut(id)?.association = Some((association.clone(), interface));
        Ok(Response::AddressAssociation(association))
    }

    pub(super) fn disassociate_address(&mut self, association: &str) -> ApiResult<Response> {
        let held = self
            .addresses
            .all_mut()
            .find_map(|address| address.association.take_if(|(id, _)| id == association));
        match held {
            Some(_) => Ok(Response::Done),
            None => Err(ApiError::new(
                "InvalidAssociationID.NotFound",
                format!("The association ID '{association}' does not exist"),
            )),
        }
    }

    pub(super) fn describe_addresses(&self, query: &Query, public_ips: &[String]) -> ApiResult<Response> {
        for wanted in public_ips {
            if !self.addresses.visible().any(|address| address.ip.to_string() == *wanted) {
                return Err(ApiError::new(
                    "InvalidAddress.NotFound",
                    format!("Address '{wanted}' not found."),
                ));
            }
        }
        let chosen = self.select(&self.addresses, query, FIELDS)?;
        Ok(Response::Addresses(
            chosen
                .into_iter()
                .filter(|address| public_ips.is_empty() || public_ips.contains(&address.ip.to_string()))
                .map(|address| AddressView {
                    address: address.clone(),
                    interface: self.holder(address).cloned(),
                })
                .collect(),
        ))
    }
}
