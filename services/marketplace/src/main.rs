//! Starts the marketplace.

use std::process::ExitCode;

use marketplace::server;

#[tokio::main]
async fn main() -> ExitCode {
    chassis::telemetry::start_logs();
    chassis::telemetry::start_metrics();
    match server::run(&chassis::env::process).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "stopped");
            ExitCode::FAILURE
        }
    }
}
