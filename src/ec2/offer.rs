//! What the region offers: zones, instance types, public images.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{self as ec2, LocationType};

use super::api::Api;
use super::convert::{arch, filter};
use super::error::Fault;
use super::observe::list;
use crate::ports::Offer;

impl Api {
    /// The first zone (or the one asked for) that offers all the types.
    pub async fn offer(&self, zone: Option<&str>, types: &[String]) -> Result<Offer, Fault> {
        let ec2 = &self.ec2;
        let kinds = types.iter().map(|it| it.as_str().into()).collect::<Vec<ec2::InstanceType>>();
        let zones = ec2
            .describe_availability_zones()
            .set_zone_names(zone.map(|zone| vec![zone.to_owned()]))
            .filters(filter("state", ["available"]));
        let offerings = ec2
            .describe_instance_type_offerings()
            .location_type(LocationType::AvailabilityZone)
            .filters(filter("instance-type", types));
        let (kinds, zones, offerings) = tokio::try_join!(
            list!(
                self,
                "DescribeInstanceTypes",
                ec2.describe_instance_types().set_instance_types(Some(kinds))
            ),
            self.call("DescribeAvailabilityZones", zones.send()),
            list!(self, "DescribeInstanceTypeOfferings", offerings),
        )?;
        let zones: BTreeSet<String> =
            zones.availability_zones().iter().filter_map(|it| it.zone_name.clone()).collect();
        let mut offered: BTreeMap<String, BTreeSet<String>> =
            zones.into_iter().map(|zone| (zone, BTreeSet::new())).collect();
        for offering in offerings {
            if let (Some(zone), Some(kind)) = (offering.location(), offering.instance_type())
                && let Some(types) = offered.get_mut(zone)
            {
                types.insert(kind.as_str().to_owned());
            }
        }
        let zone = choose(&self.region, &offered, types)?;
        Ok(Offer { zone, arch: kinds.iter().filter_map(architecture).collect() })
    }

    /// The AMI id behind a public parameter.
    pub async fn image(&self, parameter: &str) -> Result<String, Fault> {
        let request = self.ssm.get_parameter().name(parameter).send();
        let found = self.call("GetParameter", request).await.map_err(|fault| match fault.code() {
            // SSM gives no word with it.
            "ParameterNotFound" => {
                let message = format!("{parameter} does not exist in {}", self.region);
                Fault::service("GetParameter", "ParameterNotFound", message)
            }
            _ => fault,
        })?;
        let value = found.parameter.and_then(|it| it.value).unwrap_or_default();
        if value.starts_with("ami-") {
            Ok(value)
        } else {
            let message = format!("{parameter} holds {value:?}, which is no AMI id");
            Err(Fault::service("GetParameter", "InvalidAMIID.Malformed", message))
        }
    }

    /// The last lines of the console.
    pub async fn console(&self, instance: &str) -> Result<String, Fault> {
        use base64::Engine as _;
        let request = self.ec2.get_console_output().instance_id(instance);
        // Nitro tells the console of this moment; older types only that of the last boot, and refuse `latest`.
        let answer = match self.call("GetConsoleOutput", request.clone().latest(true).send()).await {
            Err(fault) if !fault.not_found() && !fault.code().is_empty() => {
                self.call("GetConsoleOutput", request.send()).await?
            }
            answer => answer?,
        };
        let encoded: String = answer.output().unwrap_or_default().split_whitespace().collect();
        let decoded = base64::engine::general_purpose::STANDARD.decode(&encoded).unwrap_or_default();
        let text = String::from_utf8_lossy(&decoded).replace('\r', "");
        let lines: Vec<&str> = text.lines().collect();
        Ok(lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n"))
    }
}

/// How much of a console is worth showing.
const CONSOLE_LINES: usize = 100;

/// The architecture that an image for this type must have; 64 bits where there is a choice.
fn architecture(kind: &ec2::InstanceTypeInfo) -> Option<(String, String)> {
    let name = kind.instance_type()?.as_str().to_owned();
    let supported = kind.processor_info()?.supported_architectures();
    let best = supported.iter().find(|it| it.as_str() != "i386").or(supported.first())?;
    Some((name, arch(best.as_str()).to_owned()))
}

/// The first zone that has all of `types`, or which zone lacks what.
fn choose(
    region: &str,
    offered: &BTreeMap<String, BTreeSet<String>>,
    types: &[String],
) -> Result<String, Fault> {
    let missing = |has: &BTreeSet<String>| -> Vec<String> {
        types.iter().filter(|kind| !has.contains(*kind)).cloned().collect()
    };
    if let Some((zone, _)) = offered.iter().find(|(_, has)| missing(has).is_empty()) {
        return Ok(zone.clone());
    }
    let lacking: Vec<String> =
        offered.iter().map(|(zone, has)| format!("{zone} lacks {}", missing(has).join(", "))).collect();
    let message = match lacking.as_slice() {
        [] => format!("no zone of {region} is available"),
        lacking => format!("no zone offers all of {}: {}", types.join(", "), lacking.join("; ")),
    };
    Err(Fault::service("DescribeInstanceTypeOfferings", "Unsupported", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(zones: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        let types = |types: &[&str]| types.iter().map(|it| (*it).to_owned()).collect();
        zones.iter().map(|(zone, has)| ((*zone).to_owned(), types(has))).collect()
    }

    #[test]
    fn the_first_zone_that_has_all_types_is_chosen() {
        let types = ["t3.medium".to_owned(), "t4g.small".to_owned()];
        let zones =
            offered(&[("r-1a", &["t3.medium"]), ("r-1c", &["t3.medium", "t4g.small"]), ("r-1d", &[])]);
        assert_eq!(choose("r-1", &zones, &types).unwrap(), "r-1c");
    }

    #[test]
    fn when_no_zone_has_them_all_each_says_what_it_lacks() {
        let types = ["t3.medium".to_owned(), "t4g.small".to_owned()];
        let zones = offered(&[("r-1a", &["t3.medium"]), ("r-1c", &["t4g.small"])]);
        let error = crate::ports::CloudError::from(choose("r-1", &zones, &types).unwrap_err());
        assert_eq!(
            error.to_string(),
            "DescribeInstanceTypeOfferings: Unsupported: no zone offers all of t3.medium, t4g.small: r-1a lacks t4g.small; r-1c lacks t3.medium"
        );
    }
}
