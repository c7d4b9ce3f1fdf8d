//! Generated from `proto/bookstore.proto`.

#![allow(missing_docs, clippy::all)]

tonic::include_proto!("bookstore.v1");

/// The contract's descriptors, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bookstore.bin"));
