//! VPCs. A new one comes with a main route table and a default group, as on AWS.

use ipnet::Ipv4Net;

use super::World;
use super::error::{ApiError, ApiResult};
use super::group::{default_egress, default_ingress};
use super::model::{RouteTable, SecurityGroup, Vpc};
use super::query::Field;
use super::request::TagSpec;
use super::response::Response;
use super::store::{Resource, Tags};
use super::tag::tags_for;

/// Filters of DescribeVpcs.
pub(super) const FIELDS: &[Field<Vpc>] = &[
    ("vpc-id", |_, vpc| vec![vpc.id.clone()]),
    ("cidr", |_, vpc| vec![vpc.cidr.to_string()]),
    ("cidr-block", |_, vpc| vec![vpc.cidr.to_string()]),
    ("cidr-block-association.cidr-block", |_, vpc| vec![vpc.cidr.to_string()]),
    ("cidr-block-association.association-id", |_, vpc| vec![vpc.cidr_association.clone()]),
    ("cidr-block-association.state", |_, _| vec!["associated".into()]),
    ("dhcp-options-id", |_, vpc| vec![vpc.dhcp_options.clone()]),
    ("is-default", |_, _| vec!["false".into()]),
    ("isDefault", |_, _| vec!["false".into()]),
    ("owner-id", |world, _| vec![world.config.account.clone()]),
    ("state", |_, _| vec!["available".into()]),
];

/// Parses a range and clears its host bits, as EC2 does.
///
/// # Errors
/// `InvalidParameterValue` for what is no IPv4 range.
pub(super) fn parse_cidr(text: &str, parameter: &str) -> ApiResult<Ipv4Net> {
    text.parse::<Ipv4Net>().map(|net| net.trunc()).map_err(|_| {
        ApiError::value(format!(
            "Value ({text}) for parameter {parameter} is invalid. This is not a valid CIDR block."
        ))
    })
}

impl World {
    pub(super) fn create_vpc(&mut self, cidr: &str, tags: Vec<TagSpec>) -> ApiResult<Response> {
        let tags = tags_for(Vpc::KIND, tags)?;
        let cidr = parse_cidr(cidr, "cidrBlock")?;
        if !(16..=28).contains(&cidr.prefix_len()) {
            return Err(ApiError::new("InvalidVpc.Range", format!("The CIDR '{cidr}' is invalid.")));
        }
        let vpc = Vpc {
            id: self.mint("vpc-"),
            cidr,
            cidr_association: self.mint("vpc-cidr-assoc-"),
            dhcp_options: "dopt-00000000000000001".into(),
            dns_support: true,
            dns_hostnames: false,
            tags,
        };
        let group = self.mint("sg-");
        let rules =
            vec![default_ingress(self.mint("sgr-"), &group), default_egress(self.mint("sgr-"), &group)];
        self.groups.insert(SecurityGroup {
            id: group,
            name: "default".into(),
            description: "default VPC security group".into(),
            vpc: vpc.id.clone(),
            rules,
            tags: Tags::new(),
        });
        let table = RouteTable {
            id: self.mint("rtb-"),
            vpc: vpc.id.clone(),
            main: Some(self.mint("rtbassoc-")),
            associations: Vec::new(),
            routes: Vec::new(),
            tags: Tags::new(),
        };
        self.tables.insert(table);
        self.vpcs.insert(vpc.clone());
        Ok(Response::Vpc(vpc))
    }

    pub(super) fn delete_vpc(&mut self, id: &str) -> ApiResult<Response> {
        self.vpcs.get(id)?;
        let held = self.subnets.all().any(|subnet| subnet.vpc == id)
            || self.gateways.all().any(|gateway| gateway.vpc.as_deref() == Some(id))
            || self.tables.all().any(|table| table.vpc == id && table.main.is_none())
            || self.groups.all().any(|group| group.vpc == id && group.name != "default")
            || self.interfaces.all().any(|interface| interface.vpc == id);
        if held {
            return Err(ApiError::dependency(format!(
                "The vpc '{id}' has dependencies and cannot be deleted."
            )));
        }
        let tables: Vec<_> = self.tables.all().filter(|t| t.vpc == id).map(|t| t.id.clone()).collect();
        tables.iter().for_each(|table| drop(self.tables.remove(table)));
        let groups: Vec<_> = self.groups.all().filter(|g| g.vpc == id).map(|g| g.id.clone()).collect();
        groups.iter().for_each(|group| drop(self.groups.remove(group)));
        self.vpcs.remove(id);
        Ok(Response::Done)
    }

    pub(super) fn modify_vpc(
        &mut self,
        id: &str,
        dns_support: Option<bool>,
        dns_hostnames: Option<bool>,
    ) -> ApiResult<Response> {
        let vpc = self.vpcs.get_mut(id)?;
        match (dns_support, dns_hostnames) {
            (Some(support), None) => vpc.dns_support = support,
            (None, Some(hostnames)) => vpc.dns_hostnames = hostnames,
            (None, None) => return Err(ApiError::missing("attribute")),
            (Some(_), Some(_)) => {
                return Err(ApiError::combination("Only one attribute can be modified at a time"));
            }
        }
        Ok(Response::Done)
    }

    pub(super) fn vpc_attribute(&self, id: &str, attribute: String) -> ApiResult<Response> {
        let vpc = self.vpcs.get(id)?;
        let value = match attribute.as_str() {
            "enableDnsSupport" => vpc.dns_support,
            "enableDnsHostnames" => vpc.dns_hostnames,
            "enableNetworkAddressUsageMetrics" => false,
            _ => {
                return Err(ApiError::value(format!(
                    "Value ({attribute}) for parameter vpcAttribute is invalid. Unknown attribute."
                )));
            }
        };
        Ok(Response::VpcAttribute { vpc: id.to_owned(), name: attribute, value })
    }
}
