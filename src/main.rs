//! kubestrap.
fn main() {}
