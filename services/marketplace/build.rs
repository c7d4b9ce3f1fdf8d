//! Compiles the contract with protox, so that no protoc is needed to build.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../../proto/bookstore.proto");
    let descriptors = protox::compile(["bookstore.proto"], ["../../proto"])?;
    tonic_prost_build::configure().build_server(false).build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
