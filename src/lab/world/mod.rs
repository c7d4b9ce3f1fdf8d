//! The world: the state of one EC2 region, and what every call does to it.
//!
//! Pure and synchronous. Time comes in with every call, ids come from a seed, and nothing here
//! waits: the effects read [`World::desired`] and answer with [`World::report`]. A refused call
//! changes nothing, whatever it had done when it failed.

mod address;
mod catalogue;
mod error;
mod gateway;
mod group;
mod instance;
mod interface;
mod key;
mod launch;
mod lifecycle;
mod model;
mod project;
mod query;
mod request;
mod response;
mod route;
mod rule;
mod store;
mod subnet;
mod tag;
#[cfg(test)]
mod tests;
mod vpc;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

pub use catalogue::{Image, InstanceType, lab_images};
pub use error::{ApiError, ApiResult};
pub use model::*;
pub use query::{Field, Filter, Page, Query};
pub use request::*;
pub use response::*;
pub use store::{Resource, Tags};

use store::{Ids, Store};

/// A moment: milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// This many milliseconds later.
    pub fn after(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}

/// What is fixed for the life of a world.
#[derive(Clone, Debug)]
pub struct Config {
    /// Twelve digits.
    pub account: String,
    /// e.g. `ap-northeast-1`.
    pub region: String,
    /// Zone names, e.g. `ap-northeast-1a`.
    pub zones: Vec<String>,
    /// Where public and elastic addresses come from. Its first usable address stays free: the
    /// fabric may put the host there.
    pub public_pool: Ipv4Net,
    /// What can be launched.
    pub images: Vec<Image>,
    /// How long things take.
    pub delays: Delays,
}

/// Shortest times that a state is kept, in milliseconds, however fast the effects are.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// `pending` before `running`.
    pub pending: u64,
    /// `initializing` before the status checks are `ok`.
    pub status: u64,
    /// `shutting-down` and `stopping`.
    pub shutdown: u64,
    /// How long a terminated instance can still be described.
    pub tombstone: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self { pending: 1_000, status: 2_000, shutdown: 500, tombstone: 3_600_000 }
    }
}

impl Config {
    /// The lab's usual region: account 000000000000, three zones.
    pub fn lab(region: &str, public_pool: Ipv4Net) -> Self {
        Self {
            account: "000000000000".into(),
            region: region.into(),
            zones: ["a", "b", "c"].iter().map(|letter| format!("{region}{letter}")).collect(),
            public_pool,
            images: lab_images(),
            delays: Delays::default(),
        }
    }
}

/// What one idempotency token did: the request it came with and the id it made.
#[derive(Clone, Debug)]
struct Remembered {
    request: Request,
    id: String,
}

/// The state of a region.
#[derive(Clone, Debug)]
pub struct World {
    config: Config,
    ids: Ids,
    now: Time,
    vpcs: Store<Vpc>,
    subnets: Store<Subnet>,
    gateways: Store<InternetGateway>,
    tables: Store<RouteTable>,
    addresses: Store<Address>,
    groups: Store<SecurityGroup>,
    keys: Store<KeyPair>,
    interfaces: Store<Interface>,
    volumes: Store<Volume>,
    instances: Store<Instance>,
    tokens: BTreeMap<String, Remembered>,
    console: BTreeMap<String, String>,
    /// Machines that the effects reported gone while their instance still shuts down.
    gone: BTreeSet<String>,
    last_public: Option<Ipv4Addr>,
    /// Ids that the last call made.
    minted: Vec<String>,
    /// Ids that so many describe calls must still not know.
    stale: BTreeMap<String, u32>,
}

