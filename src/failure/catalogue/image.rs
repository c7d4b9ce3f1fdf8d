//! Codes of building, pushing and checking the services' images.

pub(super) const PAGES: super::Pages = &[
    (
        "KS-DEPLOY-SOURCE",
        "The sources of the services were looked for in the spec's folder, the one above it and the current \
         one, and none of them holds all. services.source is relative to such a folder, and each must have \
         a Cargo.toml. Mend the paths, or run `kubestrap deploy` where the sources are.",
    ),
    (
        "KS-IMAGE-BUILD",
        "cargo could not build a service for one of its platforms; the message has the end of its output. \
         Either the code does not compile, or this machine lacks Rust or the target's standard library. The \
         remedy is the command that installs it or shows the whole output.",
    ),
    (
        "KS-IMAGE-BINARY",
        "An image cannot be made from this binary. Images hold nothing but the binary, so that it must be a \
         static Linux executable for the platform that it is meant for; one built for another architecture, \
         or linked to a libc that the image does not have, would not start. Build it for the musl target \
         that the remedy names.",
    ),
    (
        "KS-IMAGE-REGISTRY",
        "The registry that services.image names, or its mirror from sources.mirrors, cannot be reached, \
         refuses access, or failed. Pushes are anonymous unless KUBESTRAP_REGISTRY_USER and \
         KUBESTRAP_REGISTRY_PASSWORD are set; nodes pull anonymously. For the lab see that it runs, with `kubestrap lab status`.",
    ),
    (
        "KS-IMAGE-PLATFORM",
        "The image in the registry has no variant for the architecture of a node: its pods would fail there \
         with 'no match for platform in manifest'. It was not applied. Add the platform to \
         services.platforms and run `kubestrap deploy`, which builds all of them.",
    ),
    (
        "KS-IMAGE-NAME",
        "An image or a mirror in the spec has a name that cannot be pushed to. It must be a reference with \
         a tag, without a digest, as in registry.example.com/shop/marketplace:v1; mirrors are http or https \
         URLs. Mend it in the spec.",
    ),
];
