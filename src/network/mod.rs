//! The network: which flows a cluster needs, which rules allow them, and the proof that they do.

mod rule;

pub use rule::{Direction, Peer, PortRange, Protocol, Rule};
