//! Container images without Docker: compile, check, assemble, push.

mod platform;

pub use platform::Platform;
