//! A local EC2: a pure world, the wire protocol above it, the fabric and the containers below.
//!
//! [`world`] decides what is true, [`desired`] is what it asks of the effects, [`fabric`] makes it
//! true in the network and [`machine`] in containers. Nothing outside this module imports it but
//! the `lab` command.

pub mod desired;
pub mod effects;
pub mod fabric;
pub mod imds;
pub mod machine;
pub mod registry;
pub mod resolver;
pub mod serve;
pub mod sources;
pub mod wire;
pub mod world;
