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
        "The file is not TOML. While it is not, only mistakes before the first broken line are reported \
         besides: what follows it may be read wrongly. Mend this line first, then run `kubestrap validate`.",
    ),
    (
        SCHEMA,
        "The file says that it is written for another version of the spec's schema than this binary \
         understands. Use the kubestrap that it was written for, or compare it with what `kubestrap init` \
         writes and change the line.",
    ),
    (
        UNKNOWN_KEY,
        "The key means nothing at this place. Unknown keys are refused, because a misspelt one would \
         silently leave its default in force. Correct it, move it to its section, or remove it; the remedy \
         names the key that is near it.",
    ),
    (
        MISSING,
        "A key without a default is not there, or the spec file itself cannot be read. kubestrap guesses \
         neither a region nor who may reach the cluster. Add the key; `kubestrap init` writes a file that \
         has them all.",
    ),
    (
        TYPE,
        "The value is of another TOML type than the key takes: text needs quotation marks, numbers and true \
         or false have none, lists are in brackets. The remedy shows how the value is written.",
    ),
    (
        CHOICE,
        "The value is none of the few that the key takes, which the message lists. They are written in \
         lower case, exactly so. Choose one of them.",
    ),
    (
        NAME,
        "Names become DNS labels, tags and Kubernetes names, so they are lower-case letters, digits and \
         hyphens, begin with a letter, and are at most 32 characters (services: 63). A few names are taken: \
         control-plane is no worker pool's, kubernetes no service's.",
    ),
    (
        DUPLICATE,
        "The same name, port, range or platform is there twice, and only one of the two could be in force. \
         Often a section was copied and not yet changed. Change one of them, or remove it.",
    ),
    (
        VERSION,
        "Not a version that this binary has been made for. Manifests, images and checks differ from one \
         minor version to the next, so that others are refused instead of tried. The message lists those \
         that can be had.",
    ),
    (
        CIDR,
        "Not an IPv4 range in CIDR notation with its host bits zero, or one that cannot be used for nodes, \
         pods or services, or a subnet outside of its VPC. A single address is written with /32. The remedy \
         has the range as it was probably meant.",
    ),
    (
        CIDR_SIZE,
        "The range is too small for what goes into it, or larger than EC2 or Kubernetes accepts: VPC and \
         subnet /16 to /28, service range /12 to /28, pod range /8 to /24 with one /24 a node. Choose \
         another prefix length; ranges cannot be changed once the cluster exists.",
    ),
    (
        CIDR_OVERLAP,
        "Two ranges that must be apart overlap: a packet for an address in both would go to only one of \
         them. Nodes, pods, services and the lab's own network each need their own. Move one of the two.",
    ),
    (
        ADMIN,
        "SSH and the API server would be open to the whole internet, or to nobody at all. Write your own \
         address as others see it, with /32: `curl https://checkip.amazonaws.com` tells it.",
    ),
    (
        ENCAPSULATION,
        "Only VXLAN always: the other modes put bare pod addresses or another protocol on the wire, which \
         the source/destination check or the security groups drop. Write \"vxlan\", or leave the key out.",
    ),
    (
        COUNT,
        "A number outside of what works. There is one control plane node in this version, at least one \
         worker, and every pool, replica and disk has bounds, which the message names.",
    ),
    (
        INSTANCE_TYPE,
        "Not an EC2 instance type that Kubernetes runs on. Types are a family and a size, as in t3.medium, \
         and a family does not come in every size. The remedy names what is near.",
    ),
    (
        INSTANCE_SIZE,
        "kubeadm asks for 2 CPUs and 1700 MB of memory on a control plane node; the type has less. With \
         less etcd and the API server starve each other. t3.medium is the smallest common type that fits.",
    ),
    (
        ARCH,
        "Machine image, instance types and the platforms of the service images do not fit together: a node \
         would not boot or would find no image for its platform ('no match for platform in manifest'). Let \
         all types be of the image's architecture, and add to services.platforms what the nodes are.",
    ),
    (
        REGION,
        "Not an AWS region that this binary knows: misspelt, or a zone, which has a letter more. One that \
         is newer than the binary can be used with provider.endpoint.",
    ),
    (
        ZONE,
        "Not an availability zone of the region. A zone is the region's name and one letter, as in \
         ap-northeast-1a. Without the key, the first zone is taken that offers the instance types.",
    ),
    (
        MACHINE_IMAGE,
        "Neither an AMI id nor the name of a public SSM parameter. AMI ids are of one region each. Without \
         the key, the image is Debian 13 of the instance's architecture.",
    ),
    (
        ACCOUNT,
        "AWS account ids are 12 digits, written as text so that zeros in front stay. `aws sts \
         get-caller-identity` shows that of the credentials in use.",
    ),
    (
        URL,
        "Not an http or https URL that can be used here, or one with a password in it. Secrets do not \
         belong into the spec: it is shown in plans and kept in version control. Mirrors are keyed by the \
         bare host of their registry, as in docker.io.",
    ),
    (
        PORT,
        "Ports are 1 to 65535. It is the port that the service listens on inside its pod; what others open \
         from outside is node_port.",
    ),
    (
        NODE_PORT,
        "NodePorts are 30000 to 32767, and a service's must be listed in network.node_ports with who may \
         use it: otherwise no security group lets anybody reach it. Add it there, or change one of the two.",
    ),
    (
        IMAGE,
        "Not an image reference with a tag, as in jinbi/marketplace:v1. The image is built from the \
         service's source, so it has no digest yet; deploying pins it by the digest that the push gives.",
    ),
    (
        PLATFORM,
        "Images are built for linux/amd64 and linux/arm64, and a service needs at least one of them. \
         Without the key, it is both.",
    ),
    (
        ENV,
        "Names of environment variables are letters, digits and underscores, and do not begin with a digit. \
         A hyphen is the usual mistake: write an underscore.",
    ),
    (
        VALUE,
        "The value cannot be used, for the reason given: it is empty, has characters that have no meaning \
         there, or would hide what must be seen. The remedy shows one that can.",
    ),
    (
        CHECK,
        "A check is an HTTP request through a NodePort, so it needs an HTTP service with one, and a path \
         that begins with a slash. Give the service a node_port, or remove its check.",
    ),
];
