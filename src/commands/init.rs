//! `init`: a commented spec to start from.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::session::local;
use crate::cli::InitArgs;
use crate::failure::{Exit, Failure};
use crate::spec::{self, ProviderKind};
use crate::ui::Ui;

#[derive(Serialize)]
struct Written {
    path: String,
}

/// Writes the spec, unless there is one.
pub fn run(file: &Path, args: &InitArgs, ui: Ui) -> Result<Exit, Failure> {
    let text = spec::template(&args.name, args.provider.into());
    let spec = spec::parse("cluster.toml", &text)?;
    let mut target = File::create_new(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(
            "KS-INIT-EXISTS",
            Exit::Usage,
            format!("{} exists and was left as it is", file.display()),
        )
        .remedy("name another with --file"),
        _ => local(format!("{}: {error}", file.display())),
    })?;
    target.write_all(text.as_bytes()).map_err(local)?;
    let path = file.display().to_string();
    // Of the lab there is nothing to plan with before it runs, and `up` starts it.
    let next = if spec.provider.kind == ProviderKind::Lab { "up" } else { "plan" };
    ui.answer(&format!("wrote {path}; next: kubestrap {next}\n"), &Written { path: path.clone() });
    Ok(Exit::Done)
}
