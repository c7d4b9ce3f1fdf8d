//! The VPC as a network: one namespace each, where security groups bite.
//!
//! Every instance hangs on its own veth pair with a /32 route; there is no bridge, so every packet
//! is routed through the forward hook, where both interfaces are known and connections tracked.
//! The ruleset is loaded before the first interface is attached and replaced in one transaction.
//! Calls block on `ip` and `nft` for some milliseconds each.

pub mod gateway;
mod netns;
pub mod probe;
pub mod ruleset;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

pub use gateway::Site;
pub use netns::{Netns, ToolError};

use crate::lab::desired::{Interface, Subnet, Vpc};
use ruleset::{GATEWAY_LINK, METADATA, RESOLVER_ALIAS, gateway_name, link_name, mac_of, public_of};

/// The interface's name inside an instance, as on a Nitro machine.
pub const NODE_LINK: &str = "ens5";
/// What a VPC carries between its instances, in bytes.
const VPC_MTU: u32 = 9001;
/// What the internet carries.
const INTERNET_MTU: u32 = 1500;

/// Why the network could not be made as asked. The ruleset stays as it was, or drops everything.
#[derive(Debug, thiserror::Error)]
pub enum FabricError {
    /// A namespace could not be made or entered.
    #[error("network namespace for {what}: {source}")]
    Namespace {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// `ip` or `nft` refused.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// An address of the VPC could not be bound.
    #[error("cannot listen at {address} in {vpc}: {source}")]
    Listen {
        /// The socket address.
        address: String,
        /// `vpc-...`.
        vpc: String,
        /// Why.
        source: io::Error,
    },
    /// Something named is not in the desired state.
    #[error("{what} is not part of the desired network")]
    Unknown {
        /// Its id.
        what: String,
    },
}

/// Sockets opened inside a new VPC, for whoever serves them.
#[derive(Debug)]
pub struct VpcSockets {
    /// `vpc-...`.
    pub vpc: String,
    /// 169.254.169.254:80.
    pub metadata: TcpListener,
    /// Resolver addresses, port 53.
    pub dns_udp: Vec<UdpSocket>,
    /// The same over TCP.
    pub dns_tcp: Vec<TcpListener>,
}

/// All VPCs that exist, and the gateway to them.
#[derive(Debug)]
pub struct Fabric {
    outside: Netns,
    vpcs: BTreeMap<String, Network>,
}

#[derive(Debug)]
struct Network {
    inside: Netns,
    /// What the ruleset was rendered from.
    current: Vpc,
    /// Interfaces with a veth, by id.
    attached: BTreeSet<String>,
    /// Subnets whose router address is held.
    subnets: BTreeSet<String>,
    /// Public addresses routed here.
    public: BTreeSet<Ipv4Addr>,
}

impl Fabric {
    /// Prepares `outside` as the internet side. No VPC exists yet.
    pub fn new(outside: Netns, site: &Site) -> Result<Self, FabricError> {
        outside.nft(&gateway::ruleset(site))?;
        let settings = gateway::settings(site);
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        outside.sysctl(&settings)?;
        Ok(Self { outside, vpcs: BTreeMap::new() })
    }

    /// Makes the network what `desired` says: namespaces, rules, public addresses; interfaces that
    /// are gone from it are cut off. Returns the sockets of VPCs made now.
    ///
    /// New interfaces get a cable later, by [`Fabric::attach`], when their machine is there.
    pub fn apply(&mut self, desired: &[Vpc]) -> Result<Vec<VpcSockets>, FabricError> {
        let wanted: BTreeSet<&str> = desired.iter().map(|vpc| vpc.id.as_str()).collect();
        for (id, network) in &self.vpcs {
            if !wanted.contains(id.as_str()) {
                network.inside.ip(&format!("link del {GATEWAY_LINK}\n"))?;
            }
        }
        // The last handle, or the last socket in it, ends the namespace and every link in it.
        self.vpcs.retain(|id, _| wanted.contains(id.as_str()));
        let mut opened = Vec::new();
        for vpc in desired {
            if !self.vpcs.contains_key(&vpc.id) {
                let network = Network::create(vpc, &self.outside)?;
                opened.push(network.listen()?);
                self.vpcs.insert(vpc.id.clone(), network);
            }
            if let Some(network) = self.vpcs.get_mut(&vpc.id) {
                network.update(vpc, &self.outside)?;
            }
        }
        Ok(opened)
    }

