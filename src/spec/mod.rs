//! The spec: TOML to a validated [`Spec`], every mistake with its line, column and remedy.

mod check;
pub mod codes;
mod defaults;
mod error;
mod forms;
mod instance;
mod model;
mod parse;
mod place;
mod read;
mod sections;
mod service;
mod template;
#[cfg(test)]
mod tests;

pub use error::{SpecError, SpecErrors};
pub use model::*;
pub use parse::parse;
pub use template::template;
