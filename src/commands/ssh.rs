//! `ssh`: a shell on a node, with the cluster's key and the pinned host key.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::session::{Session, load, local, no_cluster};
use crate::cli::SshArgs;
use crate::failure::{Exit, Failure};
use crate::ports::{Host, Remote};
use crate::ui::Ui;

/// What ssh exits with when it is ssh that failed.
const TROUBLE: u8 = 255;
/// How long the node may take to answer the login that looks for the reason.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hands the terminal to `ssh`; its exit status becomes ours.
pub async fn run(file: &Path, args: &SshArgs, _ui: Ui) -> Result<Exit, Failure> {
    let session = Session::open(load(file)?).await?;
    let state = session.cloud_state().await?;
    if state.instances.is_empty() {
        return Err(no_cluster(&session));
    }
    let instance = state.instances.iter().find(|instance| instance.node == args.node).ok_or_else(|| {
        let known: Vec<&str> = state.instances.iter().map(|instance| instance.node.as_str()).collect();
        Failure::new("KS-NO-NODE", Exit::Usage, format!("there is no node {}", args.node))
            .remedy(format!("one of: {}", known.join(", ")))
    })?;
    let address = instance
        .public_ip
        .or(instance.private_ip)
        .ok_or_else(|| local(format!("instance {} has no address yet", instance.id)))?;
    let host = Host { node: args.node.clone(), address: address.into(), user: session.spec.ssh.user.clone() };
    let argv = session.ssh.command(&host)?;
    let status = tokio::process::Command::new(&argv[0])
        .args(&argv[1..])
        .args(&args.command)
        .stdin(Stdio::inherit())
        .status()
        .await
        .map_err(local)?;
    // A command that a signal ended has no status.
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(TROUBLE);
    if code == TROUBLE {
        // Its own word for trouble, or the command's: a login of ours tells which, and what to do about it.
        session.ssh_for(PATIENCE)?.connect(&host).await?;
    }
    Ok(if code == 0 { Exit::Done } else { Exit::Command(code) })
}
