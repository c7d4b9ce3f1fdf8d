//! Starts the recommendations service.

use std::process::ExitCode;

use recommendations::server;

#[tokio::main]
async fn main() -> ExitCode {
    chassis::run(server::run(&chassis::env::process)).await
}
