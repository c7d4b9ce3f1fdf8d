//! Effects that are always in force at once: what the fabric and the machines do, without either.

use std::collections::BTreeMap;

use kubestrap::lab::desired::Report;
use kubestrap::lab::wire::LabHandle;

/// Says of every goal that it is in force, and of every machine that it did what it was told.
pub async fn at_once(lab: LabHandle) {
    let mut goals = lab.goals();
    let mut known: BTreeMap<String, (bool, u32)> = BTreeMap::new();
    loop {
        let goal = goals.borrow_and_update().clone();
        lab.applied(goal.generation);
        let wanted: BTreeMap<String, (bool, u32)> = goal
            .desired
            .machines
            .iter()
            .map(|machine| (machine.id.clone(), (machine.running, machine.reboots)))
            .collect();
        for (id, state) in &wanted {
            let machine = id.clone();
            match (known.get(id), state.0) {
                (Some(before), running) if before.0 == running => {}
                (_, true) => {
                    let text = format!("boot of {id}\n");
                    lab.report(Report::Console { machine: machine.clone(), text });
                    lab.report(Report::Started { machine });
                }
                (_, false) => lab.report(Report::Stopped { machine }),
            }
        }
        for id in known.keys().filter(|id| !wanted.contains_key(*id)) {
            lab.report(Report::Gone { machine: id.clone() });
        }
        known = wanted;
        if goals.changed().await.is_err() {
            return;
        }
    }
}
