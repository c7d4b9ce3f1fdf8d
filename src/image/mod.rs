//! Container images without Docker: compile, check, assemble, push, read back.
//!
//! ```text
//! source ─ build::compile_all ─► binary ─ elf::check ─► assemble ─► Image ─ Registry::push ─► registry
//!                                                                                              │
//!                       verify_covers(nodes' architectures) ◄─ platforms ◄─ Registry::inspect ─┘
//! ```
//! [`build`] and [`Registry`] have effects; the rest is pure.

mod assemble;
pub mod build;
mod coverage;
pub mod elf;
mod platform;
mod reference;
mod registry;

pub use assemble::{AssembleError, Blob, Image, PlatformImage, Recipe, USER, assemble};
pub use coverage::{Missing, NotCovered, verify_covers};
pub use platform::{Platform, UnknownPlatform};
pub use reference::{ImageRef, Mirrors, NameError};
pub use registry::{Login, Pushed, Registry, RegistryError};
