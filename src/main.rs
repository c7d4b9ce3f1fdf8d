//! Parse, run, render one error, exit.

use std::process::ExitCode;

use clap::Parser;
use kubestrap::cli::Cli;
use kubestrap::commands;
use kubestrap::failure::Exit;
use kubestrap::ui::Ui;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { u8::from(Exit::Usage) } else { 0 });
        }
    };
    let ui = Ui::new(cli.global.output);
    match commands::run(cli, ui) {
        Ok(exit) => ExitCode::from(u8::from(exit)),
        Err(failure) => {
            ui.failure(&failure);
            ExitCode::from(u8::from(failure.exit))
        }
    }
}
