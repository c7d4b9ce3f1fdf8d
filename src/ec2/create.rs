//! Creating one thing, tagged in the creating call, or adopting it where it is there already.

use aws_sdk_ec2::primitives::Blob;
use aws_sdk_ec2::types::{self as ec2, AttributeBooleanValue, ResourceType, TagSpecification};
use ipnet::Ipv4Net;

use super::api::Api;
use super::consistency::Patience;
use super::convert::{filter, new_tag, ours, tag_value, tagged, tags};
use super::error::Fault;
use super::observe::{association, default_gateway, list, without_comment};
use crate::ports::{Create, Scope, tag};

impl Api {
    /// Creates or adopts; returns the id.
    pub async fn create(&self, scope: &Scope, create: &Create) -> Result<String, Fault> {
        let id = match create {
            Create::Vpc { cidr, built } => self.create_vpc(scope, *cidr, built).await?,
            Create::Gateway { vpc } => self.create_gateway(scope, vpc).await?,
            Create::Subnet { vpc, cidr, zone } => self.create_subnet(scope, vpc, *cidr, zone).await?,
            Create::RouteTable { vpc, gateway, subnet } => {
                self.create_route_table(scope, vpc, gateway, subnet).await?
            }
            Create::KeyPair { name, public_key } => self.import_key_pair(scope, name, public_key).await?,
            Create::SecurityGroup { vpc, logical, name, description } => {
                self.create_group(scope, vpc, logical, name, description).await?
            }
        };
        Ok(id)
    }

    /// Creates what EC2 has neither a token nor a unique name for. Looks first; sends the call once
    /// a try, and when nobody tells whether it took effect, looks again before the next.
    async fn once<L, C>(&self, look: impl Fn() -> L, create: impl Fn() -> C) -> Result<String, Fault>
    where
        L: Future<Output = Result<Option<String>, Fault>>,
        C: Future<Output = Result<String, Fault>>,
    {
        let unclear = |fault: &Fault| fault.ambiguous() || fault.throttled();
        let look_then_create = || async {
            match look().await? {
                Some(id) => Ok(id),
                None => create().await,
            }
        };
        let id = Patience::new(30_000, 1_000, 8_000).retry(unclear, look_then_create).await?;
        self.fresh.note(&id);
        Ok(id)
    }

    async fn create_vpc(&self, scope: &Scope, cidr: Ipv4Net, built: &str) -> Result<String, Fault> {
        let look = || async {
            let found = list!(self, "DescribeVpcs", self.ec2.describe_vpcs().filters(ours(scope))).await?;
            Ok(found.into_iter().filter_map(|it| it.vpc_id).min())
        };
        let create = || async {
            let request = self
                .ec2
                .create_vpc()
                .cidr_block(cidr.to_string())
                .tag_specifications(
                    TagSpecification::builder()
                        .resource_type(ResourceType::Vpc)
                        .set_tags(Some(tags(scope, "vpc")))
                        .tags(new_tag(tag::BUILT, built))
                        .build(),
                )
                .customize()
                .config_override(Api::unretried());
            let made = self.call("CreateVpc", request.send()).await?;
            id("CreateVpc", made.vpc.and_then(|it| it.vpc_id))
        };
        self.once(look, create).await
    }

    async fn create_gateway(&self, scope: &Scope, vpc: &str) -> Result<String, Fault> {
        let find = || async {
            let request = self.ec2.describe_internet_gateways().filters(ours(scope));
            let mut found = list!(self, "DescribeInternetGateways", request).await?;
            found.sort_by_key(|it| (!attached(it, vpc), it.internet_gateway_id.clone()));
            Ok(found.into_iter().next())
        };
        let look = || async { Ok(find().await?.and_then(|it: ec2::InternetGateway| it.internet_gateway_id)) };
        let create = || async {
            let request = self
                .ec2
                .create_internet_gateway()
                .tag_specifications(tagged(ResourceType::InternetGateway, scope, "gateway"))
                .customize()
                .config_override(Api::unretried());
            let made = self.call("CreateInternetGateway", request.send()).await?;
            id("CreateInternetGateway", made.internet_gateway.and_then(|it| it.internet_gateway_id))
        };
        let gateway = self.once(look, create).await?;
        let attach = || {
            let request = self.ec2.attach_internet_gateway().internet_gateway_id(&gateway).vpc_id(vpc);
            self.call("AttachInternetGateway", request.send())
        };
        match self.settled(&[gateway.clone(), vpc.to_owned()], attach).await {
            Ok(_) => Ok(gateway),
            // Attached already: fine when it is to this VPC (an adopted one, or a retried call).
            Err(fault) => match find().await? {
                Some(found) if attached(&found, vpc) => Ok(gateway),
                _ => Err(fault),
            },
        }
    }

