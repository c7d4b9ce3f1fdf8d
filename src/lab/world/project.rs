//! The projection: what must exist outside the world for it to be true.

use super::World;
use super::model::{GroupRule, Instance, Interface, RulePeer, SecurityGroup, State};
use crate::lab::desired::{self, Desired};
use crate::network::{Direction, Peer, Rule};

/// A rule for the fabric. IPv6 rules have no place in a network without IPv6.
fn rule(rule: &GroupRule) -> Option<Rule> {
    let peer = match &rule.peer {
        RulePeer::V4(net) => Peer::Cidr(*net),
        RulePeer::Group(id) => Peer::Group(id.clone()),
        RulePeer::V6(_) => return None,
    };
    Some(Rule { protocol: rule.protocol, ports: rule.ports, peer })
}

fn rules(group: &SecurityGroup, direction: Direction) -> Vec<Rule> {
    group.rules.iter().filter(|held| held.direction == direction).filter_map(rule).collect()
}

fn exists(instance: &Instance) -> bool {
    !matches!(instance.state, State::ShuttingDown | State::Terminated)
}

impl World {
    /// What the effects must make true now.
    pub fn desired(&self) -> Desired {
        Desired {
            vpcs: self.vpcs.all().map(|vpc| self.desired_vpc(&vpc.id, vpc.cidr)).collect(),
            machines: self
                .instances
                .all()
                .filter(|instance| exists(instance))
                .map(|instance| self.desired_machine(instance))
                .collect(),
        }
    }

    fn desired_vpc(&self, id: &str, cidr: ipnet::Ipv4Net) -> desired::Vpc {
        let subnet = |subnet: &super::Subnet| desired::Subnet {
            id: subnet.id.clone(),
            cidr: subnet.cidr,
            routes_to_internet: self.routes_to_internet(subnet),
        };
        let group = |group: &SecurityGroup| desired::Group {
            id: group.id.clone(),
            ingress: rules(group, Direction::Ingress),
            egress: rules(group, Direction::Egress),
        };
        let interface = |eni: &Interface| desired::Interface {
            id: eni.id.clone(),
            machine: eni.instance.clone(),
            subnet: eni.subnet.clone(),
            private_ip: eni.private_ip,
            public_ip: self.public_of(eni).map(|public| public.ip),
            groups: eni.groups.clone(),
            source_dest_check: eni.source_dest_check,
        };
        desired::Vpc {
            id: id.to_owned(),
            cidr,
            internet_gateway: self.gateways.all().any(|gateway| gateway.vpc.as_deref() == Some(id)),
            subnets: self.subnets.all().filter(|held| held.vpc == id).map(subnet).collect(),
            groups: self.groups.all().filter(|held| held.vpc == id).map(group).collect(),
            interfaces: self
                .interfaces
                .all()
                .filter(|eni| eni.vpc == id && self.instances.find(&eni.instance).is_some_and(exists))
                .map(interface)
                .collect(),
        }
    }

    fn desired_machine(&self, instance: &Instance) -> desired::Machine {
        desired::Machine {
            id: instance.id.clone(),
            image: instance.image.clone(),
            instance_type: instance.instance_type.clone(),
            zone: instance.zone.clone(),
            account: self.config.account.clone(),
            reservation: instance.reservation.clone(),
            launch_index: instance.launch_index,
            key: instance.key.clone(),
            user_data: instance.user_data.clone(),
            tokens_required: instance.metadata.tokens_required,
            hop_limit: instance.metadata.hop_limit,
            metadata_enabled: instance.metadata.enabled,
            metadata_tags: instance.metadata.tags,
            reboots: instance.reboots,
            tags: instance.tags.clone(),
            running: matches!(instance.state, State::Pending | State::Running),
        }
    }
}
