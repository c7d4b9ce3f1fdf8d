//! What the bookstore's services share: JSON logs, metrics, probes, settings from the
//! environment and an orderly shutdown. Nothing of the bookstore itself is in here.

pub mod env;
pub mod lifecycle;
pub mod ops;
pub mod telemetry;

use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;

/// A service's `main`: starts logs and metrics, runs it, and logs what ended it other than being told to.
pub async fn run<E: Display>(service: impl Future<Output = Result<(), E>>) -> ExitCode {
    telemetry::start_logs();
    telemetry::start_metrics();
    match service.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "stopped");
            ExitCode::FAILURE
        }
    }
}
