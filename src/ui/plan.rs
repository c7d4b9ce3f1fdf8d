//! A plan for people: what it creates, changes, keeps, destroys, and the proof.

use super::style::{BOLD, DIM, GREEN, RED, RESET, YELLOW};
use crate::plan::{Change, Plan, Step};

/// The whole plan as text.
pub fn render(plan: &Plan) -> String {
    let mut text = String::new();
    if let Some(proof) = &plan.network {
        text.push_str(&format!("network: {} of {} required flows proven\n", proof.proven, proof.required));
    }
    if plan.is_empty() {
        text.push_str("nothing to do: everything is as the spec says\n");
        return text;
    }
    for step in &plan.steps {
        text.push_str(&line(step));
    }
    if !plan.keeps.is_empty() {
        let kept: Vec<String> =
            plan.keeps.iter().map(|kept| format!("{} {}", kept.resource, kept.id)).collect();
        text.push_str(&format!("  {DIM}= keep    {}{RESET}\n", kept.join(", ")));
    }
    let summary = &plan.summary;
    text.push_str(&format!(
        "{BOLD}plan{RESET}: {} to create, {} to change, {} to keep, {} to destroy\n",
        summary.create, summary.change, summary.keep, summary.destroy
    ));
    text
}

fn line(step: &Step) -> String {
    let (colour, sign, word) = match step.change {
        Change::Create => (GREEN, '+', "create "),
        Change::Change => (YELLOW, '~', "change "),
        Change::Destroy => (RED, '-', "destroy"),
        Change::Run => (DIM, '>', "run    "),
    };
    let what = match step.change {
        Change::Run => format!("{:<28}", step.id.0),
        _ => step.resource.clone(),
    };
    let reason =
        if step.reason == "missing" { String::new() } else { format!("  {DIM}{}{RESET}", step.reason) };
    format!("  {colour}{sign}{RESET} {word} {what}{reason}\n")
}
