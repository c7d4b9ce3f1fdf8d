//! The bookstore's catalogue over gRPC: recommends books of one category.

pub mod catalogue;
pub mod proto;
pub mod server;
pub mod service;
