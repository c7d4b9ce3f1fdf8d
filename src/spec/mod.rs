//! The spec: TOML to a validated [`Spec`], every mistake with its line, column and remedy.

mod model;

pub use model::*;
