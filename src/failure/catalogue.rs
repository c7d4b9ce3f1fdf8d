//! What `kubestrap explain` says about each code: what it means, what usually causes it, what to do.
//!
//! One file a family. A test reads the codes off the sources, so that a code without a page and a page
//! without a code both fail.

mod dns;
mod ec2;
mod image;
mod kubernetes;
mod lab;
mod network;
mod node;
mod plan;
mod run;
#[cfg(test)]
mod tests;

use crate::spec::codes;

/// Codes with what is said about each.
type Pages = &'static [(&'static str, &'static str)];

const FAMILIES: [Pages; 10] = [
    run::PAGES,
    codes::EXPLANATIONS,
    ec2::PAGES,
    plan::PAGES,
    node::PAGES,
    kubernetes::PAGES,
    network::PAGES,
    dns::PAGES,
    image::PAGES,
    lab::PAGES,
];

/// A paragraph about a code, in any case, or `None` for one that does not exist.
pub fn explain(code: &str) -> Option<&'static str> {
    pages().find(|(known, _)| known.eq_ignore_ascii_case(code)).map(|(_, page)| page)
}

fn pages() -> impl Iterator<Item = (&'static str, &'static str)> {
    FAMILIES.into_iter().flatten().copied()
}
