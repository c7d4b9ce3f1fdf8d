//! The adapter to Kubernetes: the `Cluster` port on the kube crate.
