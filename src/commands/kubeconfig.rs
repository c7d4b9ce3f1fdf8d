//! `kubeconfig`: print the cluster's.

use std::path::Path;

use secrecy::ExposeSecret;

use super::session::{Session, load, no_cluster};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;

/// Prints the kubeconfig kept here, fetching it from the control plane when it is lost.
pub async fn run(file: &Path, ui: Ui) -> Result<Exit, Failure> {
    let session = Session::open(load(file)?).await?;
    session.cluster().await?;
    let kubeconfig = session.files.kubeconfig().ok_or_else(|| no_cluster(&session))?;
    ui.raw(kubeconfig.expose_secret());
    Ok(Exit::Done)
}
