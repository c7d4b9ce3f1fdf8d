//! The endpoints that operators and the kubelet read: `/healthz`, `/readyz`, `/metrics`.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::lifecycle::{Lifecycle, Phase};
use crate::telemetry;

/// Routes for the probes and for Prometheus.
///
/// * `/healthz`: the process answers. Nothing else is asked, so a slow neighbour never gets a pod killed.
/// * `/readyz`: 200 while serving, 503 from the moment the service is told to stop.
pub fn router(lifecycle: Lifecycle) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(lifecycle)
}

async fn ready(State(lifecycle): State<Lifecycle>) -> impl IntoResponse {
    match lifecycle.phase() {
        Phase::Serving => (StatusCode::OK, "ready\n"),
        Phase::Draining | Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    }
}

async fn metrics() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry::render_metrics())
}
