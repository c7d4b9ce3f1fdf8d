//! `lab`: the local EC2. The one place outside of `lab` that starts it.

use std::path::Path;

use serde::Serialize;

use super::session::{Session, load, local, no_cluster};
use crate::cli::{LabCommand, LabStart, Scenario};
use crate::failure::{Exit, Failure};
use crate::lab::host::{self, HostError, StartOptions, Status, Verdict};
use crate::lab::serve;
use crate::network::{self, Direction, Peer, Rule};
use crate::ports::Cloud;
use crate::spec::{Provider, ProviderKind};
use crate::ui::{Ui, labelled, table};

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Failure::new(error.code(), Exit::Failed, error.to_string()).remedy(error.remedy())
    }
}

/// Runs a command of the lab.
pub async fn run(command: LabCommand, file: &Path, ui: Ui) -> Result<Exit, Failure> {
    match command {
        LabCommand::Start(args) => start(&args, region(file), ui).await,
        LabCommand::Stop => stop(ui).await,
        LabCommand::Status => status(ui).await,
        LabCommand::Doctor => doctor(ui).await,
        LabCommand::Break { scenario } => break_dns(scenario, file, ui).await,
        LabCommand::Repair { scenario } => repair_dns(scenario, file, ui).await,
        LabCommand::Serve(args) => {
            let options = serde_json::from_str(&args.options).map_err(local)?;
            serve::run(options).await.map_err(local)?;
            Ok(Exit::Done)
        }
    }
}

/// Starts the lab for a spec that asks for it; one that runs is left alone, and must be the one that the spec means.
pub async fn ensure_running(provider: &Provider, ui: Ui) -> Result<(), Failure> {
    let (at, region) = match host::status().await? {
        Status::Running { at, health, .. } => (at, health.region),
        Status::Broken { state, machines, log } if machines > 0 => {
            let message =
                format!("the lab's container is {state}, and what it knew of {machines} instances is lost");
            return Err(Failure::new("KS-LAB-LOST", Exit::Failed, message)
                .evidence(log)
                .remedy("kubestrap lab stop, then kubestrap up"));
        }
        Status::Stopped | Status::Broken { .. } => {
            ui.note("starting the lab");
            let options = options(&from_environment()?, provider.region.clone())?;
            let running = host::start(&StartOptions { on_demand: true, ..options }).await?;
            (running, provider.region.clone())
        }
    };
    let endpoint = provider.endpoint.as_deref().unwrap_or(&at.endpoint).trim_end_matches('/');
    for (field, wanted, is) in [("endpoint", endpoint, &at.endpoint), ("region", &provider.region, &region)] {
        if wanted != is {
            let message = format!(
                "the lab that runs has the {field} {is}, and the spec's provider.{field} is {wanted}"
            );
            return Err(Failure::new("KS-LAB-OTHER", Exit::Failed, message).remedy(format!(
                "set provider.{field} to {is}, or kubestrap lab stop and start it as the spec says"
            )));
        }
    }
    Ok(())
}

/// What becomes of the lab when a cluster is gone from it: one that `up` started goes too. Says so.
pub async fn retire() -> Result<&'static str, Failure> {
    match host::status().await? {
        Status::Running { on_demand: true, machines, .. } if machines.is_empty() => {
            host::stop().await?;
            Ok("the lab that was started for it is stopped; nothing of it is left\n")
        }
        Status::Running { .. } => Ok("the lab still runs: kubestrap lab stop\n"),
        Status::Stopped | Status::Broken { .. } => Ok(""),
    }
}

/// Whether there is no lab, and so nothing in it.
pub async fn is_stopped() -> bool {
    matches!(host::status().await, Ok(Status::Stopped))
}

/// The region of the spec at hand, so that a lab started by hand serves it.
fn region(file: &Path) -> String {
    load(file).map_or_else(|_| host::REGION.to_owned(), |spec| spec.provider.region)
}

fn from_environment() -> Result<LabStart, Failure> {
    LabStart::from_environment().map_err(|error| Failure::new("KS-USAGE", Exit::Usage, error.to_string()))
}

fn options(args: &LabStart, region: String) -> Result<StartOptions, Failure> {
    let bundle = args.bundle.clone().or_else(host::default_bundle);
    let bundle = bundle.ok_or_else(|| local("neither KUBESTRAP_CACHE, XDG_CACHE_HOME nor HOME is set"))?;
    Ok(StartOptions {
        bundle,
        port: args.port,
        range: args.range,
        region,
        internet: args.internet,
        on_demand: false,
    })
}

