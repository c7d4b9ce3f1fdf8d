//! The adapter, connected to a test's endpoint.

use kubestrap::ec2::{Credentials, Ec2};
use kubestrap::ports::Scope;
use kubestrap::spec::{ImageSource, Provider, ProviderKind};

pub const REGION: &str = "ap-northeast-1";

/// The cluster of these tests.
pub fn scope() -> Scope {
    Scope { id: "books-3f9a2c81".into(), name: "books".into() }
}

pub fn provider(endpoint: &str) -> Provider {
    Provider {
        kind: ProviderKind::Aws,
        region: REGION.into(),
        zone: None,
        profile: None,
        endpoint: Some(endpoint.into()),
        allowed_account_ids: Vec::new(),
        image: ImageSource::Ami("ami-unused".into()),
    }
}

pub fn credentials() -> Credentials {
    Credentials::new("lab", "lab-secret", None, None, "test")
}

pub async fn connect(endpoint: &str) -> Ec2 {
    Ec2::connect(&provider(endpoint), Some(credentials())).await.expect("an endpoint is given")
}
