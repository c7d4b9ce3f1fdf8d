//! kubestrap: from one TOML spec to a running kubeadm cluster on EC2, and back to nothing.
//!
//! The shape is *observe, plan (pure), execute, verify*. Start reading at [`commands`].

pub mod cli;
pub mod commands;
pub mod diagnose;
pub mod ec2;
pub mod engine;
pub mod failure;
pub mod image;
pub mod kube;
pub mod lab;
pub mod local;
pub mod network;
pub mod plan;
pub mod ports;
pub mod script;
pub mod spec;
pub mod ssh;
pub mod ui;