    /// Connects an interface of the desired state to the machine whose namespace is `node`, and
    /// configures its end as DHCP would.
    pub fn attach(&mut self, eni: &str, node: &Netns) -> Result<(), FabricError> {
        let unknown = || FabricError::Unknown { what: eni.to_owned() };
        let network = self
            .vpcs
            .values_mut()
            .find(|network| network.current.interfaces.iter().any(|each| each.id == eni))
            .ok_or_else(unknown)?;
        network.attach(eni, node)
    }

    /// Takes the cable away; the interface stays in the desired state (a stopped machine).
    pub fn detach(&mut self, eni: &str) -> Result<(), FabricError> {
        self.vpcs.values_mut().try_for_each(|network| network.detach(eni))
    }

    /// The namespace of a VPC, to look into.
    pub fn inside(&self, vpc: &str) -> Option<Netns> {
        self.vpcs.get(vpc).map(|network| network.inside.clone())
    }
}

impl Network {
    /// A namespace that drops everything, with its link to the internet side.
    fn create(vpc: &Vpc, outside: &Netns) -> Result<Self, FabricError> {
        let inside =
            Netns::create().map_err(|source| FabricError::Namespace { what: vpc.id.clone(), source })?;
        let closed = Vpc { interfaces: Vec::new(), groups: Vec::new(), subnets: Vec::new(), ..vpc.clone() };
        inside.nft(&ruleset::ruleset(&closed))?;
        inside.sysctl(&[
            ("ipv6/conf/all/disable_ipv6", "1"),
            ("ipv6/conf/default/disable_ipv6", "1"),
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            ("ipv4/conf/all/send_redirects", "0"),
            ("ipv4/conf/default/send_redirects", "0"),
            // The fabric answers ARP for every address it has a route to.
            ("ipv4/conf/default/proxy_arp", "1"),
            ("ipv4/ip_forward", "1"),
        ])?;
        let link = gateway_name(&vpc.id);
        let (inner, outer) = (gateway::INSIDE, gateway::OUTSIDE);
        inside.ip(&format!(
            "link set lo up\n\
             addr add {METADATA}/32 dev lo\n\
             addr add {RESOLVER_ALIAS}/32 dev lo\n\
             addr add {}/32 dev lo\n\
             route add blackhole {}\n\
             link add {GATEWAY_LINK} mtu {INTERNET_MTU} type veth peer name {link} mtu {INTERNET_MTU} netns {}\n\
             addr add {inner}/32 dev {GATEWAY_LINK}\n\
             link set {GATEWAY_LINK} up\n\
             route add default via {outer} dev {GATEWAY_LINK} onlink\n",
            ruleset::resolver_of(vpc),
            vpc.cidr.trunc(),
            outside.path(),
        ))?;
        outside.ip(&format!("addr add {outer}/32 dev {link}\nlink set {link} up\n"))?;
        Ok(Self {
            inside,
            current: closed,
            attached: BTreeSet::new(),
            subnets: BTreeSet::new(),
            public: BTreeSet::new(),
        })
    }

    fn listen(&self) -> Result<VpcSockets, FabricError> {
        let vpc = &self.current;
        let refused = |address: (Ipv4Addr, u16)| {
            let vpc = vpc.id.clone();
            move |source| FabricError::Listen { address: format!("{}:{}", address.0, address.1), vpc, source }
        };
        let tcp = |address: (Ipv4Addr, u16)| {
            self.inside
                .enter(|| {
                    let listener = TcpListener::bind(address)?;
                    listener.set_nonblocking(true)?;
                    Ok(listener)
                })
                .map_err(refused(address))
        };
        let udp = |address: (Ipv4Addr, u16)| {
            self.inside
                .enter(|| {
                    let socket = UdpSocket::bind(address)?;
                    socket.set_nonblocking(true)?;
                    Ok(socket)
                })
                .map_err(refused(address))
        };
        let resolvers = [(ruleset::resolver_of(vpc), 53), (RESOLVER_ALIAS, 53)];
        Ok(VpcSockets {
            vpc: vpc.id.clone(),
            metadata: tcp((METADATA, 80))?,
            dns_udp: resolvers.into_iter().map(udp).collect::<Result<_, _>>()?,
            dns_tcp: resolvers.into_iter().map(tcp).collect::<Result<_, _>>()?,
        })
    }

    fn update(&mut self, vpc: &Vpc, outside: &Netns) -> Result<(), FabricError> {
        if *vpc == self.current {
            return Ok(());
        }
        self.inside.nft(&ruleset::ruleset(vpc))?;
        let before = std::mem::replace(&mut self.current, vpc.clone());

        let kept: BTreeSet<&str> = vpc.interfaces.iter().map(|each| each.id.as_str()).collect();
        for gone in before.interfaces.iter().filter(|each| !kept.contains(each.id.as_str())) {
            self.detach(&gone.id)?;
            self.forget(gone.private_ip);
        }
        self.hold_routers(&vpc.subnets)?;
        self.route_public(vpc, outside)
    }

