//! Starts the recommendations service.

use std::process::ExitCode;

use recommendations::server::{self, Settings};

#[tokio::main]
async fn main() -> ExitCode {
    chassis::telemetry::start_logs();
    chassis::telemetry::start_metrics();
    match server::run(&chassis::env::process).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, defaults = ?Settings::default(), "stopped");
            ExitCode::FAILURE
        }
    }
}
