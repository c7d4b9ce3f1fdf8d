//! Container images without Docker: compile, check, assemble, push.
