//! The plan of `up`: from what exists to what the spec asks for.

mod groups;

use super::step::{Action, Change, Step, StepId};
use super::{Kept, Observed, Plan, PlanError};
use crate::network;
use crate::ports::{Instance, InstanceState, NodePhase};
use crate::spec::{Pool, Role, Spec};

/// Plans what turns `observed` into `spec`. Empty when there is nothing to do.
pub fn up(spec: &Spec, observed: &Observed) -> Result<Plan, PlanError> {
    if !observed.cloud.foreign.is_empty() {
        return Err(PlanError::Foreign(observed.cloud.foreign.clone()));
    }
    let proof = network::prove_spec(spec);
    if !proof.counterexamples.is_empty() {
        return Err(PlanError::NotProven(Box::new(proof)));
    }
    let mut draft = Draft { spec, observed, steps: Vec::new(), keeps: Vec::new() };
    draft.network()?;
    draft.groups();
    draft.instances()?;
    draft.cluster();
    Ok(Plan::new(draft.steps, draft.keeps, Some(proof)))
}

/// The plan while it grows: steps are appended in an order in which they could run one by one.
struct Draft<'a> {
    spec: &'a Spec,
    observed: &'a Observed,
    steps: Vec<Step>,
    keeps: Vec<Kept>,
}

