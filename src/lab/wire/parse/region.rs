//! Images, types, zones, regions, tags.

use crate::lab::wire::params::Scope;
use crate::lab::world::{ApiResult, Request};

/// The call, if it is of this family.
pub fn parse(action: &str, p: &Scope<'_>) -> ApiResult<Option<Request>> {
    use Request as R;
    Ok(Some(match action {
        "DescribeImages" => {
            // Nothing here is deprecated, disabled or private.
            p.flag("IncludeDeprecated")?;
            p.flag("IncludeDisabled")?;
            R::DescribeImages { query: p.query("ImageId")?, owners: p.texts("Owner") }
        }
        "DescribeInstanceTypes" => R::DescribeInstanceTypes(p.query("InstanceType")?),
        "DescribeInstanceTypeOfferings" => {
            R::DescribeInstanceTypeOfferings { query: p.query("")?, location_type: p.text("LocationType") }
        }
        "DescribeAvailabilityZones" => {
            p.flag("AllAvailabilityZones")?;
            R::DescribeAvailabilityZones { query: p.query("ZoneName")?, zone_ids: p.texts("ZoneId") }
        }
        "DescribeRegions" => {
            p.flag("AllRegions")?;
            R::DescribeRegions(p.query("RegionName")?)
        }
        "CreateTags" => R::CreateTags { ids: p.texts("ResourceId"), tags: p.tags("Tag")? },
        "DeleteTags" => {
            let tag = |scope: Scope<'_>| Ok((scope.need("Key")?, scope.text("Value")));
            R::DeleteTags {
                ids: p.texts("ResourceId"),
                tags: p.members("Tag").into_iter().map(tag).collect::<ApiResult<_>>()?,
            }
        }
        "DescribeTags" => R::DescribeTags(p.query("")?),
        _ => return Ok(None),
    }))
}
