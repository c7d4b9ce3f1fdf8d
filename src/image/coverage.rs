//! Whether a pushed image runs on every node: the incident "no match for platform in manifest",
//! found before anything is applied.

use std::collections::BTreeMap;
use std::fmt;

use super::{ImageRef, Platform};

/// An image that some nodes cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{image} has no image for {}; it has {}", list(missing), had(present))]
pub struct NotCovered {
    /// The image.
    pub image: String,
    /// What is missing, and on which nodes.
    pub missing: Vec<Missing>,
    /// The platforms that the image has.
    pub present: Vec<Platform>,
}

/// A platform that nodes have and the image has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The architecture as the nodes report it.
    pub architecture: String,
    /// The nodes, by name.
    pub nodes: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{} (nodes {})", self.architecture, self.nodes.join(", "))
    }
}

fn list(missing: &[Missing]) -> String {
    missing.iter().map(Missing::to_string).collect::<Vec<_>>().join(" and ")
}

fn had(present: &[Platform]) -> String {
    match present {
        [] => "none that kubestrap knows".to_owned(),
        _ => present.iter().map(Platform::as_str).collect::<Vec<_>>().join(", "),
    }
}

impl NotCovered {
    /// How to build what is missing.
    pub fn remedy(&self) -> String {
        let of = |missing: &Missing| Platform::from_architecture(&missing.architecture);
        if let Some(missing) = self.missing.iter().find(|missing| of(missing).is_none()) {
            return format!(
                "use nodes of another architecture: nothing is built for {}",
                missing.architecture
            );
        }
        let mut wanted: Vec<_> =
            self.missing.iter().filter_map(of).chain(self.present.iter().copied()).collect();
        wanted.sort();
        wanted.dedup();
        let quoted: Vec<_> = wanted.iter().map(|platform| format!("\"{platform}\"")).collect();
        let plain: Vec<_> = wanted.iter().map(Platform::as_str).collect();
        format!(
            "set platforms = [{}] for this service and run `kubestrap deploy`, \
             or build it with `docker buildx build --platform {} --push`",
            quoted.join(", "),
            plain.join(",")
        )
    }
}

/// Checks that an index has an image for every node; `nodes` are names with architectures.
pub fn verify_covers<'a>(
    image: &ImageRef,
    index: &[Platform],
    nodes: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), NotCovered> {
    let mut missing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (node, architecture) in nodes {
        if !index.iter().any(|platform| platform.architecture() == architecture) {
            missing.entry(architecture).or_default().push(node.to_owned());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing
        .into_iter()
        .map(|(architecture, nodes)| Missing { architecture: architecture.to_owned(), nodes })
        .collect();
    Err(NotCovered { image: image.to_string(), missing, present: index.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [(&str, &str); 3] =
        [("control-plane", "amd64"), ("worker-1", "amd64"), ("worker-2", "arm64")];

    fn image() -> ImageRef {
        "jinbi/marketplace:v1".parse().unwrap()
    }

    #[test]
    fn an_index_for_all_nodes_passes() {
        verify_covers(&image(), &Platform::ALL, NODES).unwrap();
        verify_covers(&image(), &[], []).unwrap();
    }

    #[test]
    fn the_laptops_image_is_refused_naming_the_nodes() {
        let error = verify_covers(&image(), &[Platform::LinuxArm64], NODES).unwrap_err();
        assert_eq!(
            error.to_string(),
            "docker.io/jinbi/marketplace:v1 has no image for linux/amd64 (nodes control-plane, worker-1); \
             it has linux/arm64"
        );
        assert_eq!(
            error.remedy(),
            "set platforms = [\"linux/amd64\", \"linux/arm64\"] for this service and run `kubestrap deploy`, \
             or build it with `docker buildx build --platform linux/amd64,linux/arm64 --push`"
        );
    }

    #[test]
    fn an_architecture_that_cannot_be_built_is_said_so() {
        let error = verify_covers(&image(), &Platform::ALL, [("worker-3", "s390x")]).unwrap_err();
        assert_eq!(error.remedy(), "use nodes of another architecture: nothing is built for s390x");
    }
}
