//! Starts the marketplace.

use std::process::ExitCode;

use marketplace::server;

#[tokio::main]
async fn main() -> ExitCode {
    chassis::run(server::run(&chassis::env::process)).await
}
