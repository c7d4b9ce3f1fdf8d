//! The proof, at every start, that groups bite on this machine's kernel: two throw-away stations
//! on the real fabric see a connection allowed, then denied by each gate, then allowed again.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::lab::desired::{Group, Interface, Subnet, Vpc};
use crate::network::{Peer, PortRange, Protocol, Rule};

use super::{Fabric, FabricError, Netns};

/// How long a packet that should pass may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long silence must last to count as dropped; a veth delivers in microseconds, and every
/// denial comes after the same path was seen open.
const SILENCE: Duration = Duration::from_millis(250);
const PORT: u16 = 7;
const VPC: &str = "vpc-probe";

/// Why enforcement is not proven.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The probe's network could not be made.
    #[error(transparent)]
    Fabric(#[from] FabricError),
    /// A namespace or socket failed before anything could be judged.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Packets that a rule admits do not pass.
    #[error("{step}: blocked, but a rule admits it ({source})")]
    Blocked {
        /// Which step of the proof.
        step: &'static str,
        /// What the socket said.
        source: io::Error,
    },
    /// Packets that nothing admits pass: groups are not enforced.
    #[error("{step}: connected, but no rule admits it")]
    Open {
        /// Which step of the proof.
        step: &'static str,
    },
}

/// Runs the proof on `fabric`, which must have no VPC yet; leaves it without one.
pub fn prove(fabric: &mut Fabric) -> Result<(), ProbeError> {
    let result = steps(fabric);
    fabric.apply(&[])?;
    result
}

fn steps(fabric: &mut Fabric) -> Result<(), ProbeError> {
    let open =
        vec![Rule { protocol: Protocol::All, ports: None, peer: Peer::Cidr(ipnet::Ipv4Net::default()) }];
    let admit = vec![Rule {
        protocol: Protocol::Tcp,
        ports: Some(PortRange::single(PORT)),
        peer: Peer::Group("sg-sender".to_owned()),
    }];
    let [sender, receiver] = [Ipv4Addr::new(10, 255, 0, 10), Ipv4Addr::new(10, 255, 0, 11)];
    fabric.apply(&[network(sender, receiver, &open, &admit)])?;
    let make = || Netns::create().map_err(|source| ProbeError::Io { what: "make a namespace", source });
    let (from, to) = (make()?, make()?);
    fabric.attach("eni-sender", &from)?;
    fabric.attach("eni-receiver", &to)?;
    let target = SocketAddr::from((receiver, PORT));
    let listener = to
        .enter(|| TcpListener::bind(target))
        .map_err(|source| ProbeError::Io { what: "listen on the receiver", source })?;

    let step = "both gates open";
    let mut held = connect(&from, target, PATIENCE).map_err(|source| ProbeError::Blocked { step, source })?;
    let (mut served, _) = listener.accept().map_err(|source| ProbeError::Io { what: step, source })?;

    fabric.apply(&[network(sender, receiver, &open, &[])])?;
    must_fail(&from, target, "ingress gate closed")?;
    let step = "established connection after its rule was revoked";
    exchange(&mut held, &mut served).map_err(|source| ProbeError::Blocked { step, source })?;

    fabric.apply(&[network(sender, receiver, &[], &admit)])?;
    must_fail(&from, target, "egress gate closed")?;

    fabric.apply(&[network(sender, receiver, &open, &admit)])?;
    let step = "both gates open again";
    connect(&from, target, PATIENCE).map_err(|source| ProbeError::Blocked { step, source })?;
    Ok(())
}

fn connect(from: &Netns, target: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    from.enter(|| TcpStream::connect_timeout(&target, patience))
}

fn must_fail(from: &Netns, target: SocketAddr, step: &'static str) -> Result<(), ProbeError> {
    match connect(from, target, SILENCE) {
        Ok(_) => Err(ProbeError::Open { step }),
        Err(_) => Ok(()),
    }
}

fn exchange(from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
    to.set_read_timeout(Some(PATIENCE))?;
    from.write_all(b"still here")?;
    to.read_exact(&mut [0; 10])
}

fn network(sender: Ipv4Addr, receiver: Ipv4Addr, egress: &[Rule], ingress: &[Rule]) -> Vpc {
    let cidr = ipnet::Ipv4Net::new_assert(Ipv4Addr::new(10, 255, 0, 0), 24);
    let interface = |name: &str, private_ip| Interface {
        id: format!("eni-{name}"),
        machine: format!("i-{name}"),
        subnet: "subnet-probe".to_owned(),
        private_ip,
        public_ip: None,
        groups: vec![format!("sg-{name}")],
        source_dest_check: true,
    };
    let group = |name: &str, ingress: &[Rule], egress: &[Rule]| Group {
        id: format!("sg-{name}"),
        ingress: ingress.to_vec(),
        egress: egress.to_vec(),
    };
    Vpc {
        id: VPC.to_owned(),
        cidr,
        internet_gateway: false,
        subnets: vec![Subnet { id: "subnet-probe".to_owned(), cidr, routes_to_internet: false }],
        groups: vec![group("sender", &[], egress), group("receiver", ingress, &[])],
        interfaces: vec![interface("sender", sender), interface("receiver", receiver)],
    }
}
