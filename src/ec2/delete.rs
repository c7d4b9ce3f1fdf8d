//! Deleting one thing. What is gone already is not an error; what is in use is waited for, and then
//! its holders are named.

use aws_sdk_ec2::types as ec2;

use super::api::Api;
use super::consistency::Patience;
use super::convert::filter;
use super::error::{Cause, Fault};
use super::observe::list;
use crate::ports::{Delete, InstanceState};

impl Api {
    /// Deletes.
    pub async fn delete(&self, delete: &Delete) -> Result<(), Fault> {
        match delete {
            Delete::Instances(ids) => self.terminate(ids).await,
            Delete::SecurityGroup(id) => {
                let call =
                    || self.call("DeleteSecurityGroup", self.ec2.delete_security_group().group_id(id).send());
                self.until_free(("group-id", id), call).await
            }
            Delete::RouteTable { id, association } => {
                if let Some(association) = association {
                    let request = self.ec2.disassociate_route_table().association_id(association);
                    gone(self.call("DisassociateRouteTable", request.send()).await)?;
                }
                let call =
                    || self.call("DeleteRouteTable", self.ec2.delete_route_table().route_table_id(id).send());
                self.until_free(("route-table", id), call).await
            }
            Delete::Subnet(id) => {
                let call = || self.call("DeleteSubnet", self.ec2.delete_subnet().subnet_id(id).send());
                self.until_free(("subnet-id", id), call).await
            }
            Delete::Gateway { id, vpc } => {
                if let Some(vpc) = vpc {
                    let call = || {
                        let request = self.ec2.detach_internet_gateway().internet_gateway_id(id).vpc_id(vpc);
                        self.call("DetachInternetGateway", request.send())
                    };
                    // Public addresses hold the attachment: they are on the interfaces of the VPC.
                    self.until_free(("vpc-id", vpc), call).await?;
                }
                let request = self.ec2.delete_internet_gateway().internet_gateway_id(id);
                gone(self.call("DeleteInternetGateway", request.send()).await)
            }
            Delete::Vpc(id) => {
                let call = || self.call("DeleteVpc", self.ec2.delete_vpc().vpc_id(id).send());
                self.until_free(("vpc-id", id), call).await
            }
            // By name: that is what every EC2 understands, and names are unique.
            Delete::KeyPair(id) => {
                let request = self.ec2.describe_key_pairs().filters(filter("key-pair-id", [id]));
                let found = self.call("DescribeKeyPairs", request.send()).await?;
                for name in found.key_pairs().iter().filter_map(|it| it.key_name()) {
                    gone(self.call("DeleteKeyPair", self.ec2.delete_key_pair().key_name(name).send()).await)?;
                }
                Ok(())
            }
        }
    }

    async fn terminate(&self, ids: &[String]) -> Result<(), Fault> {
        if ids.is_empty() {
            return Ok(());
        }
        let terminate = |ids: Vec<String>| {
            self.call("TerminateInstances", self.ec2.terminate_instances().set_instance_ids(Some(ids)).send())
        };
        match terminate(ids.to_vec()).await {
            // One unknown id refuses the whole call: of the others, those that live are still to go.
            Err(fault) if fault.not_found() => {
                let mut known = self.instances_by_id(ids).await?;
                known.retain(|it| {
                    !matches!(it.state, InstanceState::ShuttingDown | InstanceState::Terminated)
                });
                let left: Vec<String> = known.into_iter().map(|it| it.id).collect();
                if left.is_empty() { Ok(()) } else { terminate(left).await.map(drop) }
            }
            answer => answer.map(drop),
        }
    }

    /// Calls until the thing is gone or the wait is over; then says who holds it.
    async fn until_free<T, F>(&self, held: (&str, &str), mut call: impl FnMut() -> F) -> Result<(), Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let mut answer = gone(Patience::SETTLING.retry(Fault::in_use, &mut call).await);
        if answer.as_ref().is_err_and(Fault::in_use) && self.holders(held).await.fleeting {
            answer = gone(Patience::IN_USE.retry(Fault::in_use, &mut call).await);
        }
        match answer {
            Err(fault) if fault.in_use() => {
                let holders = self.holders(held).await;
                Err(named(fault, held.1, &holders.names))
            }
            answer => answer,
        }
    }

    /// Who holds a thing, as far as EC2 tells.
    async fn holders(&self, (by, id): (&str, &str)) -> Holders {
        let mut names = Vec::new();
        if by != "route-table" {
            let request = self.ec2.describe_network_interfaces().filters(filter(by, [id]));
            let found = list!(self, "DescribeNetworkInterfaces", request).await.unwrap_or_default();
            names.extend(found.iter().map(interface));
        }
        let interfaces = names.len();
        if by == "group-id" {
            for rules in ["ip-permission.group-id", "egress.ip-permission.group-id"] {
                let request = self.ec2.describe_security_groups().filters(filter(rules, [id]));
                let found = list!(self, "DescribeSecurityGroups", request).await.unwrap_or_default();
                let others = found.iter().filter(|it| it.group_id() != Some(id));
                names.extend(others.map(|it| format!("a rule of {}", described(it))));
            }
        }
        if by == "vpc-id" {
            let request = self.ec2.describe_security_groups().filters(filter(by, [id]));
            let found = list!(self, "DescribeSecurityGroups", request).await.unwrap_or_default();
            let named = found.iter().filter(|it| it.group_name() != Some("default"));
            names.extend(named.map(|it| format!("security group {}", described(it))));
            let request = self.ec2.describe_subnets().filters(filter(by, [id]));
            let found = list!(self, "DescribeSubnets", request).await.unwrap_or_default();
            names.extend(found.iter().filter_map(|it| it.subnet_id()).map(|it| format!("subnet {it}")));
        }
        let fleeting = names.len() == interfaces;
        names.sort();
        names.dedup();
        Holders { names, fleeting }
    }
}

/// Who holds a thing.
struct Holders {
    names: Vec<String>,
    /// Interfaces alone, or nobody that EC2 tells of: these go by themselves, rules and subnets do not.
    fleeting: bool,
}

fn named(mut fault: Fault, id: &str, holders: &[String]) -> Fault {
    if let Cause::Service { message, .. } = &mut fault.cause
        && !holders.is_empty()
    {
        *message = format!("{id} is held by {}", holders.join(", "));
    }
    fault
}

/// What is not there is gone.
fn gone<T>(answer: Result<T, Fault>) -> Result<(), Fault> {
    match answer {
        Err(fault) if fault.not_found() || fault.code() == "Gateway.NotAttached" => Ok(()),
        answer => answer.map(drop),
    }
}

fn interface(interface: &ec2::NetworkInterface) -> String {
    let id = interface.network_interface_id().unwrap_or_default();
    match interface.attachment().and_then(|it| it.instance_id()) {
        Some(instance) => format!("interface {id} of {instance}"),
        None => match interface.description().filter(|it| !it.is_empty()) {
            Some(description) => format!("interface {id} ({description})"),
            None => format!("interface {id}"),
        },
    }
}

fn described(group: &ec2::SecurityGroup) -> String {
    format!("{} ({})", group.group_id().unwrap_or_default(), group.group_name().unwrap_or_default())
}
