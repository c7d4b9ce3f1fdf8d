//! Parse, run, render one error, exit.

use std::process::ExitCode;

use clap::Parser;
use kubestrap::cli::{Cli, Output};
use kubestrap::commands;
use kubestrap::failure::{Exit, Failure};
use kubestrap::ui::Ui;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && json_is_wanted() => {
            let failure = Failure::new("KS-USAGE", Exit::Usage, error.to_string());
            Ui::new(Output::Json).failure(&failure);
            return ExitCode::from(u8::from(Exit::Usage));
        }
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

/// Whether the arguments ask for JSON, told from the words alone because they could not be parsed.
fn json_is_wanted() -> bool {
    let words: Vec<String> = std::env::args().collect();
    words.windows(2).any(|pair| matches!(pair[0].as_str(), "-o" | "--output") && pair[1] == "json")
        || words.iter().any(|word| matches!(word.as_str(), "-ojson" | "--output=json"))
}
