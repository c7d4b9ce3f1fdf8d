//! The plan of `down`: everything that carries the cluster's id, in an order that EC2 accepts.

use super::Plan;
use super::step::{Action, Change, Step, StepId};
use crate::network::{Direction, Peer, Rule};
use crate::ports::{CloudState, Delete, InstanceState, SecurityGroup};

/// Plans the removal of everything observed, and of the local files.
pub fn down(cloud: &CloudState) -> Plan {
    let mut draft = Draft { steps: Vec::new() };
    let instances: Vec<_> =
        cloud.instances.iter().filter(|instance| instance.state != InstanceState::Terminated).collect();
    if !instances.is_empty() {
        let ids = instances.iter().map(|instance| instance.id.clone()).collect();
        let nodes: Vec<&str> = instances.iter().map(|instance| instance.node.as_str()).collect();
        draft.delete("instances", &[], Delete::Instances(ids), format!("instances {}", nodes.join(", ")));
    }
    // Groups that name each other cannot be deleted one by one: the references go first.
    for (logical, group) in &cloud.groups {
        draft.unlink(logical, group, Direction::Ingress, &group.ingress);
        draft.unlink(logical, group, Direction::Egress, &group.egress);
    }
    for (logical, group) in &cloud.groups {
        let target = Delete::SecurityGroup(group.id.clone());
        let resource = format!("security group {}", group.name);
        draft.delete(&format!("group/{logical}"), &["instances", "unlink/"], target, resource);
    }
    if let Some(table) = &cloud.route_table {
        let target = Delete::RouteTable { id: table.id.clone(), association: table.association.clone() };
        draft.delete("route-table", &["instances"], target, format!("route table {}", table.id));
    }
    if let Some(subnet) = &cloud.subnet {
        let target = Delete::Subnet(subnet.id.clone());
        draft.delete("subnet", &["instances", "route-table"], target, format!("subnet {}", subnet.id));
    }
    if let Some(gateway) = &cloud.gateway {
        let target = Delete::Gateway { id: gateway.id.clone(), vpc: gateway.vpc.clone() };
        draft.delete(
            "gateway",
            &["instances", "route-table"],
            target,
            format!("internet gateway {}", gateway.id),
        );
    }
    if let Some(vpc) = &cloud.vpc {
        let after = ["instances", "group/", "subnet", "gateway", "route-table"];
        draft.delete("vpc", &after, Delete::Vpc(vpc.id.clone()), format!("vpc {}", vpc.id));
    }
    if let Some(pair) = &cloud.key_pair {
        draft.delete("key-pair", &[], Delete::KeyPair(pair.id.clone()), format!("key pair {}", pair.name));
    }
    if !draft.steps.is_empty() {
        let reason = "SSH key, host keys and kubeconfig of a cluster that is gone";
        draft.push("forget", &[""], Action::Forget, "local files".into(), Change::Run, reason);
    }
    Plan::new(draft.steps, Vec::new(), None)
}

/// The plan while it grows.
struct Draft {
    steps: Vec<Step>,
}

impl Draft {
    fn delete(&mut self, id: &str, after: &[&str], target: Delete, resource: String) {
        self.push(id, after, Action::Delete { target }, resource, Change::Destroy, "part of the cluster");
    }

    /// Removes the rules that name another group: these hold both groups in place.
    fn unlink(&mut self, logical: &str, group: &SecurityGroup, direction: Direction, rules: &[Rule]) {
        let names_another = |rule: &&Rule| matches!(&rule.peer, Peer::Group(id) if *id != group.id);
        let rules: Vec<Rule> = rules.iter().filter(names_another).cloned().collect();
        if rules.is_empty() {
            return;
        }
        self.push(
            &format!("unlink/{logical}/{direction}"),
            &["instances"],
            Action::Unlink { group: group.id.clone(), direction, rules },
            format!("{direction} rules of {} that name other groups", group.name),
            Change::Destroy,
            "a group that a rule names cannot be deleted",
        );
    }

    /// Appends a step that comes after every step whose id begins with one of `after`.
    fn push(
        &mut self,
        id: &str,
        after: &[&str],
        action: Action,
        resource: String,
        change: Change,
        reason: &str,
    ) {
        let precedes = |step: &&Step| after.iter().any(|prefix| step.id.0.starts_with(prefix));
        let after = self.steps.iter().filter(precedes).map(|step| step.id.clone()).collect::<Vec<StepId>>();
        self.steps.push(Step { id: id.into(), after, action, resource, change, reason: reason.into() });
    }
}