    async fn create_subnet(
        &self,
        scope: &Scope,
        vpc: &str,
        cidr: Ipv4Net,
        zone: &str,
    ) -> Result<String, Fault> {
        let find = || async {
            let request = self.ec2.describe_subnets().filters(ours(scope)).filters(filter("vpc-id", [vpc]));
            let found = list!(self, "DescribeSubnets", request).await?;
            Ok(found.into_iter().find(|it: &ec2::Subnet| it.cidr_block() == Some(&cidr.to_string())))
        };
        let found: Option<ec2::Subnet> = find().await?;
        let public = found.as_ref().and_then(|it| it.map_public_ip_on_launch()).unwrap_or(false);
        let subnet = match found.and_then(|it| it.subnet_id) {
            Some(subnet) => subnet,
            None => {
                let create = || {
                    let request = self
                        .ec2
                        .create_subnet()
                        .vpc_id(vpc)
                        .cidr_block(cidr.to_string())
                        .availability_zone(zone)
                        .tag_specifications(tagged(ResourceType::Subnet, scope, "subnet"));
                    self.call("CreateSubnet", request.send())
                };
                match self.settled(&[vpc.to_owned()], create).await {
                    Ok(made) => id("CreateSubnet", made.subnet.and_then(|it| it.subnet_id))?,
                    // The range is taken: by ourselves, when an earlier answer was lost.
                    Err(fault) if fault.code() == "InvalidSubnet.Conflict" => {
                        find().await?.and_then(|it| it.subnet_id).ok_or(fault)?
                    }
                    Err(fault) => return Err(fault),
                }
            }
        };
        self.fresh.note(&subnet);
        if !public {
            let modify = || {
                let request = self
                    .ec2
                    .modify_subnet_attribute()
                    .subnet_id(&subnet)
                    .map_public_ip_on_launch(AttributeBooleanValue::builder().value(true).build());
                self.call("ModifySubnetAttribute", request.send())
            };
            self.settled(std::slice::from_ref(&subnet), modify).await?;
        }
        Ok(subnet)
    }

    async fn create_route_table(
        &self,
        scope: &Scope,
        vpc: &str,
        gateway: &str,
        subnet: &str,
    ) -> Result<String, Fault> {
        let request = self.ec2.describe_route_tables().filters(ours(scope)).filters(filter("vpc-id", [vpc]));
        let found = list!(self, "DescribeRouteTables", request).await?;
        let found = found
            .into_iter()
            .min_by_key(|it| (association(it, Some(subnet)).is_none(), it.route_table_id.clone()));
        let table = match found.as_ref().and_then(|it| it.route_table_id.clone()) {
            Some(table) => table,
            None => {
                // The SDK fills in a client token, so its own retries make no second table.
                let create = || {
                    let request = self.ec2.create_route_table().vpc_id(vpc).tag_specifications(tagged(
                        ResourceType::RouteTable,
                        scope,
                        "route-table",
                    ));
                    self.call("CreateRouteTable", request.send())
                };
                let made = self.settled(&[vpc.to_owned()], create).await?;
                id("CreateRouteTable", made.route_table.and_then(|it| it.route_table_id))?
            }
        };
        self.fresh.note(&table);
        if found.as_ref().and_then(default_gateway) != Some(gateway) {
            self.route_to(&table, gateway).await?;
        }
        if found.as_ref().and_then(|it| association(it, Some(subnet))).is_none() {
            let associate = || {
                let request = self.ec2.associate_route_table().route_table_id(&table).subnet_id(subnet);
                self.call("AssociateRouteTable", request.send())
            };
            match self.settled(&[table.clone(), subnet.to_owned()], associate).await {
                // A retried call whose first answer was lost.
                Err(fault) if fault.code() == "Resource.AlreadyAssociated" => {
                    let request =
                        self.ec2.describe_route_tables().filters(filter("route-table-id", [&table]));
                    let now = list!(self, "DescribeRouteTables", request).await?;
                    now.iter().find_map(|it| association(it, Some(subnet))).ok_or(fault)?;
                }
                answer => _ = answer?,
            }
        }
        Ok(table)
    }

