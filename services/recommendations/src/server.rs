//! The gRPC server with health and reflection, and its side port for probes and metrics.

use std::future::{Future, IntoFuture};
use std::time::Duration;

use chassis::env::{self, EnvError, Lookup};
use chassis::lifecycle::{self, Drain, Lifecycle, SignalError};
use chassis::ops;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;

use crate::proto::DESCRIPTORS;
use crate::proto::recommendations_server::RecommendationsServer;
use crate::service::Catalogue;

/// The service's name in the health protocol.
pub const SERVICE: &str = "bookstore.v1.Recommendations";

/// A client keeps one connection, and a ClusterIP balances connections, not calls. Closing each
/// after a while (GOAWAY: calls in flight end in peace) lets clients spread over the replicas,
/// new ones included.
const CONNECTION_AGE: Duration = Duration::from_secs(60);

/// What the environment sets.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `PORT`: where gRPC is served.
    pub port: u16,
    /// `METRICS_PORT`: where `/healthz`, `/readyz` and `/metrics` are served.
    pub metrics_port: u16,
    /// `DRAIN_MS`: how long to go on answering after a stop is asked for.
    pub drain: Drain,
}

impl Default for Settings {
    fn default() -> Self {
        Self { port: 50051, metrics_port: 9090, drain: Drain::default() }
    }
}

impl Settings {
    /// Reads the settings; what is not set keeps its default.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, EnvError> {
        let default = Self::default();
        Ok(Self {
            port: env::port(lookup, "PORT", default.port)?,
            metrics_port: env::port(lookup, "METRICS_PORT", default.metrics_port)?,
            drain: Drain { notice: env::millis(lookup, "DRAIN_MS", default.drain.notice)?, ..default.drain },
        })
    }
}

/// Why the service stopped, other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A variable of the environment cannot be used.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// A port cannot be listened on.
    #[error("cannot listen on port {port}: {source}")]
    Listen {
        /// The port.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// Signals cannot be received.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// The gRPC server failed.
    #[error("gRPC server: {0}")]
    Grpc(#[from] tonic::transport::Error),
    /// The side port failed.
    #[error("side port: {0}")]
    Ops(std::io::Error),
    /// The compiled-in contract cannot be read.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// Serves as the environment says until SIGTERM or SIGINT.
pub async fn run(lookup: Lookup<'_>) -> Result<(), ServeError> {
    let settings = Settings::read(lookup)?;
    let grpc = listen(settings.port).await?;
    let ops = listen(settings.metrics_port).await?;
    tracing::info!(port = settings.port, metrics_port = settings.metrics_port, "listening");
    serve(grpc, ops, settings.drain, lifecycle::signalled()).await
}

async fn listen(port: u16) -> Result<TcpListener, ServeError> {
    lifecycle::listen(port).await.map_err(|source| ServeError::Listen { port, source })
}

/// Serves on the given listeners until `stop` completes, then drains.
pub async fn serve(
    grpc: TcpListener,
    ops: TcpListener,
    drain: Drain,
    stop: impl Future<Output = std::io::Result<()>>,
) -> Result<(), ServeError> {
    let lifecycle = Lifecycle::default();
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status(SERVICE, ServingStatus::Serving).await;
    let reflection =
        tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(DESCRIPTORS);

    let grpc = tonic::transport::Server::builder()
        .max_connection_age(CONNECTION_AGE)
        .max_connection_age_grace(drain.grace)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .timeout(Duration::from_secs(5))
        .add_service(health_service)
        .add_service(reflection.build_v1()?)
        .add_service(RecommendationsServer::new(Catalogue))
        .serve_with_incoming_shutdown(TcpIncoming::from(grpc).with_nodelay(Some(true)), lifecycle.stopping());
    let ops = axum::serve(ops, ops::router(lifecycle.clone())).with_graceful_shutdown(lifecycle.stopping());
    let serving = async {
        let grpc = async { grpc.await.map_err(ServeError::Grpc) };
        let ops = async { ops.into_future().await.map_err(ServeError::Ops) };
        tokio::try_join!(grpc, ops).map(|_| ())
    };
    let announce = async {
        for service in ["", SERVICE] {
            health.set_service_status(service, ServingStatus::NotServing).await;
        }
    };
    lifecycle.serve(serving, drain, stop, announce).await
}
