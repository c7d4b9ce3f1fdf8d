//! Logs as JSON lines on stdout, metrics in Prometheus' text format.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

static METRICS: OnceLock<Option<PrometheusHandle>> = OnceLock::new();

/// Sends logs to stdout as JSON lines; `RUST_LOG` filters them (default `info`).
/// A second call in one process, as tests make, changes nothing.
pub fn start_logs() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).try_init();
}

/// Installs the recorder of metrics for the process, once.
pub fn start_metrics() {
    METRICS.get_or_init(|| {
        // Latency from a loopback answer to the marketplace's whole deadline of 3 s.
        let buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0];
        let installed =
            PrometheusBuilder::new().set_buckets(&buckets).and_then(PrometheusBuilder::install_recorder);
        installed.inspect_err(|error| tracing::warn!(%error, "no metrics")).ok()
    });
}

/// All metrics so far, as Prometheus reads them.
pub fn render_metrics() -> String {
    let Some(Some(handle)) = METRICS.get() else {
        return String::new();
    };
    handle.run_upkeep();
    handle.render()
}
