//! VPCs, subnets, gateways, route tables, addresses.

use crate::lab::wire::params::Scope;
use crate::lab::world::{ApiError, ApiResult, Request};

/// The call, if it is of this family.
pub fn parse(action: &str, p: &Scope<'_>) -> ApiResult<Option<Request>> {
    use Request as R;
    Ok(Some(match action {
        "CreateVpc" => {
            if let Some(tenancy) = p.text("InstanceTenancy").filter(|tenancy| tenancy != "default") {
                return Err(ApiError::unsupported(format!(
                    "The lab has default tenancy only, not {tenancy}."
                )));
            }
            if p.flag("AmazonProvidedIpv6CidrBlock")? == Some(true) {
                return Err(ApiError::unsupported("The lab's networks are IPv4 only."));
            }
            R::CreateVpc { cidr: p.need("CidrBlock")?, tags: p.tag_specs()? }
        }
        "DeleteVpc" => R::DeleteVpc { id: p.need("VpcId")? },
        "DescribeVpcs" => R::DescribeVpcs(p.query("VpcId")?),
        "ModifyVpcAttribute" => R::ModifyVpcAttribute {
            id: p.need("VpcId")?,
            dns_support: p.attribute("EnableDnsSupport")?,
            dns_hostnames: p.attribute("EnableDnsHostnames")?,
        },
        "DescribeVpcAttribute" => {
            R::DescribeVpcAttribute { id: p.need("VpcId")?, attribute: p.need("Attribute")? }
        }

        "CreateSubnet" => R::CreateSubnet {
            vpc: p.need("VpcId")?,
            cidr: p.need("CidrBlock")?,
            zone: p.text("AvailabilityZone"),
            zone_id: p.text("AvailabilityZoneId"),
            tags: p.tag_specs()?,
        },
        "DeleteSubnet" => R::DeleteSubnet { id: p.need("SubnetId")? },
        "DescribeSubnets" => R::DescribeSubnets(p.query("SubnetId")?),
        "ModifySubnetAttribute" => R::ModifySubnetAttribute {
            id: p.need("SubnetId")?,
            map_public_ip: p
                .attribute("MapPublicIpOnLaunch")?
                .ok_or_else(|| ApiError::missing("MapPublicIpOnLaunch.Value"))?,
        },

        "CreateInternetGateway" => R::CreateInternetGateway { tags: p.tag_specs()? },
        "DeleteInternetGateway" => R::DeleteInternetGateway { id: p.need("InternetGatewayId")? },
        "AttachInternetGateway" => {
            R::AttachInternetGateway { id: p.need("InternetGatewayId")?, vpc: p.need("VpcId")? }
        }
        "DetachInternetGateway" => {
            R::DetachInternetGateway { id: p.need("InternetGatewayId")?, vpc: p.need("VpcId")? }
        }
        "DescribeInternetGateways" => R::DescribeInternetGateways(p.query("InternetGatewayId")?),

        "CreateRouteTable" => R::CreateRouteTable {
            vpc: p.need("VpcId")?,
            tags: p.tag_specs()?,
            client_token: p.text("ClientToken"),
        },
        "DeleteRouteTable" => R::DeleteRouteTable { id: p.need("RouteTableId")? },
        "DescribeRouteTables" => R::DescribeRouteTables(p.query("RouteTableId")?),
        "AssociateRouteTable" => {
            R::AssociateRouteTable { id: p.need("RouteTableId")?, subnet: p.need("SubnetId")? }
        }
        "DisassociateRouteTable" => R::DisassociateRouteTable { association: p.need("AssociationId")? },
        "ReplaceRouteTableAssociation" => R::ReplaceRouteTableAssociation {
            association: p.need("AssociationId")?,
            id: p.need("RouteTableId")?,
        },
        "CreateRoute" => {
            let (table, destination, gateway) = route(p)?;
            R::CreateRoute { table, destination, gateway }
        }
        "ReplaceRoute" => {
            let (table, destination, gateway) = route(p)?;
            R::ReplaceRoute { table, destination, gateway }
        }
        "DeleteRoute" => {
            R::DeleteRoute { table: p.need("RouteTableId")?, destination: p.need("DestinationCidrBlock")? }
        }

        "AllocateAddress" => R::AllocateAddress { domain: p.text("Domain"), tags: p.tag_specs()? },
        "ReleaseAddress" => R::ReleaseAddress { allocation: p.need("AllocationId")? },
        "AssociateAddress" => R::AssociateAddress {
            allocation: p.need("AllocationId")?,
            instance: p.text("InstanceId"),
            interface: p.text("NetworkInterfaceId"),
            allow_reassociation: p.flag("AllowReassociation")?.unwrap_or(false),
        },
        "DisassociateAddress" => R::DisassociateAddress { association: p.need("AssociationId")? },
        "DescribeAddresses" => {
            R::DescribeAddresses { query: p.query("AllocationId")?, public_ips: p.texts("PublicIp") }
        }
        _ => return Ok(None),
    }))
}

fn route(p: &Scope<'_>) -> ApiResult<(String, String, String)> {
    Ok((p.need("RouteTableId")?, p.need("DestinationCidrBlock")?, p.need("GatewayId")?))
}
