//! `ssh`: a shell on a node, with the cluster's key and the pinned host key.

use std::path::Path;
use std::process::Stdio;

use super::session::{BRIEF, Session, load, local};
use crate::cli::SshArgs;
use crate::failure::{Exit, Failure};
use crate::ports::{Remote, RemoteError};
use crate::ui::Ui;

/// What ssh exits with when it is ssh that failed.
const TROUBLE: u8 = 255;

/// Hands the terminal to `ssh`; its exit status becomes ours.
pub async fn run(file: &Path, args: &SshArgs, _ui: Ui) -> Result<Exit, Failure> {
    let session = Session::open(load(file)?).await?;
    let state = session.cloud_state().await?;
    let host = session.host(&state, &args.node)?;
    let argv = session.ssh.command(&host)?;
    let status = tokio::process::Command::new(&argv[0])
        .args(&argv[1..])
        .args(&args.command)
        .stdin(Stdio::inherit())
        .status()
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::from(RemoteError::NoSsh),
            _ => local(error),
        })?;
    // A command that a signal ended has no status.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(TROUBLE);
    if code == TROUBLE {
        // Its own word for trouble, or the command's: a login of ours tells which, and what to do about it.
        session.ssh_for(BRIEF)?.connect(&host).await?;
    }
    Ok(if code == 0 { Exit::Done } else { Exit::Command(code) })
}
