//! Pushing an image to a registry and reading back what is there.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{
    IMAGE_MANIFEST_LIST_MEDIA_TYPE, IMAGE_MANIFEST_MEDIA_TYPE, OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference, RegistryOperation};
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, Os};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::{Blob, Image, ImageRef, Mirrors, Platform};

/// Blobs and manifests under way at a time.
const AT_A_TIME: usize = 4;

/// Who pushes.
#[derive(Clone, Debug, Default)]
pub enum Login {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A user, by password or token.
    User {
        /// The user's name.
        name: String,
        /// The password or token.
        password: SecretString,
    },
}

/// Registries, with their mirrors and a login.
pub struct Registry {
    client: Client,
    mirrors: Mirrors,
    login: Login,
}

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Digest of the index, which pins the image for good.
    pub digest: String,
    /// Blobs that had to be sent.
    pub sent: usize,
    /// Blobs that were there already.
    pub present: usize,
}

/// Why a registry did not take or give an image.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It cannot be reached.
    #[error("registry {registry} cannot be reached: {detail}")]
    Unreachable {
        /// Address of the registry.
        registry: String,
        /// What the system said.
        detail: String,
    },
    /// It does not let us.
    #[error("registry {registry} refuses access to {image}: {detail}")]
    Denied {
        /// Address of the registry.
        registry: String,
        /// The image.
        image: String,
        /// What it said.
        detail: String,
    },
    /// The image is not there.
    #[error("registry {registry} has no {image}")]
    Missing {
        /// Address of the registry.
        registry: String,
        /// The image.
        image: String,
    },
    /// It answered something else than was asked for.
    #[error("registry {registry} failed on {what} of {image}: {detail}")]
    Failed {
        /// Address of the registry.
        registry: String,
        /// The image.
        image: String,
        /// What was being done.
        what: String,
        /// What it said.
        detail: String,
    },
}

impl RegistryError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Unreachable { registry, .. } => {
                format!(
                    "check that `curl {registry}/v2/` answers, and the mirrors in [sources]; then run it again"
                )
            }
            Self::Denied { registry, .. } => {
                format!(
                    "set KUBESTRAP_REGISTRY_USER and KUBESTRAP_REGISTRY_PASSWORD to an account that may push to {registry}"
                )
            }
            Self::Missing { .. } => "push it with `kubestrap deploy`".to_owned(),
            Self::Failed { .. } => "look at the registry's log; what was sent already is kept".to_owned(),
        }
    }
}