impl Draft<'_> {
    /// VPC, gateway, subnet, route table, key pair.
    fn network(&mut self) -> Result<(), PlanError> {
        let (spec, cloud) = (self.spec, &self.observed.cloud);
        let network = &spec.network;
        match &cloud.vpc {
            Some(vpc) if vpc.cidr != network.vpc_cidr => {
                return Err(immutable(&format!("VPC {}", vpc.id), vpc.cidr, network.vpc_cidr));
            }
            Some(vpc) if vpc.built.as_ref().is_some_and(|built| *built != built_as(spec)) => {
                let built = vpc.built.clone().unwrap_or_default();
                return Err(immutable(&format!("the cluster in {}", vpc.id), built, built_as(spec)));
            }
            Some(vpc) => self.keep("vpc", &vpc.id),
            None => self.create(
                "vpc",
                &[],
                Action::CreateVpc { cidr: network.vpc_cidr, built: built_as(spec) },
                format!("vpc {}", network.vpc_cidr),
            ),
        }
        match &cloud.gateway {
            Some(gateway) if gateway.vpc.is_some() => self.keep("internet gateway", &gateway.id),
            _ => self.create("gateway", &["vpc"], Action::CreateGateway, "internet gateway".into()),
        }
        match &cloud.subnet {
            Some(subnet) if subnet.cidr != network.subnet_cidr => {
                return Err(immutable(&format!("subnet {}", subnet.id), subnet.cidr, network.subnet_cidr));
            }
            Some(subnet) => self.keep("subnet", &subnet.id),
            None => {
                let zone = self.observed.offer.as_ref().map(|offer| offer.zone.clone()).unwrap_or_default();
                let resource = format!("subnet {} in {zone}", network.subnet_cidr);
                self.create(
                    "subnet",
                    &["vpc"],
                    Action::CreateSubnet { cidr: network.subnet_cidr, zone },
                    resource,
                );
            }
        }
        match &cloud.route_table {
            Some(table) if table.default_gateway.is_some() && table.association.is_some() => {
                self.keep("route table", &table.id);
            }
            _ => self.create(
                "route-table",
                &["gateway", "subnet"],
                Action::CreateRouteTable,
                "route table".into(),
            ),
        }
        let name = format!("kubestrap-{}", self.observed.scope.id);
        match &cloud.key_pair {
            // A key that was made anew here replaces the one in the cloud, for the nodes to come.
            Some(pair) if pair.public_key.as_ref().is_none_or(|key| *key == self.observed.public_key) => {
                self.keep("key pair", &pair.id);
            }
            _ if self.complete() => {}
            _ => {
                let resource = format!("key pair {name}");
                self.create("key-pair", &[], Action::ImportKeyPair { name }, resource);
            }
        }
        Ok(())
    }

    /// Instances, one launch a pool.
    fn instances(&mut self) -> Result<(), PlanError> {
        let spec = self.spec;
        let observed = self.observed;
        for instance in &observed.cloud.instances {
            let of_node = observed.cloud.instances.iter().filter(|other| other.node == instance.node);
            let ids: Vec<String> = of_node.map(|other| other.id.clone()).collect();
            if ids.len() > 1 {
                return Err(PlanError::Twice { node: instance.node.clone(), ids });
            }
            let pool = spec.pools().find(|pool| pool.node_names().any(|name| name == instance.node));
            match pool {
                None => {
                    return Err(PlanError::Unexpected {
                        id: instance.id.clone(),
                        node: instance.node.clone(),
                    });
                }
                Some(pool) => {
                    check_instance(instance, pool)?;
                    self.membership(instance, pool.role);
                }
            }
            self.keep(&format!("instance {}", instance.node), &instance.id);
        }
        let in_use = observed.cloud.instances.iter().any(|instance| instance.phase >= NodePhase::Joined);
        for pool in spec.pools() {
            let missing: Vec<String> =
                pool.node_names().filter(|node| self.instance(node).is_none()).collect();
            if missing.is_empty() {
                continue;
            }
            if pool.role == Role::ControlPlane && in_use {
                return Err(PlanError::ControlPlaneLost { node: missing[0].clone() });
            }
            let arch = observed.offer.as_ref().and_then(|offer| offer.arch.get(&pool.instance_type));
            let image = arch.and_then(|arch| observed.images.get(arch)).cloned().unwrap_or_default();
            let groups =
                network::membership(pool.role).iter().map(|group| (*group).to_owned()).collect::<Vec<_>>();
            let mut after = vec!["subnet".to_owned(), "key-pair".to_owned()];
            after.extend(groups.iter().map(|group| format!("group/{group}")));
            let after: Vec<&str> = after.iter().map(String::as_str).collect();
            let resource = format!("{} x {} ({})", missing.len(), pool.instance_type, missing.join(", "));
            let action = Action::Launch {
                pool: pool.name.clone(),
                nodes: missing,
                image,
                instance_type: pool.instance_type.clone(),
                disk_gib: pool.disk_gib,
                groups,
            };
            self.create(&format!("launch/{}", pool.name), &after, action, resource);
        }
        Ok(())
    }

    /// kubeadm, Calico and the final check, for whatever is not known to be ready.
    fn cluster(&mut self) {
        let spec = self.spec;
        let nodes: Vec<(String, Role)> = spec.nodes().collect();
        let phase = |node: &str| self.instance(node).map(|instance| instance.phase).unwrap_or_default();
        let behind: Vec<(String, Role, NodePhase)> = nodes
            .iter()
            .map(|(node, role)| (node.clone(), *role, phase(node)))
            .filter(|(_, _, phase)| *phase < NodePhase::Ready)
            .collect();
        if behind.is_empty() {
            return;
        }
        let (first, _) = nodes[0].clone();
        let groups = network::plan_groups(spec);
        let connect_after = |node: &str| {
            let pool =
                spec.pools().find(|pool| pool.node_names().any(|name| name == node)).map(|pool| &pool.name);
            let mut after = vec!["route-table".to_owned(), format!("groups/{node}")];
            after.extend(pool.map(|pool| format!("launch/{pool}")));
            for group in groups.keys() {
                after.push(format!("rules/{group}/ingress"));
                after.push(format!("rules/{group}/egress"));
            }
            after
        };
        // The control plane is always visited: it holds the CA hash and the token that joins need.
        let mut visited = vec![(first.clone(), Role::ControlPlane, phase(&first))];
        visited.extend(behind.iter().filter(|(node, ..)| *node != first).cloned());
        for (node, _, phase) in &visited {
            let after = connect_after(node);
            let after: Vec<&str> = after.iter().map(String::as_str).collect();
            self.run(
                &format!("connect/{node}"),
                &after,
                Action::Connect { node: node.clone() },
                node,
                "log in and pin its host key",
            );
            // Also where kubeadm is done: the sources may be what was mended since. A second install takes a second.
            if *phase < NodePhase::Ready {
                let after = format!("connect/{node}");
                self.run(
                    &format!("install/{node}"),
                    &[&after],
                    Action::Install { node: node.clone() },
                    node,
                    &format!("container runtime, Kubernetes {}, images", spec.kubernetes),
                );
            }
        }
        let initialise = format!("initialise/{first}");
        let (connect, install) = (format!("connect/{first}"), format!("install/{first}"));
        self.run(
            &initialise,
            &[&connect, &install],
            Action::Initialise { node: first.clone() },
            &first,
            "kubeadm init where needed, and a short-lived token for the joins",
        );
        self.run(
            "cni",
            &[&initialise],
            Action::InstallCni,
            "calico",
            &format!("Calico {}, VXLAN always", spec.calico.version),
        );
        let mut last = vec!["cni".to_owned()];
        let joined =
            visited.iter().filter(|(_, role, phase)| *role == Role::Worker && *phase == NodePhase::Joined);
        last.extend(joined.map(|(node, ..)| format!("install/{node}")));
        for (node, role, phase) in &visited {
            if *role == Role::Worker && *phase < NodePhase::Joined {
                let id = format!("join/{node}");
                let install = format!("install/{node}");
                self.run(
                    &id,
                    &[&install, &initialise],
                    Action::Join { node: node.clone() },
                    node,
                    "kubeadm join, CA hash verified",
                );
                last.push(id);
            }
        }
        let last: Vec<&str> = last.iter().map(String::as_str).collect();
        self.run("token", &last, Action::RetireToken, "bootstrap token", "the joins are done");
        let names = nodes.into_iter().map(|(node, _)| node).collect();
        self.run(
            "verify",
            &last,
            Action::Verify { nodes: names },
            "cluster",
            "nodes Ready, Calico healthy, DNS answers from every node",
        );
    }

    /// Whether every node has its instance, so that no launch will need the key pair.
    fn complete(&self) -> bool {
        self.spec.nodes().all(|(node, _)| self.instance(&node).is_some())
    }

    fn instance(&self, node: &str) -> Option<&Instance> {
        self.observed.cloud.instances.iter().find(|instance| instance.node == node)
    }

    fn keep(&mut self, resource: &str, id: &str) {
        self.keeps.push(Kept { resource: resource.to_owned(), id: id.to_owned() });
    }

    fn create(&mut self, id: &str, after: &[&str], action: Action, resource: String) {
        self.push(id, after, action, resource, Change::Create, "missing".into());
    }

    fn run(&mut self, id: &str, after: &[&str], action: Action, resource: &str, reason: &str) {
        self.push(id, after, action, resource.to_owned(), Change::Run, reason.to_owned());
    }

    /// Appends a step; predecessors that are not in the plan are already true and drop out.
    fn push(
        &mut self,
        id: &str,
        after: &[&str],
        action: Action,
        resource: String,
        change: Change,
        reason: String,
    ) {
        let after = after
            .iter()
            .map(|id| StepId::from(*id))
            .filter(|id| self.steps.iter().any(|step| step.id == *id))
            .collect();
        self.steps.push(Step { id: id.into(), after, action, resource, change, reason });
    }
}

fn check_instance(instance: &Instance, pool: &Pool) -> Result<(), PlanError> {
    if instance.instance_type != pool.instance_type {
        let resource = format!("instance {} ({})", instance.id, instance.node);
        return Err(immutable(&resource, &instance.instance_type, &pool.instance_type));
    }
    match instance.state {
        InstanceState::Pending | InstanceState::Running => Ok(()),
        state => Err(PlanError::NotRunning { id: instance.id.clone(), node: instance.node.clone(), state }),
    }
}

/// What this version cannot change on a cluster that exists, in a form that a tag can hold.
fn built_as(spec: &Spec) -> String {
    let network = &spec.network;
    format!(
        "kubernetes={} calico={} pods={} services={}",
        spec.kubernetes, spec.calico.version, network.pod_cidr, network.service_cidr
    )
}

fn immutable(resource: &str, is: impl ToString, wanted: impl ToString) -> PlanError {
    PlanError::Immutable { resource: resource.to_owned(), is: is.to_string(), wanted: wanted.to_string() }
}
