//! What is learned during a run: append-only, keyed by the plan's own names.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use crate::ports::{CloudState, Instance};

/// Ids and addresses known so far. A fact is written once by the step that makes it true; the steps
/// after it read it. A fact that is missing is a mistake in the plan's order, never a matter of time.
#[derive(Debug, Default)]
pub struct Facts {
    ids: Mutex<BTreeMap<String, String>>,
    instances: Mutex<BTreeMap<String, Instance>>,
}

impl Facts {
    /// What observation already told.
    pub fn observed(cloud: &CloudState) -> Self {
        let facts = Self::default();
        let singles = [
            ("vpc", cloud.vpc.as_ref().map(|it| &it.id)),
            ("gateway", cloud.gateway.as_ref().map(|it| &it.id)),
            ("subnet", cloud.subnet.as_ref().map(|it| &it.id)),
            ("route-table", cloud.route_table.as_ref().map(|it| &it.id)),
            ("key-pair", cloud.key_pair.as_ref().map(|it| &it.name)),
        ];
        for (name, id) in singles {
            if let Some(id) = id {
                facts.learn(name, id);
            }
        }
        for (logical, group) in &cloud.groups {
            facts.learn(&format!("group/{logical}"), &group.id);
        }
        for instance in &cloud.instances {
            facts.learn_instance(instance.clone());
        }
        facts
    }

    /// Records an id or value.
    pub fn learn(&self, name: &str, value: &str) {
        self.ids.lock().expect("facts are never poisoned").insert(name.to_owned(), value.to_owned());
    }

    /// Records an instance under its node's name.
    pub fn learn_instance(&self, instance: Instance) {
        self.instances.lock().expect("facts are never poisoned").insert(instance.node.clone(), instance);
    }

    /// An id or value.
    pub fn get(&self, name: &str) -> Option<String> {
        self.ids.lock().expect("facts are never poisoned").get(name).cloned()
    }

    /// A node's instance.
    pub fn instance(&self, node: &str) -> Option<Instance> {
        self.instances.lock().expect("facts are never poisoned").get(node).cloned()
    }

    /// Ids of all instances.
    pub fn instance_ids(&self) -> Vec<String> {
        self.instances.lock().expect("facts are never poisoned").values().map(|it| it.id.clone()).collect()
    }

    /// The address by which a node is reached from here.
    pub fn address(&self, node: &str) -> Option<Ipv4Addr> {
        self.instance(node).and_then(|instance| instance.address())
    }
}
