//! Whether what only a tag tells of is there.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::VolumeState;

use super::api::Api;
use super::convert::filter;
use super::error::Fault;
use super::observe::list;
use crate::ports::{CloudState, InstanceState};

/// EC2's limit for the values of one filter.
const MOST_VALUES: usize = 200;

impl Api {
    /// Tags outlive what they were on: of the resources that nothing but a tag tells of, those that
    /// their own describing call does not know are gone. Nothing to confirm is no call.
    pub async fn confirm(&self, state: &mut CloudState) -> Result<(), Fault> {
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let others = state.others.iter().map(|it| (&it.kind, &it.id));
        let foreign = state.foreign.iter().map(|it| (&it.kind, &it.id));
        for (kind, id) in others.chain(foreign) {
            told.entry(kind.clone()).or_default().push(id.clone());
        }
        let mut gone: BTreeSet<String> = BTreeSet::new();
        for (kind, ids) in &told {
            for ids in ids.chunks(MOST_VALUES) {
                if let Some(there) = self.there(kind, ids).await? {
                    gone.extend(ids.iter().filter(|id| !there.contains(id)).cloned());
                }
            }
        }
        state.others.retain(|it| !gone.contains(&it.id));
        state.foreign.retain(|it| !gone.contains(&it.id));
        Ok(())
    }

    /// Which of these exist; `None` for a kind that nobody here can describe: its tag is believed.
    async fn there(&self, kind: &str, ids: &[String]) -> Result<Option<Vec<String>>, Fault> {
        let ec2 = &self.ec2;
        let there: Vec<Option<String>> = match kind {
            "vpc" => {
                let request = ec2.describe_vpcs().filters(filter("vpc-id", ids));
                list!(self, "DescribeVpcs", request).await?.into_iter().map(|it| it.vpc_id).collect()
            }
            "internet-gateway" => {
                let request = ec2.describe_internet_gateways().filters(filter("internet-gateway-id", ids));
                let found = list!(self, "DescribeInternetGateways", request).await?;
                found.into_iter().map(|it| it.internet_gateway_id).collect()
            }
            "subnet" => {
                let request = ec2.describe_subnets().filters(filter("subnet-id", ids));
                list!(self, "DescribeSubnets", request).await?.into_iter().map(|it| it.subnet_id).collect()
            }
            "route-table" => {
                let request = ec2.describe_route_tables().filters(filter("route-table-id", ids));
                let found = list!(self, "DescribeRouteTables", request).await?;
                found.into_iter().map(|it| it.route_table_id).collect()
            }
            "security-group" => {
                let request = ec2.describe_security_groups().filters(filter("group-id", ids));
                let found = list!(self, "DescribeSecurityGroups", request).await?;
                found.into_iter().map(|it| it.group_id).collect()
            }
            "key-pair" => {
                let request = ec2.describe_key_pairs().filters(filter("key-pair-id", ids));
                let found = self.call("DescribeKeyPairs", request.send()).await?;
                found.key_pairs.unwrap_or_default().into_iter().map(|it| it.key_pair_id).collect()
            }
            "elastic-ip" => {
                let request = ec2.describe_addresses().filters(filter("allocation-id", ids));
                let found = self.call("DescribeAddresses", request.send()).await?;
                found.addresses.unwrap_or_default().into_iter().map(|it| it.allocation_id).collect()
            }
            "volume" => {
                let request = ec2.describe_volumes().filters(filter("volume-id", ids));
                let mut found = list!(self, "DescribeVolumes", request).await?;
                found.retain(|it| it.state() != Some(&VolumeState::Deleted));
                found.into_iter().map(|it| it.volume_id).collect()
            }
            "network-interface" => {
                let request = ec2.describe_network_interfaces().filters(filter("network-interface-id", ids));
                let found = list!(self, "DescribeNetworkInterfaces", request).await?;
                found.into_iter().map(|it| it.network_interface_id).collect()
            }
            "instance" => {
                let mut found = self.instances_by_id(ids).await?;
                found.retain(|it| it.state != InstanceState::Terminated);
                found.into_iter().map(|it| Some(it.id)).collect()
            }
            _ => return Ok(None),
        };
        Ok(Some(there.into_iter().flatten().collect()))
    }
}
