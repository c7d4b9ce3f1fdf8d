//! The bookstore's page: asks the recommendations service and renders its answer, or a page
//! that names what failed.

pub mod backend;
pub mod failure;
pub mod page;
pub mod proto;
pub mod server;
