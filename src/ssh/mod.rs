//! The adapter to the nodes: the `Remote` port on OpenSSH.
