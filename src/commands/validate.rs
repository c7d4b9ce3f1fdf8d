//! `validate`: the spec alone.

use std::path::Path;

use super::session::load;
use crate::failure::{Exit, Failure};
use crate::ui::Ui;

/// Checks the spec.
pub fn run(file: &Path, ui: Ui) -> Result<Exit, Failure> {
    let spec = load(file)?;
    let nodes = spec.nodes().count();
    let text = format!(
        "{} is valid: cluster {}, {nodes} nodes, {} services\n",
        file.display(),
        spec.name,
        spec.services.len()
    );
    ui.answer(&text, &spec);
    Ok(Exit::Done)
}
