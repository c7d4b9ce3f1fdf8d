//! `down`: remove all that carries the cluster's id, list again, and say what is left.

use std::path::Path;

use serde::Serialize;

use super::lab;
use super::session::{Session, load};
use crate::cli::Consent;
use crate::engine::Local;
use crate::failure::{Exit, Failure};
use crate::plan;
use crate::ports::CloudState;
use crate::spec::ProviderKind;
use crate::ui::Ui;

#[derive(Serialize)]
struct Removed<'a> {
    cluster: &'a str,
    removed: usize,
    left: Vec<String>,
}

/// From whatever exists to nothing.
pub async fn run(file: &Path, args: &Consent, ui: Ui) -> Result<Exit, Failure> {
    let spec = load(file)?;
    let on_the_lab = spec.provider.kind == ProviderKind::Lab;
    let name = spec.name.clone();
    let session = match Session::open(spec).await {
        Err(failure) if failure.code == "KS-EC2-UNREACHABLE" && on_the_lab && lab::is_stopped().await => {
            let text = format!("nothing to do: the lab does not run, so there is no cluster {name}\n");
            ui.answer(&text, &Removed { cluster: &name, removed: 0, left: Vec::new() });
            return Ok(Exit::Done);
        }
        session => session?,
    };
    let lock = session.lock()?;

    let existing = session.cloud_state().await?;
    let plan = plan::down(&existing);
    let unplanned = leftovers(&existing);
    if plan.is_empty() && !unplanned.is_empty() {
        let failure = Failure::new("KS-LEFT", Exit::Partial, "what is left is nothing that kubestrap makes")
            .remedy("see what it is, and delete it by hand or take the tag kubestrap:cluster-id off it");
        return Err(left_over(Some(failure), &unplanned));
    }
    if plan.is_empty() {
        session.keeper().forget()?;
        drop(lock);
        let text = format!("nothing to do: cluster {} has nothing in the cloud\n", session.scope.id);
        ui.answer(&text, &Removed { cluster: &session.scope.id, removed: 0, left: Vec::new() });
        return Ok(Exit::Done);
    }
    ui.preview(&plan);
    ui.consent(&format!("Destroy cluster {} and everything in it?", session.scope.id), args.yes)?;

    let listener = ui.listen(&format!("down {}", session.scope.id));
    let result = session.execute(&plan, &existing, &listener.events()).await;
    listener.finish().await;

    let state = match (session.cloud_state().await, result) {
        (Ok(state), Ok(())) => state,
        (Ok(state), Err(failure)) if leftovers(&state).is_empty() => return Err(failure),
        (Ok(state), Err(failure)) => return Err(left_over(Some(failure), &leftovers(&state))),
        (Err(_), Err(failure)) => return Err(failure),
        (Err(failure), Ok(())) => return Err(failure),
    };
    let left = leftovers(&state);
    if !left.is_empty() {
        return Err(left_over(None, &left));
    }
    let lab = if on_the_lab { lab::retire().await? } else { "" };
    let text = format!(
        "cluster {} is gone: {} resources removed, none left\n{lab}",
        session.scope.id, plan.summary.destroy
    );
    ui.answer(&text, &Removed { cluster: &session.scope.id, removed: plan.summary.destroy, left });
    Ok(Exit::Done)
}

/// The failure that names what is left, and what stood in the way when that is known.
fn left_over(failure: Option<Failure>, left: &[String]) -> Failure {
    let mut failure =
        failure.unwrap_or_else(|| Failure::new("KS-LEFT", Exit::Partial, "not everything is gone"));
    if failure.exit == Exit::Failed {
        failure.exit = Exit::Partial;
    }
    failure.evidence.extend(left.iter().map(|it| format!("left: {it}")));
    if failure.remedy.is_some() {
        return failure;
    }
    failure.remedy("kubestrap down --yes    # goes on from here")
}

/// Everything that still carries the cluster's id, by kind and id.
fn leftovers(state: &CloudState) -> Vec<String> {
    let singles = [
        ("vpc", state.vpc.as_ref().map(|it| &it.id)),
        ("subnet", state.subnet.as_ref().map(|it| &it.id)),
        ("internet gateway", state.gateway.as_ref().map(|it| &it.id)),
        ("route table", state.route_table.as_ref().map(|it| &it.id)),
        ("key pair", state.key_pair.as_ref().map(|it| &it.id)),
    ];
    let singles = singles.into_iter().filter_map(|(kind, id)| id.map(|id| format!("{kind} {id}")));
    let groups = state.groups.values().map(|group| format!("security group {} ({})", group.id, group.name));
    let instances =
        state.instances.iter().map(|it| format!("instance {} ({}, {})", it.id, it.node, it.state));
    let others = state.others.iter().map(|it| format!("{} {}", it.kind, it.id));
    let mut all: Vec<String> = singles.chain(groups).chain(instances).chain(others).collect();
    all.sort();
    all.dedup();
    all
}
