//! What the bookstore's services share: JSON logs, metrics, probes, settings from the
//! environment and an orderly shutdown. Nothing of the bookstore itself is in here.

pub mod env;
pub mod lifecycle;
pub mod ops;
pub mod telemetry;
