//! A kube-apiserver and an etcd of one's own, on loopback, from the bundle's images.

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use flate2::read::GzDecoder;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tempfile::TempDir;

const TOKEN: &str = "test-token";

/// Running until dropped.
pub struct Server {
    _dir: TempDir,
    processes: Vec<Child>,
    bundle: PathBuf,
    port: u16,
}

impl Server {
    /// Starts both; the API server may not answer yet.
    pub async fn start() -> Self {
        let bundle = bundle();
        let binaries = binaries(&bundle);
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let (client, peer, port) = (free_port(), free_port(), free_port());
        let etcd_url = format!("http://127.0.0.1:{client}");
        let peer_url = format!("http://127.0.0.1:{peer}");
        let etcd = Command::new(binaries.join("etcd"))
            .args(["--data-dir", &path("etcd"), "--unsafe-no-fsync", "--log-level", "error"])
            .args(["--listen-client-urls", &etcd_url, "--advertise-client-urls", &etcd_url])
            .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
            .args(["--initial-cluster", &format!("default={peer_url}")])
            .stdout(Stdio::null())
            .stderr(File::create(dir.path().join("etcd.log")).unwrap())
            .spawn()
            .unwrap();
        std::fs::write(dir.path().join("tokens"), format!("{TOKEN},admin,1,system:masters\n")).unwrap();
        let api = Command::new(binaries.join("kube-apiserver"))
            .args(["--etcd-servers", &etcd_url, "--cert-dir", &path("certs")])
            .args(["--bind-address", "127.0.0.1", "--secure-port", &port.to_string()])
            .args(["--token-auth-file", &path("tokens"), "--authorization-mode", "RBAC"])
            .args(["--service-account-issuer", "https://test", "--service-cluster-ip-range", "10.96.0.0/16"])
            // It makes its own serving certificate, before it reads these.
            .args(["--service-account-key-file", &path("certs/apiserver.crt")])
            .args(["--service-account-signing-key-file", &path("certs/apiserver.key")])
            // The endpoint reconciler would announce a loopback address, which is refused.
            .args(["--endpoint-reconciler-type", "none", "--allow-privileged", "--v", "0"])
            .stdout(Stdio::null())
            .stderr(File::create(dir.path().join("api.log")).unwrap())
            .spawn()
            .unwrap();
        Self { _dir: dir, processes: vec![etcd, api], bundle, port }
    }

    /// Where the bundle is.
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// A kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_with_token(TOKEN)
    }

    /// A kubeconfig with another token.
    pub fn kubeconfig_with_token(&self, token: &str) -> String {
        let cluster =
            json!({"server": format!("https://127.0.0.1:{}", self.port), "insecure-skip-tls-verify": true});
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        })
        .to_string()
    }

    /// A client beside the adapter's, to do what controllers and kubelets would.
    pub async fn client(&self) -> Client {
        let kubeconfig = Kubeconfig::from_yaml(&self.kubeconfig()).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `$KUBESTRAP_BUNDLE`, or where the testbed keeps the newest.
fn bundle() -> PathBuf {
    let bundle = std::env::var_os("KUBESTRAP_BUNDLE").map(PathBuf::from).unwrap_or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.unwrap_or_else(|| std::env::home_dir().unwrap().join(".cache"));
        cache.join("kubestrap/bundle/current")
    });
    assert!(bundle.join("bundle.json").exists(), "there is no bundle at {}: make bundle", bundle.display());
    bundle
}

/// The two programs, unpacked once for each bundle.
fn binaries(bundle: &Path) -> PathBuf {
    let key = bundle.canonicalize().unwrap().file_name().unwrap().to_owned();
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("kube-api").join(key);
    for (image, program) in
        [("registry.k8s.io/etcd:", "etcd"), ("registry.k8s.io/kube-apiserver:", "kube-apiserver")]
    {
        if !target.join(program).exists() {
            unpack(bundle, image, program, &target);
        }
    }
    target
}

/// Takes one program out of an image of the OCI layout. Tests run at once: it appears whole or not at all.
fn unpack(bundle: &Path, image: &str, program: &str, target: &Path) {
    let layout = bundle.join("images");
    let blob = |digest: &str| layout.join("blobs").join(digest.replace(':', "/"));
    let json = |path: &Path| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let index = json(&layout.join("index.json"));
    let manifests = index["manifests"].as_array().unwrap();
    let of_image = |manifest: &&Value| {
        let name = &manifest["annotations"]["org.opencontainers.image.ref.name"];
        name.as_str().is_some_and(|name| name.starts_with(image))
    };
    let manifest = manifests.iter().find(of_image).expect("the image is in the bundle");
    let manifest = json(&blob(manifest["digest"].as_str().unwrap()));
    for layer in manifest["layers"].as_array().unwrap() {
        let file = File::open(blob(layer["digest"].as_str().unwrap())).unwrap();
        let compressed = layer["mediaType"].as_str().unwrap().ends_with("gzip");
        let reader: Box<dyn Read> = if compressed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
        for entry in tar::Archive::new(reader).entries().unwrap() {
            let mut entry = entry.unwrap();
            let is_it = entry.path().unwrap().file_name().is_some_and(|name| name == program);
            if is_it && entry.header().entry_type().is_file() {
                std::fs::create_dir_all(target).unwrap();
                let own = tempfile::Builder::new().tempfile_in(target).unwrap();
                std::io::copy(&mut entry, &mut own.as_file()).unwrap();
                let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
                own.as_file().set_permissions(executable).unwrap();
                let path = own.into_temp_path();
                path.persist(target.join(program)).unwrap();
                return;
            }
        }
    }
    panic!("{image} has no {program}");
}
