//! Generated from `proto/bookstore.proto`.

#![allow(missing_docs, clippy::all)]

tonic::include_proto!("bookstore.v1");