impl Registry {
    /// An adapter for all registries, some of them by a mirror.
    pub fn new(mirrors: Mirrors, login: Login) -> Self {
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(mirrors.plain()),
            connect_timeout: Some(Duration::from_secs(10)),
            read_timeout: Some(Duration::from_secs(60)),
            user_agent: concat!("kubestrap/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        Self { client: Client::new(config), mirrors, login }
    }

    /// Pushes what is not there yet: blobs, then manifests, then the index under its tag, so
    /// that the tag never names something incomplete.
    pub async fn push(&self, name: &ImageRef, image: &Image) -> Result<Pushed, RegistryError> {
        let target = self.mirrors.resolve(name);
        self.log_in(name, &target, RegistryOperation::Push).await?;

        let mut blobs: Vec<&Blob> =
            image.images.iter().flat_map(|image| [&image.layer, &image.config]).collect();
        blobs.sort_by(|a, b| a.digest.cmp(&b.digest));
        blobs.dedup_by(|a, b| a.digest == b.digest);
        let sent: Vec<bool> = stream::iter(blobs)
            .map(|blob| self.send_blob(name, &target, blob))
            .buffer_unordered(AT_A_TIME)
            .try_collect()
            .await?;

        stream::iter(&image.images)
            .map(|image| {
                let by_digest = target.clone_with_digest(image.manifest.digest.clone());
                self.send_manifest(name, by_digest, &image.manifest, OCI_IMAGE_MEDIA_TYPE)
            })
            .buffer_unordered(AT_A_TIME)
            .try_collect::<Vec<()>>()
            .await?;
        self.send_manifest(name, target, &image.index, OCI_IMAGE_INDEX_MEDIA_TYPE).await?;

        let new = sent.iter().filter(|sent| **sent).count();
        Ok(Pushed { digest: image.index.digest.clone(), sent: new, present: sent.len() - new })
    }

    /// The platforms of an image as it is in the registry, each with its manifest's digest.
    /// Platforms that kubestrap does not build for are left out.
    pub async fn inspect(&self, name: &ImageRef) -> Result<Vec<(Platform, String)>, RegistryError> {
        let target = self.mirrors.resolve(name);
        let fail = |error| self.error(name, "the manifest", error);
        let accepted = [
            OCI_IMAGE_INDEX_MEDIA_TYPE,
            IMAGE_MANIFEST_LIST_MEDIA_TYPE,
            OCI_IMAGE_MEDIA_TYPE,
            IMAGE_MANIFEST_MEDIA_TYPE,
        ];
        self.log_in(name, &target, RegistryOperation::Pull).await?;
        let (bytes, digest) =
            self.client.pull_manifest_raw(&target, &self.auth(), &accepted).await.map_err(fail)?;
        let unreadable = |what: &str, error: &dyn std::fmt::Display| RegistryError::Failed {
            registry: self.mirrors.address(name),
            image: name.to_string(),
            what: what.to_owned(),
            detail: error.to_string(),
        };
        if let Ok(index) = serde_json::from_slice::<ImageIndex>(&bytes) {
            return Ok(index.manifests().iter().filter_map(entry).collect());
        }
        // One image without an index, as plain `docker build` pushes it.
        let manifest: ImageManifest =
            serde_json::from_slice(&bytes).map_err(|error| unreadable("the manifest", &error))?;
        let mut config = Vec::new();
        let config_digest = manifest.config().digest().to_string();
        self.client
            .pull_blob(&target, config_digest.as_str(), &mut config)
            .await
            .map_err(|error| self.error(name, "the configuration", error))?;
        let config: ImageConfiguration =
            serde_json::from_slice(&config).map_err(|error| unreadable("the configuration", &error))?;
        let platform = known(config.os(), &config.architecture().to_string());
        Ok(platform.map(|platform| (platform, digest)).into_iter().collect())
    }

    async fn log_in(
        &self,
        name: &ImageRef,
        at: &Reference,
        to: RegistryOperation,
    ) -> Result<(), RegistryError> {
        let done = self.client.auth(at, &self.auth(), to).await;
        done.map(|_| ()).map_err(|error| self.error(name, "the login", error))
    }

    /// Sends a blob unless it is there; whether it was sent.
    async fn send_blob(&self, name: &ImageRef, at: &Reference, blob: &Blob) -> Result<bool, RegistryError> {
        let fail = |error| self.error(name, &format!("the blob {}", blob.digest), error);
        if self.client.blob_exists(at, &blob.digest).await.map_err(fail)? {
            return Ok(false);
        }
        self.client.push_blob(at, blob.bytes.clone(), &blob.digest).await.map_err(fail)?;
        Ok(true)
    }

    async fn send_manifest(
        &self,
        name: &ImageRef,
        at: Reference,
        manifest: &Blob,
        media_type: &'static str,
    ) -> Result<(), RegistryError> {
        let media_type = HeaderValue::from_static(media_type);
        let sent = self.client.push_manifest_raw(&at, manifest.bytes.clone(), media_type).await;
        sent.map(|_| ())
            .map_err(|error| self.error(name, &format!("the manifest {}", manifest.digest), error))
    }

    fn auth(&self) -> RegistryAuth {
        match &self.login {
            Login::Anonymous => RegistryAuth::Anonymous,
            Login::User { name, password } => {
                RegistryAuth::Basic(name.clone(), password.expose_secret().to_owned())
            }
        }
    }

    fn error(&self, name: &ImageRef, what: &str, error: OciDistributionError) -> RegistryError {
        let (registry, image) = (self.mirrors.address(name), name.to_string());
        let detail = causes(&error);
        match &error {
            OciDistributionError::RequestError(request) => {
                match request.status().map(|status| status.as_u16()) {
                    None => RegistryError::Unreachable { registry, detail },
                    Some(401 | 403) => RegistryError::Denied { registry, image, detail },
                    Some(_) => RegistryError::Failed { registry, image, what: what.to_owned(), detail },
                }
            }
            OciDistributionError::AuthenticationFailure(_)
            | OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::ServerError { code: 401 | 403, .. } => {
                RegistryError::Denied { registry, image, detail }
            }
            OciDistributionError::ImageManifestNotFoundError(_) => RegistryError::Missing { registry, image },
            OciDistributionError::RegistryError { envelope, .. } => {
                let is =
                    |codes: &[OciErrorCode]| envelope.errors.iter().any(|error| codes.contains(&error.code));
                if is(&[OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::NotFound]) {
                    RegistryError::Missing { registry, image }
                } else if is(&[OciErrorCode::Denied, OciErrorCode::Unauthorized]) {
                    RegistryError::Denied { registry, image, detail }
                } else {
                    RegistryError::Failed { registry, image, what: what.to_owned(), detail }
                }
            }
            _ => RegistryError::Failed { registry, image, what: what.to_owned(), detail },
        }
    }
}

/// An error with its causes, each said once.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

fn entry(descriptor: &Descriptor) -> Option<(Platform, String)> {
    let platform = descriptor.platform().as_ref()?;
    let platform = known(platform.os(), &platform.architecture().to_string())?;
    Some((platform, descriptor.digest().to_string()))
}

fn known(os: &Os, architecture: &str) -> Option<Platform> {
    (*os == Os::Linux).then(|| Platform::from_architecture(architecture))?
}
