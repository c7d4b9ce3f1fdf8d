//! Names of images, and which endpoint serves a registry.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use oci_client::Reference;

/// A full name of an image: registry, repository, tag. `jinbi/marketplace:v1` is
/// `docker.io/jinbi/marketplace:v1`, as container runtimes read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageRef(Reference);

/// A name or an endpoint that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not the name of an image.
    #[error("{value:?} is not the name of an image: {detail}")]
    Image {
        /// The text.
        value: String,
        /// What the parser said.
        detail: String,
    },
    /// A name by digest, where one to push to is needed.
    #[error("{value:?} names an image by digest; a push needs a tag")]
    Digest {
        /// The text.
        value: String,
    },
    /// Not the address of a registry.
    #[error("the mirror of {registry} is {url:?}: {detail}")]
    Mirror {
        /// The registry that is mirrored.
        registry: String,
        /// The text.
        url: String,
        /// What is wrong with it.
        detail: &'static str,
    },
}

impl NameError {
    /// What to write instead.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Image { .. } => {
                "write [registry/]repository[:tag] in lower case, as in jinbi/marketplace:v1"
            }
            Self::Digest { .. } => "replace @sha256:... by a tag, as in jinbi/marketplace:v1",
            Self::Mirror { .. } => "write http://HOST:PORT or https://HOST[:PORT], with no path",
        }
    }
}

impl ImageRef {
    /// The registry as the name has it, `docker.io` where it has none.
    pub fn registry(&self) -> &str {
        self.0.registry()
    }

    /// The path in the registry.
    pub fn repository(&self) -> &str {
        self.0.repository()
    }

    /// The tag, `latest` where the name has none.
    pub fn tag(&self) -> &str {
        self.0.tag().unwrap_or("latest")
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.registry(), self.repository(), self.tag())
    }
}

impl FromStr for ImageRef {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let reference: Reference = text.parse().map_err(|error: oci_client::ParseError| {
            NameError::Image { value: text.into(), detail: error.to_string() }
        })?;
        if reference.digest().is_some() {
            return Err(NameError::Digest { value: text.into() });
        }
        Ok(Self(reference))
    }
}

/// Which endpoint to use in place of a registry, as containerd's mirrors do it:
/// `docker.io = "http://198.18.0.2:5000"` keeps the repository's path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mirrors(BTreeMap<String, Endpoint>);

/// Where a registry answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Host and port.
    pub authority: String,
    /// Over plain HTTP.
    pub plain: bool,
}

impl Mirrors {
    /// Reads a map from registry to URL, as `sources.mirrors` in the spec has it.
    pub fn new<R: Into<String>, U: AsRef<str>>(
        map: impl IntoIterator<Item = (R, U)>,
    ) -> Result<Self, NameError> {
        let entry = |(registry, url): (R, U)| {
            let registry = registry.into();
            let endpoint = Endpoint::parse(url.as_ref()).map_err(|detail| NameError::Mirror {
                registry: registry.clone(),
                url: url.as_ref().to_owned(),
                detail,
            })?;
            Ok((registry, endpoint))
        };
        map.into_iter().map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// The image's name as the endpoint that serves it knows it.
    pub(super) fn resolve(&self, image: &ImageRef) -> Reference {
        match self.0.get(image.registry()) {
            Some(endpoint) => Reference::with_tag(
                endpoint.authority.clone(),
                image.repository().to_owned(),
                image.tag().to_owned(),
            ),
            None => image.0.clone(),
        }
    }

    /// The endpoint as a person reads it.
    pub(super) fn address(&self, image: &ImageRef) -> String {
        match self.0.get(image.registry()) {
            Some(Endpoint { authority, plain: true }) => format!("http://{authority}"),
            Some(Endpoint { authority, plain: false }) => format!("https://{authority}"),
            None => format!("https://{}", image.0.resolve_registry()),
        }
    }

    /// Authorities that are spoken to over plain HTTP.
    pub(super) fn plain(&self) -> Vec<String> {
        self.0.values().filter(|endpoint| endpoint.plain).map(|endpoint| endpoint.authority.clone()).collect()
    }
}

impl Endpoint {
    fn parse(url: &str) -> Result<Self, &'static str> {
        let (plain, rest) = match url.split_once("://") {
            Some(("http", rest)) => (true, rest),
            Some(("https", rest)) => (false, rest),
            Some(_) => return Err("the scheme is neither http nor https"),
            None => return Err("it has no scheme"),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.is_empty() {
            return Err("it has no host");
        }
        if authority.contains('@') {
            return Err("it holds credentials");
        }
        if authority.contains(['/', '?', '#']) || authority.contains(char::is_whitespace) {
            return Err("it is more than a host and a port");
        }
        Ok(Self { authority: authority.to_owned(), plain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_name_is_on_docker_hub() {
        let image: ImageRef = "jinbi/marketplace:v1".parse().unwrap();
        assert_eq!(image.to_string(), "docker.io/jinbi/marketplace:v1");
        assert_eq!(image, "docker.io/jinbi/marketplace:v1".parse().unwrap());
        let image: ImageRef = "busybox".parse().unwrap();
        assert_eq!(image.to_string(), "docker.io/library/busybox:latest");
        let image: ImageRef = "registry.lab:5000/a/b/c:1.2".parse().unwrap();
        assert_eq!(
            (image.registry(), image.repository(), image.tag()),
            ("registry.lab:5000", "a/b/c", "1.2")
        );
    }

    #[test]
    fn a_name_that_cannot_be_pushed_to_is_refused() {
        assert!(matches!("Jinbi/Marketplace:v1".parse::<ImageRef>(), Err(NameError::Image { .. })));
        assert!(matches!("".parse::<ImageRef>(), Err(NameError::Image { .. })));
        let by_digest = format!("jinbi/marketplace@sha256:{}", "0".repeat(64));
        assert!(matches!(by_digest.parse::<ImageRef>(), Err(NameError::Digest { .. })));
    }

    #[test]
    fn a_mirror_keeps_the_path() {
        let mirrors = Mirrors::new([("docker.io", "http://198.18.0.2:5000/")]).unwrap();
        let image: ImageRef = "jinbi/marketplace:v1".parse().unwrap();
        assert_eq!(mirrors.resolve(&image).whole(), "198.18.0.2:5000/jinbi/marketplace:v1");
        assert_eq!(mirrors.address(&image), "http://198.18.0.2:5000");
        assert_eq!(mirrors.plain(), ["198.18.0.2:5000"]);
        let other: ImageRef = "quay.io/a/b:c".parse().unwrap();
        assert_eq!(mirrors.resolve(&other).whole(), "quay.io/a/b:c");
        assert_eq!(mirrors.address(&other), "https://quay.io");
    }

    #[test]
    fn a_mirror_is_a_host_and_a_port() {
        for url in ["198.18.0.2:5000", "ftp://a", "http://", "http://a/v2", "http://u:p@a", "http://a b"] {
            let error = Mirrors::new([("docker.io", url)]).unwrap_err();
            assert!(matches!(error, NameError::Mirror { .. }), "{url}");
        }
    }
}
