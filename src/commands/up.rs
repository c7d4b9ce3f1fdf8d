//! `up`: observe, plan, show, ask, run, and look again.

use std::path::Path;

use super::session::{Session, load};
use crate::cli::Consent;
use crate::failure::{Exit, Failure};
use crate::plan;
use crate::spec::ProviderKind;
use crate::ui::Ui;

/// From the spec to a running cluster; nothing where it already is.
pub async fn run(file: &Path, args: &Consent, ui: Ui) -> Result<Exit, Failure> {
    let spec = load(file)?;
    ui.can_consent(args.yes)?;
    if spec.provider.kind == ProviderKind::Lab {
        super::lab::ensure_running(&spec.provider, ui).await?;
    }
    let session = Session::open(spec).await?;
    let _lock = session.lock()?;

    let observed = session.observe().await?;
    let plan = plan::up(&session.spec, &observed)?;
    if plan.is_empty() {
        ui.answer("nothing to do: everything is as the spec says\n", &plan);
        return Ok(Exit::Done);
    }
    ui.preview(&plan);
    ui.consent(&format!("Apply this to cluster {}?", session.scope.id), args.yes)?;

    let listener = ui.listen(&format!("up {}", session.scope.id));
    let result = session.execute(&plan, &observed.cloud, &listener.events()).await;
    listener.finish().await;
    if let Err(failure) = result {
        return Err(with_diagnosis(failure, &session).await);
    }

    let left = plan::up(&session.spec, &session.observe().await?)?;
    if !left.is_empty() {
        let mut failure =
            Failure::new("KS-NOT-CONVERGED", Exit::Partial, "after the run, the plan is still not empty");
        failure.evidence = left.steps.iter().map(|step| format!("{}: {}", step.id, step.reason)).collect();
        return Err(failure.remedy("kubestrap up"));
    }
    let summary = format!(
        "cluster {} is up: {} EC2 calls, {} SSH connections\n  kubectl --context {} get nodes\n",
        session.scope.id,
        session.cloud.calls(),
        crate::ports::Remote::connections(&*session.ssh),
        crate::kube::context_name(&session.scope.id),
    );
    ui.answer(&summary, &plan);
    Ok(Exit::Done)
}

/// A failure of the cluster itself, with what the rules of `diagnose` find behind it.
async fn with_diagnosis(mut failure: Failure, session: &Session) -> Failure {
    if failure.code != "KS-API-DEADLINE" {
        return failure;
    }
    let cluster = match session.cloud_state().await {
        Ok(state) => session.cluster(&state).await.ok(),
        Err(_) => None,
    };
    let collector = session.collector(cluster.as_ref());
    let (_, report) = collector.diagnose().await;
    failure
        .evidence
        .extend(report.findings.iter().map(|finding| format!("{}: {}", finding.code, finding.cause)));
    failure
}
