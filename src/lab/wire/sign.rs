//! Who asks for which service: the credential scope of a SigV4 signature.
//!
//! The signature itself is not checked: the lab listens on this machine only, and its key is no
//! secret. Which key, region and service it was made for is.

use axum::http::{HeaderMap, header};

/// The credential scope of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Access key id.
    pub access_key: String,
    /// e.g. `ap-northeast-1`.
    pub region: String,
    /// `ec2`, `sts`, `ssm`.
    pub service: String,
}

/// Reads the `Authorization` header.
pub fn scope(headers: &HeaderMap) -> Option<Scope> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let fields = header.strip_prefix("AWS4-HMAC-SHA256")?;
    let credential = fields.split(',').find_map(|field| field.trim().strip_prefix("Credential="))?;
    // An access key may hold slashes, the scope after it may not.
    let mut parts = credential.rsplitn(5, '/');
    let ("aws4_request", service, region, _date, access_key) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?)
    else {
        return None;
    };
    Some(Scope { access_key: access_key.into(), region: region.into(), service: service.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Scope> {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, text.parse().unwrap());
        scope(&headers)
    }

    #[test]
    fn the_scope_names_key_region_and_service() {
        let scope = read("AWS4-HMAC-SHA256 Credential=lab/20261121/ap-northeast-1/ec2/aws4_request, SignedHeaders=host, Signature=00").unwrap();
        assert_eq!((scope.access_key.as_str(), scope.region.as_str()), ("lab", "ap-northeast-1"));
        assert_eq!(scope.service, "ec2");
        assert_eq!(read("Basic bGFiOmxhYg=="), None);
        assert_eq!(read("AWS4-HMAC-SHA256 Credential=lab/ec2"), None);
    }
}