async fn start(args: &LabStart, region: String, ui: Ui) -> Result<Exit, Failure> {
    let running = host::start(&options(args, region)?).await?;
    let word = if running.already { "runs already" } else { "runs" };
    let text = format!("the lab {word}: {}, addresses {}\n", running.endpoint, running.range);
    ui.answer(&text, &running);
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Stopped {
    stopped: bool,
}

async fn stop(ui: Ui) -> Result<Exit, Failure> {
    host::stop().await?;
    ui.answer("the lab is stopped; nothing of it is left\n", &Stopped { stopped: true });
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct StatusDocument {
    lab: Status,
}

async fn status(ui: Ui) -> Result<Exit, Failure> {
    let status = host::status().await?;
    let text = match &status {
        Status::Stopped => "the lab does not run\n".to_owned(),
        Status::Broken { state, log, .. } => {
            format!("the lab's container is {state} and does not serve\n{log}\n")
        }
        Status::Running { at, machines, .. } => {
            let mut text = labelled([
                ("endpoint", at.endpoint.clone()),
                ("in the lab", at.inner_endpoint.clone()),
                ("registry", at.registry.clone()),
                ("sources", at.sources.clone()),
                ("addresses", at.range.clone()),
            ]);
            if !machines.is_empty() {
                text.push('\n');
                text.push_str(&table(
                    &["instance", "container"],
                    machines.iter().map(|(id, state)| [id.clone(), state.clone()]),
                ));
            }
            text
        }
    };
    ui.answer(&text, &StatusDocument { lab: status });
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Checks {
    checks: Vec<host::Check>,
}

async fn doctor(ui: Ui) -> Result<Exit, Failure> {
    let checks = host::doctor(&options(&from_environment()?, host::REGION.to_owned())?).await;
    let mut text = String::new();
    for check in &checks {
        let word = match check.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        text.push_str(&format!("{word}  {}: {}\n", check.name, check.found));
        if let Some(remedy) = &check.remedy {
            text.push_str(&format!("      remedy: {remedy}\n"));
        }
    }
    let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
    ui.answer(&text, &Checks { checks });
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

#[derive(Serialize)]
struct Changed {
    scenario: &'static str,
    group: String,
    rules: Vec<Rule>,
}

/// Revokes, as a person would, every rule by which members of the nodes' group admit each other.
async fn break_dns(Scenario::Dns: Scenario, file: &Path, ui: Ui) -> Result<Exit, Failure> {
    let session = open_lab(file).await?;
    let state = session.cloud_state().await?;
    let group = state.groups.get(network::NODES).ok_or_else(|| no_cluster(&session))?;
    let member_to_member = |rule: &&Rule| matches!(&rule.peer, Peer::Group(id) if *id == group.id);
    let rules: Vec<Rule> = group.ingress.iter().filter(member_to_member).cloned().collect();
    session.cloud.set_rules(&group.id, Direction::Ingress, &[], &rules).await?;
    tell("dns", "revoked from", &group.id, rules, ui);
    Ok(Exit::Done)
}

/// Puts back whatever the nodes' group lacks of the plan.
async fn repair_dns(Scenario::Dns: Scenario, file: &Path, ui: Ui) -> Result<Exit, Failure> {
    let session = open_lab(file).await?;
    let state = session.cloud_state().await?;
    let group = state.groups.get(network::NODES).ok_or_else(|| no_cluster(&session))?;
    let ids = state.groups.iter().map(|(logical, group)| (logical.clone(), group.id.clone())).collect();
    let planned = network::plan_groups(&session.spec);
    let planned = planned.get(network::NODES).map(|plan| plan.ingress.as_slice()).unwrap_or_default();
    let wanted =
        network::resolve(planned, &ids).map_err(|name| local(format!("group {name} does not exist")))?;
    let (missing, _) = network::diff(&wanted, &group.ingress);
    session.cloud.set_rules(&group.id, Direction::Ingress, &missing, &[]).await?;
    tell("dns", "restored to", &group.id, missing, ui);
    Ok(Exit::Done)
}

/// Scenarios change a cluster on the lab and on nothing else.
async fn open_lab(file: &Path) -> Result<Session, Failure> {
    let spec = load(file)?;
    if spec.provider.kind != ProviderKind::Lab {
        return Err(Failure::new(
            "KS-LAB-ONLY",
            Exit::Usage,
            "only a cluster on the lab is broken on purpose",
        ));
    }
    Session::open(spec).await
}

fn tell(scenario: &'static str, what: &str, group: &str, rules: Vec<Rule>, ui: Ui) {
    let list: Vec<String> = rules.iter().map(Rule::to_string).collect();
    let text = match list.is_empty() {
        true => format!("{group}: nothing to do\n"),
        false => format!("{what} {group}: {}\n", list.join(", ")),
    };
    ui.answer(&text, &Changed { scenario, group: group.to_owned(), rules });
}
