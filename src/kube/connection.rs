//! Connecting with a kubeconfig.

use std::time::{Duration, Instant};

use ::kube::config::{KubeConfigOptions, Kubeconfig};
use ::kube::{Client, Config};
use http::Uri;
use secrecy::{ExposeSecret, SecretString};

use super::KubeCluster;
use super::error::innermost;
use crate::ports::ClusterError;

/// How long a TCP connection to the API server may take. It is near or it is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the API server may take to answer one `/readyz`.
const READYZ_TIMEOUT: Duration = Duration::from_secs(2);
/// First and last pause between two tries of `/readyz`.
const READYZ_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

impl KubeCluster {
    /// Connects with a kubeconfig's current context. `server` replaces its address: kubeadm writes the
    /// private one, and its certificate names the public one too.
    ///
    /// Nothing is sent yet: [`ClusterError::Malformed`] is the only failure.
    pub async fn from_kubeconfig(yaml: &SecretString, server: Option<&str>) -> Result<Self, ClusterError> {
        let malformed = |message: String| ClusterError::Malformed { what: "the kubeconfig".into(), message };
        let kubeconfig =
            Kubeconfig::from_yaml(yaml.expose_secret()).map_err(|error| malformed(innermost(&error)))?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| malformed(error.to_string()))?;
        if let Some(server) = server {
            config.cluster_url =
                server.parse::<Uri>().map_err(|error| malformed(format!("server {server}: {error}")))?;
        }
        // A proxy of the environment is for the web; to the API server we go ourselves, as over SSH.
        config.proxy_url = None;
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        let endpoint = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = Client::try_from(config).map_err(|error| malformed(innermost(&error)))?;
        Ok(Self { client, endpoint })
    }

    /// URL of the API server.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Asks `/readyz` until it answers `ok`, at most 0.4 s after it could.
    pub(super) async fn wait_for_api(&self, limit: Duration) -> Result<(), ClusterError> {
        let start = Instant::now();
        let mut pause = READYZ_PAUSES.0;
        loop {
            let last = match self.readyz().await {
                Ok(()) => return Ok(()),
                Err(ClusterError::Unreachable { message, .. }) => message,
                // A certificate that is not ours will not become ours.
                Err(other) => return Err(other),
            };
            if start.elapsed() >= limit {
                return Err(ClusterError::Unreachable {
                    endpoint: self.endpoint.clone(),
                    message: format!("not ready within {} s: {last}", limit.as_secs()),
                });
            }
            tokio::time::sleep(pause.min(limit.saturating_sub(start.elapsed()))).await;
            pause = (pause * 2).min(READYZ_PAUSES.1);
        }
    }

    /// One `/readyz`; anything but `ok` is [`ClusterError::Unreachable`] with what was said.
    pub(super) async fn readyz(&self) -> Result<(), ClusterError> {
        let unreachable =
            |message: String| ClusterError::Unreachable { endpoint: self.endpoint.clone(), message };
        let request = http::Request::get("/readyz").body(Vec::new()).expect("a constant request");
        match tokio::time::timeout(READYZ_TIMEOUT, self.client.request_text(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(::kube::Error::Api(status))) if status.code == 401 => {
                Err(ClusterError::Unauthorized { message: status.message.clone() })
            }
            Ok(Err(::kube::Error::Api(status))) => Err(unreachable(status.message.clone())),
            Ok(Err(error)) => match super::error::failure(&self.endpoint, "/readyz", error) {
                ClusterError::Refused { message, .. } => Err(unreachable(message)),
                other => Err(other),
            },
            Err(_) => Err(unreachable(format!("no answer within {} s", READYZ_TIMEOUT.as_secs()))),
        }
    }
}
