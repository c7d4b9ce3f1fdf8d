//! Pure rendering of `templates/` into the scripts and files that the nodes get.
//!
//! Every phase is one bash script: a prelude (strict mode, one phase at a time, the `::progress` and
//! `::fact` lines that [`parse_line`] reads) and the phase's template. A phase may be run again at any
//! time: its blocks look at the state of the node before they change it.

mod kubeadm;
mod line;
mod render;
#[cfg(test)]
mod tests;
mod token;
mod yaml;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use minijinja::{Value, context};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::ports::Script;
use crate::spec::{Role, Spec};
use render::render;

pub use line::{Parsed, parse_line, redact};
pub use render::quoted;
pub use token::BootstrapToken;

/// Where sshd of every supported distribution keeps its Ed25519 host key.
pub const HOST_KEY_PATH: &str = "/etc/ssh/ssh_host_ed25519_key";

/// What `kubeadm init` on the first control plane node needs beside the spec.
#[derive(Clone, Debug)]
pub struct Initialise {
    /// Node name.
    pub node: String,
    /// Address that the API server advertises and the kubelet reports; kubeadm picks it when absent.
    pub private_ip: Option<Ipv4Addr>,
    /// Address by which it is reached from outside; goes into the serving certificate.
    pub public_ip: Option<Ipv4Addr>,
    /// Bootstrap token to have when done.
    pub token: BootstrapToken,
}

/// What `kubeadm join` on a worker needs beside the spec.
#[derive(Clone, Debug)]
pub struct Join {
    /// Node name.
    pub node: String,
    /// Address that the kubelet reports; the kubelet picks it when absent.
    pub private_ip: Option<Ipv4Addr>,
    /// A valid bootstrap token.
    pub token: BootstrapToken,
    /// `sha256:...` of the CA's public key: fact `ca_hash` of [`initialise`].
    pub ca_hash: String,
    /// `HOST:PORT` of the API server: fact `api_endpoint` of [`initialise`].
    pub api_endpoint: String,
}

/// cloud-init user data: gives the instance a temporary host key, so that its first login can be
/// checked too. Both in OpenSSH format. The key is replaced on that login; nothing else here is secret.
pub fn user_data(private: &SecretString, public: &str) -> String {
    #[derive(Serialize)]
    struct CloudConfig<'a> {
        ssh_deletekeys: bool,
        ssh_keys: HostKey<'a>,
        ssh_pwauth: bool,
        disable_root: bool,
    }
    #[derive(Serialize)]
    struct HostKey<'a> {
        ed25519_private: &'a str,
        ed25519_public: &'a str,
    }
    let config = CloudConfig {
        ssh_deletekeys: true,
        ssh_keys: HostKey { ed25519_private: private.expose_secret(), ed25519_public: public },
        ssh_pwauth: false,
        disable_root: true,
    };
    format!("#cloud-config\n{}", yaml::document(&config))
}

/// First half of the exchange of host keys: makes the next one and tells it as fact `host_key`
/// (`ssh-ed25519 AAAA...`). `temporary` is the public key that is to go.
pub fn adopt_host_key(path: &str, temporary: &str) -> Script {
    let body = render("adopt-host-key", context! { path, temporary });
    script("adopt-host-key", body)
}

/// Second half, once the new key is pinned: puts it in place and makes sshd use it. Connections stay.
pub fn switch_host_key(path: &str) -> Script {
    script("switch-host-key", render("switch-host-key", context! { path }))
}

/// Everything that a kubeadm node needs: host name, kernel settings, packages, containerd, images.
pub fn install(spec: &Spec, node: &str) -> Script {
    let control_plane = spec.nodes().any(|(name, role)| name == node && role == Role::ControlPlane);
    let packages = spec.sources.packages.as_deref();
    let runtime = spec.sources.runtime.as_deref().or(packages);
    let mirrors: Vec<Value> = (spec.sources.mirrors.iter())
        .map(|(registry, endpoint)| context! { registry, hosts => hosts_toml(endpoint) })
        .collect();
    let network_images: Vec<String> = ["cni", "node", "kube-controllers"]
        .iter()
        .map(|name| format!("quay.io/calico/{name}:v{}", spec.calico.version))
        .collect();
    let body = render(
        "install",
        context! {
            node,
            version => spec.kubernetes.as_str(),
            kubernetes_repository => packages.unwrap_or_default().trim_end_matches('/'),
            runtime_repository => runtime.unwrap_or_default().trim_end_matches('/'),
            mirrors,
            network_images,
            control_plane,
        },
    );
    script("install", body)
}

/// `kubeadm init` where it was not done yet, and in any case a bootstrap token for the joins.
/// Facts: `ca_hash`, `api_endpoint`.
pub fn initialise(spec: &Spec, of: &Initialise) -> Script {
    let body = render(
        "init",
        context! {
            cluster => yaml::documents(&[
                yaml::value(&kubeadm::init_configuration(spec, of)),
                yaml::value(&kubeadm::cluster_configuration(spec, of)),
            ]),
            kubelet => yaml::document(&kubeadm::kubelet_configuration()),
            proxy => yaml::document(&kubeadm::proxy_configuration()),
            token_secret => format!("bootstrap-token-{}", of.token.id),
        },
    );
    script("init", body)
}

/// `kubeadm join` where it was not done yet, with the CA's hash verified.
pub fn join(spec: &Spec, of: &Join) -> Script {
    let join = yaml::document(&kubeadm::join_configuration(spec, of));
    script("join", render("join", context! { join }))
}

/// containerd's `hosts.toml` for a registry that is mirrored. The mirror is named as the server too, so
/// that what it lacks is missing at once and not looked for upstream.
fn hosts_toml(endpoint: &str) -> String {
    #[derive(Serialize)]
    struct Hosts<'a> {
        server: &'a str,
        host: BTreeMap<&'a str, Host>,
    }
    #[derive(Serialize)]
    struct Host {
        capabilities: [&'static str; 2],
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        override_path: bool,
    }
    let server = endpoint.trim_end_matches('/');
    // containerd appends /v2 unless it is told that the path is the whole of it.
    let override_path = server.split("://").nth(1).is_some_and(|rest| rest.contains('/'));
    let host = Host { capabilities: ["pull", "resolve"], override_path };
    let hosts = Hosts { server, host: BTreeMap::from([(server, host)]) };
    toml::to_string(&hosts).expect("a table of strings is TOML")
}

fn script(phase: &'static str, body: String) -> Script {
    let prelude = render("prelude", context! { phase });
    Script { phase, body: SecretString::from(format!("{prelude}\n{body}")) }
}
