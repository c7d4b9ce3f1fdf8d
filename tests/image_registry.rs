//! Images pushed to a real registry (CNCF distribution) on loopback and read back.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use kubestrap::image::{
    ImageRef, Login, Mirrors, Platform, Recipe, Registry, RegistryError, assemble, verify_covers,
};

/// A registry that ends with the test.
struct Running {
    child: Child,
    url: String,
    _data: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start() -> Running {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/registry.sh");
    let output = Command::new(tool).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "tests/tools/registry.sh failed");
    let binary = String::from_utf8(output.stdout).unwrap();

    let data = tempfile::tempdir().unwrap();
    let config = data.path().join("config.yml");
    let root = data.path().display();
    let text = format!(
        "version: 0.1\nlog: {{level: info}}\nhttp: {{addr: '127.0.0.1:0'}}\n\
         storage: {{filesystem: {{rootdirectory: '{root}/blobs'}}}}\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(binary.trim());
    command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();

    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("listening on ")?.1.split(['"', ' ', ',']).next()?.to_owned()))
        .expect("the registry says where it listens");
    // Its log must be read on, or it stops when the pipe is full.
    std::thread::spawn(move || lines.for_each(drop));
    Running { child, url: format!("http://{address}"), _data: data }
}

/// A header that reads as a static executable, with something of its own after it.
fn executable(platform: Platform, body: &str) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    bytes[16] = 2;
    bytes[18..20].copy_from_slice(&platform.machine().to_le_bytes());
    bytes[20] = 1;
    bytes[52] = 64;
    bytes.extend_from_slice(body.as_bytes());
    bytes
}

fn recipe(platforms: &[Platform], body: &str) -> Recipe {
    Recipe {
        name: "marketplace".into(),
        binaries: platforms.iter().map(|platform| (*platform, executable(*platform, body))).collect(),
        ports: vec![5000],
        revision: None,
        labels: BTreeMap::new(),
    }
}

fn registry(url: &str) -> Registry {
    Registry::new(Mirrors::new([("docker.io", url)]).unwrap(), Login::Anonymous)
}

fn name() -> ImageRef {
    "jinbi/marketplace:v1".parse().unwrap()
}

#[tokio::test]
async fn what_is_pushed_is_what_is_read_back() {
    let running = start();
    let registry = registry(&running.url);
    let image = assemble(&recipe(&Platform::ALL, "one")).unwrap();

    let pushed = registry.push(&name(), &image).await.unwrap();
    assert_eq!((pushed.sent, pushed.present), (4, 0));
    assert_eq!(pushed.digest, image.index.digest);
    let found = registry.inspect(&name()).await.unwrap();
    let expected: Vec<_> =
        image.images.iter().map(|image| (image.platform, image.manifest.digest.clone())).collect();
    assert_eq!(found, expected);

    // The path is kept, and the bytes are there for any client.
    let client = reqwest::Client::new();
    let url = format!("{}/v2/jinbi/marketplace/manifests/v1", running.url);
    let accept = "application/vnd.oci.image.index.v1+json";
    let answer = client.get(url).header("accept", accept).send().await.unwrap();
    assert_eq!(answer.headers()["docker-content-digest"], image.index.digest.as_str());
    let layer = &image.images[0].layer;
    let url = format!("{}/v2/jinbi/marketplace/blobs/{}", running.url, layer.digest);
    assert_eq!(client.get(url).send().await.unwrap().bytes().await.unwrap(), layer.bytes);
}

#[tokio::test]
async fn a_second_push_sends_only_what_changed() {
    let running = start();
    let registry = registry(&running.url);
    let first = assemble(&recipe(&Platform::ALL, "one")).unwrap();
    registry.push(&name(), &first).await.unwrap();
    let again = registry.push(&name(), &first).await.unwrap();
    assert_eq!((again.sent, again.present), (0, 4));

    let mut changed = recipe(&Platform::ALL, "one");
    changed.binaries.insert(Platform::LinuxArm64, executable(Platform::LinuxArm64, "two"));
    let pushed = registry.push(&name(), &assemble(&changed).unwrap()).await.unwrap();
    assert_eq!((pushed.sent, pushed.present), (2, 2));
}

#[tokio::test]
async fn the_laptops_image_is_found_out_before_anything_is_applied() {
    let running = start();
    let registry = registry(&running.url);
    let image = assemble(&recipe(&[Platform::LinuxArm64], "one")).unwrap();
    registry.push(&name(), &image).await.unwrap();

    let found: Vec<_> =
        registry.inspect(&name()).await.unwrap().into_iter().map(|(platform, _)| platform).collect();
    let error = verify_covers(&name(), &found, [("worker-1", "amd64")]).unwrap_err();
    assert!(error.to_string().contains("no image for linux/amd64 (nodes worker-1)"), "{error}");

    // The same image without an index, as plain `docker build` pushes it.
    let manifest = image.images[0].manifest.clone();
    let url = format!("{}/v2/jinbi/marketplace/manifests/single", running.url);
    let put = reqwest::Client::new().put(url).body(manifest.bytes);
    let put = put.header("content-type", "application/vnd.oci.image.manifest.v1+json");
    put.send().await.unwrap().error_for_status().unwrap();
    let single = "jinbi/marketplace:single".parse().unwrap();
    assert_eq!(registry.inspect(&single).await.unwrap(), [(Platform::LinuxArm64, manifest.digest)]);
}

#[tokio::test]
async fn a_missing_image_and_a_missing_registry_are_told_apart() {
    let running = start();
    let error = registry(&running.url).inspect(&name()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Missing { .. }), "{error}");

    let url = running.url.clone();
    drop(running);
    let error = registry(&url).inspect(&name()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    assert!(error.remedy().contains(&url), "{}", error.remedy());
    let image = assemble(&recipe(&[Platform::LinuxAmd64], "one")).unwrap();
    let error = registry(&url).push(&name(), &image).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
}
