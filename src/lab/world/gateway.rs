//! Internet gateways.

use super::World;
use super::error::{ApiError, ApiResult};
use super::model::InternetGateway;
use super::query::Field;
use super::request::TagSpec;
use super::response::Response;
use super::store::Resource;
use super::tag::tags_for;

/// Filters of DescribeInternetGateways.
pub(super) const FIELDS: &[Field<InternetGateway>] = &[
    ("internet-gateway-id", |_, gateway| vec![gateway.id.clone()]),
    ("attachment.vpc-id", |_, gateway| gateway.vpc.iter().cloned().collect()),
    ("attachment.state", |_, gateway| gateway.vpc.iter().map(|_| "available".into()).collect()),
    ("owner-id", |world, _| vec![world.config.account.clone()]),
];

impl World {
    pub(super) fn create_gateway(&mut self, tags: Vec<TagSpec>) -> ApiResult<Response> {
        let tags = tags_for(InternetGateway::KIND, tags)?;
        let gateway = InternetGateway { id: self.mint("igw-"), vpc: None, tags };
        self.gateways.insert(gateway.clone());
        Ok(Response::Gateway(gateway))
    }

    pub(super) fn delete_gateway(&mut self, id: &str) -> ApiResult<Response> {
        if self.gateways.get(id)?.vpc.is_some() {
            return Err(ApiError::dependency(format!(
                "The internetGateway '{id}' has dependencies and cannot be deleted."
            )));
        }
        self.gateways.remove(id);
        Ok(Response::Done)
    }

    pub(super) fn attach_gateway(&mut self, id: &str, vpc: &str) -> ApiResult<Response> {
        self.vpcs.get(vpc)?;
        if let Some(holder) = &self.gateways.get(id)?.vpc {
            return Err(ApiError::new(
                "Resource.AlreadyAssociated",
                format!("resource {id} is already attached to network {holder}"),
            ));
        }
        if self.gateways.all().any(|gateway| gateway.vpc.as_deref() == Some(vpc)) {
            return Err(ApiError::value(format!("Network {vpc} already has an internet gateway attached")));
        }
        self.gateways.get_mut(id)?.vpc = Some(vpc.to_owned());
        Ok(Response::Done)
    }

    pub(super) fn detach_gateway(&mut self, id: &str, vpc: &str) -> ApiResult<Response> {
        self.vpcs.get(vpc)?;
        if self.gateways.get(id)?.vpc.as_deref() != Some(vpc) {
            return Err(ApiError::new(
                "Gateway.NotAttached",
                format!("resource {id} is not attached to network {vpc}"),
            ));
        }
        if self.interfaces.all().any(|eni| eni.vpc == vpc && self.public_of(eni).is_some()) {
            return Err(ApiError::dependency(format!(
                "Network {vpc} has some mapped public address(es). Please unmap those public address(es) before detaching the gateway."
            )));
        }
        self.gateways.get_mut(id)?.vpc = None;
        Ok(Response::Done)
    }
}