    /// 0.0.0.0/0 to the gateway, whatever was there before.
    async fn route_to(&self, table: &str, gateway: &str) -> Result<(), Fault> {
        let ids = [table.to_owned(), gateway.to_owned()];
        let create = || {
            let request = self.ec2.create_route().route_table_id(table).gateway_id(gateway);
            self.call("CreateRoute", request.destination_cidr_block("0.0.0.0/0").send())
        };
        let replace = || {
            let request = self.ec2.replace_route().route_table_id(table).gateway_id(gateway);
            self.call("ReplaceRoute", request.destination_cidr_block("0.0.0.0/0").send())
        };
        match self.settled(&ids, create).await {
            Err(fault) if fault.code() == "RouteAlreadyExists" => {
                self.settled(&ids, replace).await?;
                Ok(())
            }
            answer => answer.map(drop),
        }
    }

    async fn import_key_pair(&self, scope: &Scope, name: &str, public_key: &str) -> Result<String, Fault> {
        let import = || async {
            let request = self
                .ec2
                .import_key_pair()
                .key_name(name)
                .public_key_material(Blob::new(public_key))
                .tag_specifications(tagged(ResourceType::KeyPair, scope, "key-pair"));
            let made = self.call("ImportKeyPair", request.send()).await?;
            id("ImportKeyPair", made.key_pair_id)
        };
        let pair = match import().await {
            Err(fault) if fault.code() == "InvalidKeyPair.Duplicate" => {
                let request = self
                    .ec2
                    .describe_key_pairs()
                    .filters(filter("key-name", [name]))
                    .include_public_key(true);
                let found =
                    self.call("DescribeKeyPairs", request.send()).await?.key_pairs.unwrap_or_default();
                let ours = found.into_iter().find(|it| belongs(scope, it.tags())).ok_or(fault)?;
                if ours.public_key().map(without_comment) == Some(without_comment(public_key)) {
                    id("DescribeKeyPairs", ours.key_pair_id)?
                } else {
                    // Ours, of a key that is lost: no instance needs it again.
                    let request = self.ec2.delete_key_pair().key_name(name);
                    self.call("DeleteKeyPair", request.send()).await?;
                    import().await?
                }
            }
            answer => answer?,
        };
        self.fresh.note(name);
        Ok(pair)
    }

    async fn create_group(
        &self,
        scope: &Scope,
        vpc: &str,
        logical: &str,
        name: &str,
        description: &str,
    ) -> Result<String, Fault> {
        let create = || {
            let tags = tagged(ResourceType::SecurityGroup, scope, &format!("group/{logical}"));
            let request =
                self.ec2.create_security_group().vpc_id(vpc).group_name(name).description(description);
            self.call("CreateSecurityGroup", request.tag_specifications(tags).send())
        };
        let group = match self.settled(&[vpc.to_owned()], create).await {
            Ok(made) => id("CreateSecurityGroup", made.group_id)?,
            Err(fault) if fault.code() == "InvalidGroup.Duplicate" => {
                let filters = vec![filter("group-name", [name]), filter("vpc-id", [vpc])];
                let request = self.ec2.describe_security_groups().set_filters(Some(filters));
                let found = list!(self, "DescribeSecurityGroups", request).await?;
                let ours = found.into_iter().find(|it: &ec2::SecurityGroup| belongs(scope, it.tags()));
                ours.and_then(|it| it.group_id).ok_or(fault)?
            }
            Err(fault) => return Err(fault),
        };
        self.fresh.note(&group);
        Ok(group)
    }
}

fn attached(gateway: &ec2::InternetGateway, vpc: &str) -> bool {
    gateway.attachments().iter().any(|it| it.vpc_id() == Some(vpc))
}

fn belongs(scope: &Scope, tags: &[ec2::Tag]) -> bool {
    tag_value(tags, tag::CLUSTER) == Some(&scope.id)
}

/// The id of what was made; an answer without one is not of EC2.
pub(super) fn id(operation: &'static str, id: Option<String>) -> Result<String, Fault> {
    id.ok_or_else(|| Fault::service(operation, "MalformedAnswer", "the answer holds no id"))
}
