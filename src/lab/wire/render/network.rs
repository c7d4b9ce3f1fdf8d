//! VPCs, subnets, gateways, route tables, addresses.

use super::page;
use crate::lab::wire::xml::Fields;
use crate::lab::world::{AddressView, InternetGateway, Response, SubnetView, TableView, Vpc, World};

/// The answer, if it is of this family.
pub fn render(response: &Response, world: &World) -> Fields {
    use Response as R;
    match response {
        R::Vpc(it) => Fields::new().fields("vpc", vpc(it, world)),
        R::Vpcs(all) => page("vpcSet", all, |it| vpc(it, world)),
        R::VpcAttribute { vpc, name, value } => {
            let name = match name.as_str() {
                "enableDnsSupport" => "enableDnsSupport",
                "enableDnsHostnames" => "enableDnsHostnames",
                _ => "enableNetworkAddressUsageMetrics",
            };
            Fields::new().text("vpcId", vpc).fields(name, Fields::new().text("value", value))
        }
        R::Subnet(it) => Fields::new().fields("subnet", subnet(it, world)),
        R::Subnets(all) => page("subnetSet", all, |it| subnet(it, world)),
        R::Gateway(it) => Fields::new().fields("internetGateway", gateway(it, world)),
        R::Gateways(all) => page("internetGatewaySet", all, |it| gateway(it, world)),
        R::Table(it) => Fields::new().fields("routeTable", table(it, world)),
        R::Tables(all) => page("routeTableSet", all, |it| table(it, world)),
        R::Association(id) => {
            Fields::new().text("associationId", id).fields("associationState", associated())
        }
        R::NewAssociation(id) => {
            Fields::new().text("newAssociationId", id).fields("associationState", associated())
        }
        R::AddressAssociation(id) => Fields::new().text("return", true).text("associationId", id),
        R::Address(it) => Fields::new()
            .text("publicIp", it.ip)
            .text("domain", "vpc")
            .text("allocationId", &it.id)
            .text("publicIpv4Pool", "amazon")
            .text("networkBorderGroup", &world.config().region),
        R::Addresses(all) => Fields::new().items("addressesSet", all.iter().map(|it| address(it, world))),
        _ => Fields::new(),
    }
}

fn vpc(it: &Vpc, world: &World) -> Fields {
    let association = Fields::new()
        .text("associationId", &it.cidr_association)
        .text("cidrBlock", it.cidr)
        .fields("cidrBlockState", associated());
    Fields::new()
        .text("vpcId", &it.id)
        .text("ownerId", &world.config().account)
        .text("state", "available")
        .text("cidrBlock", it.cidr)
        .items("cidrBlockAssociationSet", [association])
        .text("dhcpOptionsId", &it.dhcp_options)
        .text("instanceTenancy", "default")
        .text("isDefault", false)
        .tags(&it.tags)
}

fn subnet(it: &SubnetView, world: &World) -> Fields {
    let config = world.config();
    let SubnetView { subnet, available } = it;
    Fields::new()
        .text("subnetId", &subnet.id)
        .text("subnetArn", format!("arn:aws:ec2:{}:{}:subnet/{}", config.region, config.account, subnet.id))
        .text("state", "available")
        .text("ownerId", &config.account)
        .text("vpcId", &subnet.vpc)
        .text("cidrBlock", subnet.cidr)
        .text("availableIpAddressCount", available)
        .text("availabilityZone", &subnet.zone)
        .text("availabilityZoneId", config.zone_id(&subnet.zone))
        .text("defaultForAz", false)
        .text("mapPublicIpOnLaunch", subnet.map_public_ip)
        .text("assignIpv6AddressOnCreation", false)
        .text("ipv6Native", false)
        .tags(&subnet.tags)
}

fn gateway(it: &InternetGateway, world: &World) -> Fields {
    let attachment = |vpc: &String| Fields::new().text("vpcId", vpc).text("state", "available");
    Fields::new()
        .text("internetGatewayId", &it.id)
        .text("ownerId", &world.config().account)
        .items("attachmentSet", it.vpc.iter().map(attachment))
        .tags(&it.tags)
}

fn associated() -> Fields {
    Fields::new().text("state", "associated")
}

fn table(it: &TableView, world: &World) -> Fields {
    let TableView { table, local, black_holes } = it;
    let association = |id: &String, subnet: Option<&String>| {
        Fields::new()
            .text("routeTableAssociationId", id)
            .text("routeTableId", &table.id)
            .opt("subnetId", subnet)
            .text("main", subnet.is_none())
            .fields("associationState", associated())
    };
    let main = table.main.iter().map(|id| association(id, None));
    let others = table.associations.iter().map(|(id, subnet)| association(id, Some(subnet)));
    let own = Fields::new()
        .text("destinationCidrBlock", local)
        .text("gatewayId", "local")
        .text("state", "active")
        .text("origin", "CreateRouteTable");
    let made = table.routes.iter().map(|(to, id)| {
        Fields::new()
            .text("destinationCidrBlock", to)
            .text("gatewayId", id)
            .text("state", if black_holes.contains(id) { "blackhole" } else { "active" })
            .text("origin", "CreateRoute")
    });
    Fields::new()
        .text("routeTableId", &table.id)
        .text("vpcId", &table.vpc)
        .text("ownerId", &world.config().account)
        .items("routeSet", std::iter::once(own).chain(made))
        .items("associationSet", main.chain(others))
        .items("propagatingVgwSet", [])
        .tags(&table.tags)
}

fn address(it: &AddressView, world: &World) -> Fields {
    let config = world.config();
    let interface = it.interface.as_ref();
    Fields::new()
        .text("publicIp", it.address.ip)
        .text("allocationId", &it.address.id)
        .text("domain", "vpc")
        .opt("instanceId", interface.map(|eni| &eni.instance))
        .opt("associationId", it.address.association.as_ref().map(|(id, _)| id))
        .opt("networkInterfaceId", interface.map(|eni| &eni.id))
        .opt("networkInterfaceOwnerId", interface.map(|_| &config.account))
        .opt("privateIpAddress", interface.map(|eni| eni.private_ip))
        .text("publicIpv4Pool", "amazon")
        .text("networkBorderGroup", &config.region)
        .tags(&it.address.tags)
}
