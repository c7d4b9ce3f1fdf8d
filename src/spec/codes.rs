//! Error codes of the spec, and what each means.
//!
//! A code never changes its meaning: people search for it.
#![allow(missing_docs, reason = "EXPLANATIONS documents each constant")]

pub const SYNTAX: &str = "KS-SPEC-SYNTAX";
pub const SCHEMA: &str = "KS-SPEC-SCHEMA";
pub const UNKNOWN_KEY: &str = "KS-SPEC-UNKNOWN-KEY";
pub const MISSING: &str = "KS-SPEC-MISSING";
pub const TYPE: &str = "KS-SPEC-TYPE";
pub const CHOICE: &str = "KS-SPEC-CHOICE";
pub const NAME: &str = "KS-SPEC-NAME";
pub const DUPLICATE: &str = "KS-SPEC-DUPLICATE";
pub const VERSION: &str = "KS-SPEC-VERSION";
pub const CIDR: &str = "KS-SPEC-CIDR";
pub const CIDR_SIZE: &str = "KS-SPEC-CIDR-SIZE";
pub const CIDR_OVERLAP: &str = "KS-SPEC-CIDR-OVERLAP";
pub const ADMIN: &str = "KS-SPEC-ADMIN";
pub const ENCAPSULATION: &str = "KS-SPEC-ENCAPSULATION";
pub const COUNT: &str = "KS-SPEC-COUNT";
pub const INSTANCE_TYPE: &str = "KS-SPEC-INSTANCE-TYPE";
pub const INSTANCE_SIZE: &str = "KS-SPEC-INSTANCE-SIZE";
pub const ARCH: &str = "KS-SPEC-ARCH";
pub const REGION: &str = "KS-SPEC-REGION";
pub const ZONE: &str = "KS-SPEC-ZONE";
pub const MACHINE_IMAGE: &str = "KS-SPEC-MACHINE-IMAGE";
pub const ACCOUNT: &str = "KS-SPEC-ACCOUNT";
pub const URL: &str = "KS-SPEC-URL";
pub const PORT: &str = "KS-SPEC-PORT";
pub const NODE_PORT: &str = "KS-SPEC-NODE-PORT";
pub const IMAGE: &str = "KS-SPEC-IMAGE";
pub const PLATFORM: &str = "KS-SPEC-PLATFORM";
pub const ENV: &str = "KS-SPEC-ENV";
pub const VALUE: &str = "KS-SPEC-VALUE";
pub const CHECK: &str = "KS-SPEC-CHECK";

/// Every code with what it means, for `kubestrap explain`.
pub const EXPLANATIONS: &[(&str, &str)] = &[
    (
        SYNTAX,
        "The file is not TOML. While it is not, only mistakes before the first broken line are reported besides: what follows it may be read wrongly.",
    ),
    (
        SCHEMA,
        "The file says that it is written for another version of the spec's schema than this binary understands.",
    ),
    (
        UNKNOWN_KEY,
        "The key means nothing at this place. Unknown keys are refused, because a misspelt one would silently leave its default in force.",
    ),
    (MISSING, "A key without a default is not there."),
    (TYPE, "The value is of another TOML type than the key takes."),
    (CHOICE, "The value is none of the few that the key takes."),
    (
        NAME,
        "Names become DNS labels, tags and Kubernetes names, so they are lower-case letters, digits and hyphens, begin with a letter, and are at most 32 characters (services: 63).",
    ),
    (DUPLICATE, "The same name, port, range or platform is there twice."),
    (VERSION, "Not a version that this binary has been made for."),
    (
        CIDR,
        "Not an IPv4 range in CIDR notation with its host bits zero, or one that cannot be used for nodes, pods or services.",
    ),
    (
        CIDR_SIZE,
        "The range is too small for what goes into it, or larger than EC2 or Kubernetes accepts: VPC and subnet /16 to /28, service range /12 to /28, pod range /8 to /24 with one /24 a node.",
    ),
    (
        CIDR_OVERLAP,
        "Two ranges that must be apart overlap: a packet for an address in both would go to only one of them.",
    ),
    (ADMIN, "SSH and the API server would be open to the whole internet."),
    (
        ENCAPSULATION,
        "Only VXLAN always: the other modes put bare pod addresses or another protocol on the wire, which the source/destination check or the security groups drop.",
    ),
    (COUNT, "A number outside of what works."),
    (INSTANCE_TYPE, "Not an EC2 instance type that Kubernetes runs on."),
    (
        INSTANCE_SIZE,
        "kubeadm asks for 2 CPUs and 1700 MB of memory on a control plane node; the type has less.",
    ),
    (
        ARCH,
        "Machine image, instance types and the platforms of the service images do not fit together: a node would not boot or would find no image for its platform ('no match for platform in manifest').",
    ),
    (REGION, "Not an AWS region that this binary knows."),
    (ZONE, "Not an availability zone of the region."),
    (MACHINE_IMAGE, "Neither an AMI id nor the name of a public SSM parameter."),
    (ACCOUNT, "AWS account ids are 12 digits."),
    (URL, "Not an http or https URL that can be used here, or one with a password in it."),
    (PORT, "Ports are 1 to 65535."),
    (
        NODE_PORT,
        "NodePorts are 30000 to 32767, and a service's must be listed in network.node_ports: otherwise no security group lets anybody reach it.",
    ),
    (
        IMAGE,
        "Not an image reference with a tag. The image is built from the service's source, so it has no digest yet.",
    ),
    (PLATFORM, "Images are built for linux/amd64 and linux/arm64."),
    (
        ENV,
        "Names of environment variables are letters, digits and underscores, and do not begin with a digit.",
    ),
    (VALUE, "The value cannot be used, for the reason given."),
    (CHECK, "A check is an HTTP request through a NodePort, so it needs an HTTP service with one."),
];
