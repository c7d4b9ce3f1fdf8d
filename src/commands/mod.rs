//! One file a command: wiring, little else. [`up`] tells the whole story in one screen.

mod deploy;
mod diagnose;
mod down;
mod init;
mod kubeconfig;
mod lab;
mod plan;
mod session;
mod ssh;
mod status;
mod up;
mod validate;

use clap::CommandFactory;
use serde::Serialize;

use crate::cli::{Cli, Command, LabCommand};
use crate::failure::{Exit, Failure, explain};
use crate::ui::Ui;

#[derive(Serialize)]
struct Explanation {
    code: String,
    text: String,
}

/// Runs a command to its exit code, or to the one failure that is rendered.
pub fn run(cli: Cli, ui: Ui) -> Result<Exit, Failure> {
    let file = cli.global.file;
    match cli.command {
        Command::Init(args) => init::run(&file, &args, ui),
        Command::Validate => validate::run(&file, ui),
        Command::Explain { code } => match explain(&code) {
            Some(text) => {
                ui.answer(
                    &format!("{code}\n\n{text}\n"),
                    &Explanation { code: code.clone(), text: text.to_owned() },
                );
                Ok(Exit::Done)
            }
            None => Err(Failure::new("KS-USAGE", Exit::Usage, format!("there is no error code {code}"))),
        },
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "kubestrap", &mut script);
            ui.raw(&String::from_utf8_lossy(&script));
            Ok(Exit::Done)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map_err(|error| Failure::new("KS-LOCAL", Exit::Failed, error.to_string()))?;
            ui.raw(&String::from_utf8_lossy(&page));
            Ok(Exit::Done)
        }
        // Serving ends by its own signals, and removes its machines then.
        Command::Lab(command @ LabCommand::Serve(_)) => block_on(lab::run(command, &file, ui)),
        Command::Lab(command) => block_on(interruptible(lab::run(command, &file, ui))),
        Command::Plan(args) => block_on(interruptible(plan::run(&file, &args, ui))),
        Command::Up(args) => block_on(up::run(&file, &args, ui)),
        Command::Deploy => block_on(interruptible(deploy::run(&file, ui))),
        Command::Status => block_on(interruptible(status::run(&file, ui))),
        Command::Ssh(args) => block_on(ssh::run(&file, &args, ui)),
        Command::Kubeconfig => block_on(interruptible(kubeconfig::run(&file, ui))),
        Command::Diagnose(args) => block_on(interruptible(diagnose::run(&file, &args, ui))),
        Command::Down(args) => block_on(down::run(&file, &args, ui)),
    }
}

/// A command without steps to stop between: Ctrl-C ends it where it is, and it can be run again.
async fn interruptible(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    tokio::select! {
        result = command => result,
        _ = tokio::signal::ctrl_c() => Err(Failure::new("KS-INTERRUPTED", Exit::Interrupted, "interrupted")
            .remedy("run the same command again")),
    }
}

/// Runs a command that talks to the world.
fn block_on(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    init_tracing();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .map_err(|error| Failure::new("KS-LOCAL", Exit::Failed, format!("no runtime: {error}")))?;
    runtime.block_on(command)
}

/// Libraries whose finest levels hold secrets.
const SECRETIVE: [&str; 2] = ["aws_smithy_runtime=info", "aws_sigv4=info"];

/// `KUBESTRAP_LOG=debug` shows what libraries say, on stderr.
fn init_tracing() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("KUBESTRAP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error,kube_client=off"));
    // At finer levels the SDK writes whole requests, and user data with them.
    let filter = SECRETIVE
        .iter()
        .fold(filter, |filter, cap| filter.add_directive(cap.parse().expect("the directive is a constant")));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
