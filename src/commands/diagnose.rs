//! `diagnose`: collect evidence, judge it, and with `--fix` mend it and prove that.

use std::path::Path;

use super::session::{Session, load, no_cluster};
use crate::cli::{DiagnoseArgs, Subject};
use crate::diagnose::{Verdict, fix_and_verify, render};
use crate::failure::{Exit, Failure};
use crate::ui::Ui;

/// Says why lookups fail, or that they do not.
pub async fn run(file: &Path, args: &DiagnoseArgs, ui: Ui) -> Result<Exit, Failure> {
    let Subject::Dns = args.subject;
    let session = Session::open(load(file)?).await?;
    let state = session.cloud_state().await?;
    if state.instances.is_empty() {
        return Err(no_cluster(&session));
    }
    // A fix changes rules, and nobody else may at the same time.
    let _lock = if args.fix { Some(session.lock()?) } else { None };
    // Without the API server there is still the cloud's side of the evidence.
    let cluster = session.cluster(&state).await.ok();
    let collector = session.collector(cluster.as_ref());
    let (evidence, mut report) = collector.diagnose().await;
    if args.fix && report.verdict == Verdict::Faulty {
        let listener = ui.listen("fix");
        let (sender, relay) = listener.events().of("fix", None).relay();
        let result = fix_and_verify(&collector, &evidence, report, &sender).await;
        drop(sender);
        let _ = relay.await;
        listener.finish().await;
        report = result?;
    }
    ui.answer(&render(&report), &report);
    Ok(match report.verdict {
        Verdict::Healthy => Exit::Done,
        Verdict::Faulty => Exit::Faulty,
        Verdict::Unknown => Exit::Failed,
    })
}
