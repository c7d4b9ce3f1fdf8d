//! kubestrap.
