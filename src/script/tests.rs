//! The scripts as they are sent, and what shellcheck thinks of them.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::spec::*;

/// The lab's example: two nodes, everything from one place.
fn local_spec() -> Spec {
    let cidr = |text: &str| text.parse().unwrap();
    let pool = |name: &str, role, count| Pool {
        name: name.into(),
        role,
        count,
        instance_type: "t3.medium".into(),
        disk_gib: 20,
    };
    Spec {
        name: "books".into(),
        kubernetes: "1.36.3".into(),
        provider: Provider {
            kind: ProviderKind::Aws,
            region: "ap-northeast-1".into(),
            zone: None,
            profile: None,
            endpoint: None,
            allowed_account_ids: vec![],
            image: ImageSource::Ami("ami-1".into()),
        },
        network: Network {
            vpc_cidr: cidr("10.0.0.0/16"),
            subnet_cidr: cidr("10.0.0.0/20"),
            pod_cidr: cidr("192.168.0.0/16"),
            service_cidr: cidr("10.96.0.0/12"),
            admin_cidrs: vec![],
            node_ports: vec![],
            intra_cluster: IntraCluster::Least,
        },
        calico: Calico { version: "3.31.0".into(), encapsulation: Encapsulation::Vxlan },
        control_plane: pool("control-plane", Role::ControlPlane, 1),
        workers: vec![pool("general", Role::Worker, 2)],
        ssh: Ssh { user: "admin".into(), timeout_seconds: 180 },
        sources: Sources {
            packages: Some("http://198.18.0.2:8080/apt/".into()),
            runtime: None,
            mirrors: BTreeMap::from([
                ("quay.io".into(), "http://198.18.0.2:5000".into()),
                ("registry.k8s.io".into(), "https://mirror.example/v2/k8s/".into()),
            ]),
            calico_manifest: None,
            ignore_preflight: vec!["SystemVerification".into()],
        },
        services: vec![],
    }
}

fn upstream_spec() -> Spec {
    Spec { sources: Sources::default(), ..local_spec() }
}

fn token_of(seed: u64) -> BootstrapToken {
    let mut random = StdRng::seed_from_u64(seed);
    BootstrapToken::generate(|| random.next_u32())
}

fn token() -> BootstrapToken {
    token_of(7)
}

fn initialise_of(spec: &Spec) -> Script {
    let of = Initialise {
        node: "control-plane-1".into(),
        private_ip: Some([10, 0, 0, 10].into()),
        public_ip: Some([203, 0, 113, 5].into()),
        token: token(),
    };
    initialise(spec, &of)
}

fn join_of(spec: &Spec) -> Script {
    let of = Join {
        node: "general-1".into(),
        private_ip: Some([10, 0, 0, 11].into()),
        token: token(),
        ca_hash: "sha256:6f1d".into(),
        api_endpoint: "10.0.0.10:6443".into(),
    };
    join(spec, &of)
}

fn every_script() -> Vec<(&'static str, Script)> {
    let (local, upstream) = (local_spec(), upstream_spec());
    vec![
        ("install-control-plane", install(&local, "control-plane-1")),
        ("install-worker", install(&local, "general-1")),
        ("install-upstream", install(&upstream, "general-2")),
        ("init", initialise_of(&local)),
        ("join", join_of(&local)),
        ("adopt-host-key", adopt_host_key(HOST_KEY_PATH, "ssh-ed25519 AAAA")),
        ("switch-host-key", switch_host_key(HOST_KEY_PATH)),
    ]
}

fn text(script: &Script) -> &str {
    script.body.expose_secret()
}

#[test]
fn scripts_are_what_they_were() {
    for (name, script) in every_script() {
        insta::assert_snapshot!(name, text(&script));
    }
}

#[test]
fn shellcheck_finds_nothing_in_any_script() {
    for (name, script) in every_script() {
        let mut child = Command::new("shellcheck")
            .args(["--shell=bash", "--severity=style", "--color=never", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("shellcheck is missing: apt-get install shellcheck");
        child.stdin.take().unwrap().write_all(text(&script).as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}:\n{}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn user_data_holds_the_temporary_host_key_and_no_other_secret() {
    let private =
        SecretString::from("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n");
    insta::assert_snapshot!(user_data(&private, "ssh-ed25519 AAAA"), @r"
    #cloud-config
    ssh_deletekeys: true
    ssh_keys:
      ed25519_private: |
        -----BEGIN OPENSSH PRIVATE KEY-----
        b3Bl
        -----END OPENSSH PRIVATE KEY-----
      ed25519_public: ssh-ed25519 AAAA
    ssh_pwauth: false
    disable_root: true
    ");
}

#[test]
fn only_the_control_plane_pulls_its_own_images_first() {
    let spec = local_spec();
    assert!(text(&install(&spec, "control-plane-1")).contains("systemd-run"));
    assert!(!text(&install(&spec, "general-1")).contains("systemd-run"));
}

#[test]
fn the_token_is_in_files_only_and_never_an_argument() {
    for script in [initialise_of(&local_spec()), join_of(&local_spec())] {
        let secret = token().expose();
        let lines: Vec<&str> = text(&script).lines().filter(|line| line.contains(&secret)).collect();
        assert_eq!(lines.len(), 1, "{}", script.phase);
        assert!(lines[0].contains("token: "), "{}", lines[0]);
    }
}

#[test]
fn without_addresses_kubeadm_picks_them() {
    let of = Initialise { node: "cp".into(), private_ip: None, public_ip: None, token: token() };
    let script = initialise(&local_spec(), &of);
    for absent in ["advertiseAddress", "controlPlaneEndpoint", "node-ip"] {
        assert!(!text(&script).contains(absent), "{absent}");
    }
}

#[test]
fn tokens_have_kubeadms_form_and_do_not_show_in_debug_output() {
    for seed in 0..200 {
        let token = token_of(seed);
        let whole = token.expose();
        let (id, secret) = whole.split_once('.').unwrap();
        assert_eq!((id.len(), secret.len(), id), (6, 16, token.id.as_str()));
        assert!(whole.bytes().all(|it| it == b'.' || it.is_ascii_lowercase() || it.is_ascii_digit()));
        assert_eq!(format!("{token:?}"), format!("{id}.[redacted]"));
        assert_eq!(redact(&whole), format!("{id}.[redacted]"));
    }
}

#[test]
fn values_cannot_leave_their_quotes() {
    let mut spec = local_spec();
    spec.sources.packages = Some("http://x/'; touch /tmp/pwned; '".into());
    let script = install(&spec, "general-1");
    let line = text(&script).lines().find(|line| line.starts_with("kubernetes_repository=")).unwrap();
    assert_eq!(line, r"kubernetes_repository='http://x/'\''; touch /tmp/pwned; '\'''");
}

proptest::proptest! {
    #[test]
    fn bash_reads_back_exactly_what_was_quoted(value in "[^\0]{0,40}") {
        let output = Command::new("bash").arg("-c").arg(format!("printf %s {}", quoted(&value))).output().unwrap();
        proptest::prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), value);
    }
}
