//! CreateKeyPair: the only place where the lab makes a private key, and it does not keep it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};

use super::params::Params;
use crate::lab::world::{ApiError, ApiResult, Call, Request};

/// The import of a fresh public key, and the private half in OpenSSH format.
///
/// # Errors
/// Key types and formats that the lab cannot make.
pub fn create(params: &Params) -> ApiResult<(Call, String)> {
    let p = params.root();
    let name = p.need("KeyName")?;
    let kind = p.text("KeyType").unwrap_or_else(|| "rsa".into());
    if kind != "ed25519" {
        return Err(ApiError::unsupported(format!(
            "The lab makes ed25519 keys only, not {kind}: set KeyType, or import a key."
        )));
    }
    if let Some(format) = p.text("KeyFormat").filter(|format| format != "pem") {
        return Err(ApiError::unsupported(format!("The lab writes keys as pem only, not {format}.")));
    }
    let failed =
        |error: ssh_key::Error| ApiError::new("InternalError", format!("no key could be made: {error}"));
    let private = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(failed)?;
    let public = private.public_key().to_openssh().map_err(failed)?;
    let request = Request::ImportKeyPair { name, material: BASE64.encode(public), tags: p.tag_specs()? };
    let dry_run = p.flag("DryRun")?.unwrap_or(false);
    params.finish()?;
    let private = private.to_openssh(LineEnding::LF).map_err(failed)?.to_string();
    Ok((Call { dry_run, request }, private))
}
