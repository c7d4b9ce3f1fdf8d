//! `kubeconfig`: print the cluster's.

use std::path::Path;

use secrecy::ExposeSecret;
use serde::Serialize;

use super::session::{Session, load, no_cluster};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;

#[derive(Serialize)]
struct Document<'a> {
    kubeconfig: &'a str,
}

/// Prints the kubeconfig kept here, fetching it from the control plane when it is lost.
pub async fn run(file: &Path, ui: Ui) -> Result<Exit, Failure> {
    let session = Session::open(load(file)?).await?;
    session.cluster(&session.cloud_state().await?).await?;
    let kubeconfig = session.files.kubeconfig().ok_or_else(|| no_cluster(&session))?;
    let kubeconfig = kubeconfig.expose_secret();
    ui.answer(kubeconfig, &Document { kubeconfig });
    Ok(Exit::Done)
}
