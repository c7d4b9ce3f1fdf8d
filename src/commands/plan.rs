//! `plan`: what `up` would do.

use std::path::Path;

use super::session::{Session, load};
use crate::cli::PlanArgs;
use crate::failure::{Exit, Failure};
use crate::plan;
use crate::ui::Ui;

/// Shows the plan; changes nothing.
pub async fn run(file: &Path, args: &PlanArgs, ui: Ui) -> Result<Exit, Failure> {
    let session = Session::open(load(file)?).await?;
    let plan = plan::up(&session.spec, &session.observe().await?)?;
    ui.plan(&plan);
    Ok(if args.detailed_exitcode && !plan.is_empty() { Exit::Changes } else { Exit::Done })
}
