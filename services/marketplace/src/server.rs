//! The HTTP server.

use std::future::{Future, IntoFuture};
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use chassis::env::{self, EnvError, Lookup};
use chassis::lifecycle::{self, Drain, Lifecycle, SignalError};
use chassis::ops;
use serde::Deserialize;
use tokio::net::TcpListener;

use crate::backend::{Backend, Patience, Target};
use crate::page;
use crate::proto::BookCategory;

/// How many books the page shows.
const BOOKS: u32 = 3;

/// What the environment sets.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `PORT`: where the page is served.
    pub port: u16,
    /// `RECOMMENDATIONS_HOST` and `RECOMMENDATIONS_PORT`: whom the page asks.
    pub target: Target,
    /// `DRAIN_MS`: how long to go on answering after a stop is asked for.
    pub drain: Drain,
}

impl Settings {
    /// Reads the settings; what is not set keeps its default.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, EnvError> {
        let drain = Drain::default();
        Ok(Self {
            port: env::port(lookup, "PORT", 5000)?,
            target: Target {
                host: lookup("RECOMMENDATIONS_HOST").unwrap_or_else(|| "localhost".to_owned()),
                port: recommendations_port(lookup)?,
                patience: Patience::default(),
            },
            drain: Drain { notice: env::millis(lookup, "DRAIN_MS", drain.notice)?, ..drain },
        })
    }
}

/// Kubernetes sets `RECOMMENDATIONS_PORT` too, to `tcp://10.96.0.7:50051`, in every pod that is
/// younger than a Service called `recommendations` (unless `enableServiceLinks` is off). That is
/// the Service's address, so its port is what is wanted.
fn recommendations_port(lookup: Lookup<'_>) -> Result<u16, EnvError> {
    let without_link = |variable: &str| {
        let value = lookup(variable)?;
        let port = value.strip_prefix("tcp://").and_then(|link| link.rsplit(':').next());
        Some(port.map_or(value.clone(), str::to_owned))
    };
    env::port(&without_link, "RECOMMENDATIONS_PORT", 50051)
}

/// Why the service stopped, other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A variable of the environment cannot be used.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The port cannot be listened on.
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
    /// The HTTP server failed.
    #[error("HTTP server: {0}")]
    Http(std::io::Error),
}

/// Serves as the environment says until SIGTERM or SIGINT.
pub async fn run(lookup: Lookup<'_>) -> Result<(), ServeError> {
    let Settings { port, target, drain } = Settings::read(lookup)?;
    let listener = lifecycle::listen(port).await.map_err(|source| ServeError::Listen { port, source })?;
    tracing::info!(port, recommendations = %format_args!("{}:{}", target.host, target.port), "listening");
    serve(listener, Backend::new(target), drain, lifecycle::signalled()).await
}

/// Serves on the listener until `stop` completes, then drains.
pub async fn serve(
    listener: TcpListener,
    backend: Backend,
    drain: Drain,
    stop: impl Future<Output = std::io::Result<()>>,
) -> Result<(), ServeError> {
    let lifecycle = Lifecycle::default();
    let server = axum::serve(listener, routes(backend, lifecycle.clone()))
        .with_graceful_shutdown(lifecycle.stopping())
        .into_future();
    let serving = async { server.await.map_err(ServeError::Http) };
    // The probes say that it is draining.
    lifecycle.serve(serving, drain, stop, std::future::ready(())).await
}

/// The page, the probes and the metrics.
///
/// `/readyz` does not ask the recommendations service. Were it to, one broken dependency would
/// take every replica out of the Service at once, and a reader would meet a refused connection
/// in place of a page that names what failed. `recommendations_up` in `/metrics` tells the
/// dependency's state instead.
pub fn routes(backend: Backend, lifecycle: Lifecycle) -> Router {
    Router::new()
        .route("/", get(front))
        .with_state(backend)
        .merge(ops::router(lifecycle))
        .route_layer(middleware::from_fn(observe))
}

#[derive(Deserialize)]
struct Reader {
    #[serde(default = "first_reader")]
    user_id: u64,
}

fn first_reader() -> u64 {
    1
}

async fn front(State(backend): State<Backend>, Query(reader): Query<Reader>) -> Response {
    let answer = backend.recommend(reader.user_id, BookCategory::Mystery, BOOKS).await;
    let (status, html) = match &answer {
        Ok(books) => (StatusCode::OK, page::books(books)),
        Err(error) => {
            tracing::error!(kind = error.failure.kind(), %error, "no recommendations");
            let status = StatusCode::from_u16(error.failure.http_status());
            (status.unwrap_or(StatusCode::BAD_GATEWAY), page::sorry(error))
        }
    };
    let html = match html {
        Ok(html) => html,
        Err(error) => {
            // Writing to a String does not fail; if it ever does, it says so.
            tracing::error!(%error, "cannot render");
            return (StatusCode::BAD_GATEWAY, format!("cannot render the page: {error}\n")).into_response();
        }
    };
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

async fn observe(path: MatchedPath, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = request.method().clone();
    let response = next.run(request).await;
    let (status, seconds) = (response.status().as_u16(), begun.elapsed().as_secs_f64());
    let route = path.as_str().to_owned();
    metrics::counter!("http_requests_total", "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("http_request_duration_seconds", "route" => route.clone()).record(seconds);
    if route == "/" {
        tracing::info!(%method, route, status, seconds, "handled");
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    #[test]
    fn defaults_are_the_reference_deployment() {
        let settings = Settings::read(&with(&[])).unwrap();
        assert_eq!(
            (settings.port, settings.target.host.as_str(), settings.target.port),
            (5000, "localhost", 50051)
        );
        let patience = settings.target.patience;
        assert!(patience.whole < std::time::Duration::from_secs(3));
        assert!(2 * patience.one_hop < patience.one_try);
    }

    #[test]
    fn a_service_link_is_not_a_wrong_port() {
        let settings = Settings::read(&with(&[("RECOMMENDATIONS_PORT", "tcp://10.96.0.7:50052")])).unwrap();
        assert_eq!(settings.target.port, 50052);
        let error = Settings::read(&with(&[("RECOMMENDATIONS_PORT", "grpc")])).unwrap_err();
        assert_eq!(error.variable, "RECOMMENDATIONS_PORT");
    }
}