impl World {
    /// An empty region. The same seed gives the same ids.
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            ids: Ids::new(seed),
            now: Time::default(),
            vpcs: Store::default(),
            subnets: Store::default(),
            gateways: Store::default(),
            tables: Store::default(),
            addresses: Store::default(),
            groups: Store::default(),
            keys: Store::default(),
            interfaces: Store::default(),
            volumes: Store::default(),
            instances: Store::default(),
            tokens: BTreeMap::new(),
            console: BTreeMap::new(),
            gone: BTreeSet::new(),
            last_public: None,
            minted: Vec::new(),
            stale: BTreeMap::new(),
        }
    }

    /// What is fixed.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Performs one call, all of it or nothing.
    ///
    /// # Errors
    /// What EC2 would answer; `DryRunOperation` where a dry run would have succeeded.
    pub fn call(&mut self, now: Time, call: Call) -> ApiResult<Response> {
        self.tick(now);
        let mut next = self.clone();
        next.minted.clear();
        next.hide_stale(&call.request);
        let result = next.perform(call.request);
        next.unhide();
        // The stale counters run down whether or not the call succeeds.
        self.stale.clone_from(&next.stale);
        let response = result?;
        if call.dry_run {
            return Err(ApiError::dry_run());
        }
        *self = next;
        Ok(response)
    }

    /// Makes the ids that the last call created unknown to the next `describes` describe calls and
    /// to everything between: EC2's eventual consistency, on demand.
    pub fn hide_fresh(&mut self, describes: u32) {
        for id in &self.minted {
            self.stale.insert(id.clone(), describes);
        }
    }

    fn hide_stale(&mut self, request: &Request) {
        let hidden: BTreeSet<String> = self.stale.keys().cloned().collect();
        self.hide(&hidden);
        if request.is_describe() {
            self.stale.retain(|_, left| {
                *left = left.saturating_sub(1);
                *left > 0
            });
        }
    }

    fn unhide(&mut self) {
        self.hide(&BTreeSet::new());
    }

    fn hide(&mut self, ids: &BTreeSet<String>) {
        self.vpcs.hide(ids);
        self.subnets.hide(ids);
        self.gateways.hide(ids);
        self.tables.hide(ids);
        self.addresses.hide(ids);
        self.groups.hide(ids);
        self.keys.hide(ids);
        self.interfaces.hide(ids);
        self.volumes.hide(ids);
        self.instances.hide(ids);
    }

    fn mint(&mut self, prefix: &str) -> String {
        let id = self.ids.mint(prefix);
        self.minted.push(id.clone());
        id
    }

    /// The id that this token made before, if the request is the same.
    fn replay(&self, token: Option<&str>, request: &Request) -> ApiResult<Option<String>> {
        let Some(token) = token else { return Ok(None) };
        if token.len() > 64 || !token.is_ascii() {
            return Err(ApiError::value(format!(
                "Value ({token}) for parameter clientToken is invalid. It must be at most 64 ASCII characters."
            )));
        }
        match self.tokens.get(token) {
            None => Ok(None),
            Some(before) if before.request == *request => Ok(Some(before.id.clone())),
            Some(_) => Err(ApiError::new(
                "IdempotentParameterMismatch",
                "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).",
            )),
        }
    }

    fn remember(&mut self, token: Option<String>, request: Request, id: &str) {
        if let Some(token) = token {
            self.tokens.insert(token, Remembered { request, id: id.to_owned() });
        }
    }

    fn perform(&mut self, request: Request) -> ApiResult<Response> {
        use Request as R;
        match request {
            R::CreateVpc { cidr, tags } => self.create_vpc(&cidr, tags),
            R::DeleteVpc { id } => self.delete_vpc(&id),
            R::DescribeVpcs(query) => self.list(&self.vpcs, &query, vpc::FIELDS).map(Response::Vpcs),
            R::ModifyVpcAttribute { id, dns_support, dns_hostnames } => {
                self.modify_vpc(&id, dns_support, dns_hostnames)
            }
            R::DescribeVpcAttribute { id, attribute } => self.vpc_attribute(&id, attribute),

            R::CreateSubnet { vpc, cidr, zone, zone_id, tags } => {
                self.create_subnet(&vpc, &cidr, zone, zone_id, tags)
            }
            R::DeleteSubnet { id } => self.delete_subnet(&id),
            R::DescribeSubnets(query) => self.describe_subnets(&query),
            R::ModifySubnetAttribute { id, map_public_ip } => self.modify_subnet(&id, map_public_ip),

            R::CreateInternetGateway { tags } => self.create_gateway(tags),
            R::DeleteInternetGateway { id } => self.delete_gateway(&id),
            R::AttachInternetGateway { id, vpc } => self.attach_gateway(&id, &vpc),
            R::DetachInternetGateway { id, vpc } => self.detach_gateway(&id, &vpc),
            R::DescribeInternetGateways(query) => {
                self.list(&self.gateways, &query, gateway::FIELDS).map(Response::Gateways)
            }

            R::CreateRouteTable { ref vpc, ref tags, ref client_token } => {
                self.create_table(vpc.clone(), tags.clone(), client_token.clone(), request)
            }
            R::DeleteRouteTable { id } => self.delete_table(&id),
            R::DescribeRouteTables(query) => self.describe_tables(&query),
            R::AssociateRouteTable { id, subnet } => self.associate_table(&id, &subnet),
            R::DisassociateRouteTable { association } => self.disassociate_table(&association),
            R::ReplaceRouteTableAssociation { association, id } => self.reassociate_table(&association, &id),
            R::CreateRoute { table, destination, gateway } => {
                self.set_route(&table, &destination, &gateway, false)
            }
            R::ReplaceRoute { table, destination, gateway } => {
                self.set_route(&table, &destination, &gateway, true)
            }
            R::DeleteRoute { table, destination } => self.delete_route(&table, &destination),

            R::AllocateAddress { domain, tags } => self.allocate_address(domain, tags),
            R::ReleaseAddress { allocation } => self.release_address(&allocation),
            R::AssociateAddress { allocation, instance, interface, allow_reassociation } => {
                self.associate_address(&allocation, instance, interface, allow_reassociation)
            }
            R::DisassociateAddress { association } => self.disassociate_address(&association),
            R::DescribeAddresses { query, public_ips } => self.describe_addresses(&query, &public_ips),

            R::CreateSecurityGroup { name, description, vpc, tags } => {
                self.create_group(name, description, vpc, tags)
            }
            R::DeleteSecurityGroup { id } => self.delete_group(&id),
            R::DescribeSecurityGroups { query, names } => self.describe_groups(&query, &names),
            R::Authorize { group, direction, permissions, tags } => {
                self.authorize(&group, direction, &permissions, tags)
            }
            R::Revoke { group, direction, permissions, rule_ids } => {
                self.revoke(&group, direction, &permissions, &rule_ids)
            }
            R::DescribeSecurityGroupRules(query) => self.describe_rules(&query),
            R::UpdateRuleDescriptions { group, direction, permissions, by_id } => {
                self.describe_rules_anew(&group, direction, &permissions, by_id)
            }

            R::ImportKeyPair { name, material, tags } => self.import_key(name, &material, tags),
            R::DeleteKeyPair { name, id } => self.delete_key(name, id),
            R::DescribeKeyPairs { query, names, include_public_key } => {
                self.describe_keys(&query, &names, include_public_key)
            }

            R::RunInstances(launch) => self.run_instances(*launch),
            R::DescribeInstances(query) => self.describe_instances(&query),
            R::DescribeInstanceStatus { query, include_all } => self.instance_status(&query, include_all),
            R::TerminateInstances { ids } => self.terminate(&ids),
            R::StopInstances { ids, force: _ } => self.stop(&ids),
            R::StartInstances { ids } => self.start(&ids),
            R::RebootInstances { ids } => self.reboot(&ids),
            R::ModifyInstanceAttribute { id, change } => self.modify_instance(&id, change),
            R::DescribeInstanceAttribute { id, attribute } => self.instance_attribute(&id, attribute),
            R::ModifyInstanceMetadataOptions { id, metadata } => self.modify_metadata(&id, &metadata),
            R::GetConsoleOutput { id } => self.console_output(&id),

            R::DescribeNetworkInterfaces(query) => self.describe_interfaces(&query),
            R::ModifyNetworkInterfaceAttribute { id, groups, source_dest_check, description } => {
                self.modify_interface(&id, groups, source_dest_check, description)
            }
            R::DescribeVolumes(query) => {
                self.list(&self.volumes, &query, interface::VOLUME_FIELDS).map(Response::Volumes)
            }

            R::DescribeImages { query, owners } => self.describe_images(&query, &owners),
            R::DescribeInstanceTypes(query) => self.describe_types(&query),
            R::DescribeInstanceTypeOfferings { query, location_type } => {
                self.describe_offerings(&query, location_type)
            }
            R::DescribeAvailabilityZones { query, zone_ids } => self.describe_zones(&query, &zone_ids),
            R::DescribeRegions(query) => self.describe_regions(&query),

            R::CreateTags { ids, tags } => self.create_tags(&ids, &tags),
            R::DeleteTags { ids, tags } => self.delete_tags(&ids, &tags),
            R::DescribeTags(query) => self.describe_tags(&query),
        }
    }
}

impl Request {
    /// Whether it only reads.
    pub fn is_describe(&self) -> bool {
        use Request as R;
        matches!(
            self,
            R::DescribeVpcs(_)
                | R::DescribeVpcAttribute { .. }
                | R::DescribeSubnets(_)
                | R::DescribeInternetGateways(_)
                | R::DescribeRouteTables(_)
                | R::DescribeAddresses { .. }
                | R::DescribeSecurityGroups { .. }
                | R::DescribeSecurityGroupRules(_)
                | R::DescribeKeyPairs { .. }
                | R::DescribeInstances(_)
                | R::DescribeInstanceStatus { .. }
                | R::DescribeInstanceAttribute { .. }
                | R::GetConsoleOutput { .. }
                | R::DescribeNetworkInterfaces(_)
                | R::DescribeVolumes(_)
                | R::DescribeImages { .. }
                | R::DescribeInstanceTypes(_)
                | R::DescribeInstanceTypeOfferings { .. }
                | R::DescribeAvailabilityZones { .. }
                | R::DescribeRegions(_)
                | R::DescribeTags(_)
        )
    }
}