    fn hold_routers(&mut self, subnets: &[Subnet]) -> Result<(), FabricError> {
        let wanted: BTreeMap<&str, &Subnet> = subnets.iter().map(|each| (each.id.as_str(), each)).collect();
        let mut batch = String::new();
        for subnet in wanted.values().filter(|each| !self.subnets.contains(&each.id)) {
            let _ = writeln!(batch, "addr replace {}/32 dev lo", ruleset::router_of(subnet.cidr));
        }
        if !batch.is_empty() {
            self.inside.ip(&batch)?;
        }
        // The router address of a deleted subnet stays on lo; nothing can be asked of it.
        self.subnets.extend(wanted.keys().map(|id| (*id).to_owned()));
        Ok(())
    }

    fn route_public(&mut self, vpc: &Vpc, outside: &Netns) -> Result<(), FabricError> {
        let wanted: BTreeSet<Ipv4Addr> =
            vpc.interfaces.iter().filter_map(|each| public_of(vpc, each)).collect();
        let link = gateway_name(&vpc.id);
        let mut batch = String::new();
        for gone in self.public.difference(&wanted) {
            let _ = writeln!(batch, "route del {gone}/32 dev {link}");
        }
        for new in wanted.difference(&self.public) {
            let _ = writeln!(batch, "route replace {new}/32 via {} dev {link} onlink", gateway::INSIDE);
        }
        if !batch.is_empty() {
            outside.ip(&batch)?;
        }
        for gone in self.public.difference(&wanted) {
            self.forget(*gone);
        }
        self.public = wanted;
        Ok(())
    }

    fn attach(&mut self, eni: &str, node: &Netns) -> Result<(), FabricError> {
        let vpc = &self.current;
        let unknown = |what: &str| FabricError::Unknown { what: what.to_owned() };
        let interface =
            vpc.interfaces.iter().find(|each| each.id == eni).ok_or_else(|| unknown(eni))?.clone();
        let subnet = vpc.subnets.iter().find(|each| each.id == interface.subnet);
        let subnet = subnet.ok_or_else(|| unknown(&interface.subnet))?.cidr;
        self.detach(eni)?;
        let (link, address) = (link_name(eni), interface.private_ip);
        self.inside.ip(&format!(
            "link add {link} mtu {VPC_MTU} type veth peer name {NODE_LINK} mtu {VPC_MTU} address {} netns {}\n\
             link set {link} up\n\
             route replace {address}/32 dev {link}\n",
            mac_of(eni),
            node.path(),
        ))?;
        self.attached.insert(eni.to_owned());
        // ARP is answered at once, not after the usual random delay of up to 0.8 s.
        self.inside.sysctl(&[(&format!("ipv4/neigh/{link}/proxy_delay"), "0")])?;
        node.ip(&format!(
            "link set lo up\n\
             addr add {address}/{} dev {NODE_LINK}\n\
             link set {NODE_LINK} up\n\
             route replace default via {} dev {NODE_LINK}\n",
            subnet.prefix_len(),
            ruleset::router_of(subnet),
        ))?;
        Ok(())
    }

    fn detach(&mut self, eni: &str) -> Result<(), FabricError> {
        if !self.attached.remove(eni) {
            return Ok(());
        }
        let link = link_name(eni);
        match self.inside.ip(&format!("link del {link}\n")) {
            // Gone already with the namespace of its machine.
            Err(ToolError::Failed { stderr, .. }) if stderr.contains("Cannot find device") => Ok(()),
            other => Ok(other?),
        }
    }

    /// Drops tracked connections of an address, so that its next holder inherits none.
    fn forget(&self, address: Ipv4Addr) {
        let address = address.to_string();
        for side in ["--orig-src", "--orig-dst", "--reply-src", "--reply-dst"] {
            // It fails when there is none, which is what is wanted.
            let _ = self.inside.tool(&["conntrack", "-D", side, &address], "");
        }
    }
}

/// The interface of a machine and the VPC it is in.
pub fn interface_of<'a>(vpcs: &'a [Vpc], machine: &str) -> Option<(&'a Vpc, &'a Interface)> {
    vpcs.iter().find_map(|vpc| Some((vpc, vpc.interfaces.iter().find(|each| each.machine == machine)?)))
}
