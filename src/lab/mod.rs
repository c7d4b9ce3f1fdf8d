//! A local EC2: a pure world, the wire protocol above it, the fabric and the containers below.
//!
//! [`world`] decides what is true, [`desired`] is what it asks of the effects, [`fabric`] makes it
//! true in the network and [`machine`] in containers. Nothing outside this module imports it but
//! the `lab` command.

pub mod desired;
pub mod effects;
pub mod fabric;
pub mod host;
pub mod imds;
pub mod machine;
pub mod registry;
pub mod resolver;
pub mod serve;
pub mod sources;
pub mod wire;
pub mod world;

use aws_sdk_ec2::config::Credentials;

/// What the lab takes for credentials: the endpoint checks the key id and no signature.
pub fn credentials() -> Credentials {
    Credentials::new(wire::ACCESS_KEY, "lab-secret", None, None, "lab")
}
