//! Form parameters to typed calls: one file per family of resources.

mod groups;
mod instances;
mod network;
mod region;

use super::params::Params;
use crate::lab::world::{ApiError, ApiResult, Call};

/// Reads a call.
///
/// # Errors
/// `InvalidAction` for what the lab has not; missing, wrong and unknown parameters.
pub fn call(action: &str, params: &Params) -> ApiResult<Call> {
    let scope = params.root();
    for family in [network::parse, groups::parse, instances::parse, region::parse] {
        if let Some(request) = family(action, &scope)? {
            let dry_run = scope.flag("DryRun")?.unwrap_or(false);
            params.finish()?;
            return Ok(Call { dry_run, request });
        }
    }
    Err(ApiError::new("InvalidAction", format!("The action {action} is not valid for this web service.")))
}
