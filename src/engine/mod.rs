//! Runs a plan: every step whose predecessors are done, concurrently. Decides nothing.
//!
//! [`run`] is the scheduler, [`Executor`] turns an action into calls on the ports, [`Facts`] holds
//! what is learned on the way, and [`Event`]s tell whoever listens.

mod event;
mod execute;
mod facts;
mod schedule;

pub use event::{Event, EventState, Events};
pub use execute::{Executor, Local, StepError};
pub use facts::Facts;
pub use schedule::{Execute, Interrupt, RunError, run};
