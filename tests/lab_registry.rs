//! The lab's registry as its clients use it: containerd pulls through mirrors, `kubestrap` pushes.

use std::net::SocketAddr;

use kubestrap::lab::registry;
use reqwest::{Client, Method, StatusCode};
use sha2::{Digest, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Bench {
    base: String,
    client: Client,
    _files: tempfile::TempDir,
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn manifest(config: &[u8], layer: &[u8]) -> Vec<u8> {
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config), "size": config.len()},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(layer), "size": layer.len()}],
    })
    .to_string()
    .into_bytes()
}

impl Bench {
    /// A layout with `registry.k8s.io/coredns/coredns:v1` and `quay.io/coredns/coredns:v2`.
    async fn new() -> Self {
        let files = tempfile::tempdir().expect("a directory");
        let layout = files.path().join("images");
        let blobs = layout.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).expect("a directory");
        let image = manifest(b"config", b"layer");
        for blob in [b"config".as_slice(), b"layer", &image] {
            std::fs::write(blobs.join(&digest(blob)[7..]), blob).expect("a blob");
        }
        let entry = |name: &str| {
            serde_json::json!({
                "mediaType": MANIFEST, "digest": digest(&image), "size": image.len(),
                "annotations": {"org.opencontainers.image.ref.name": name},
            })
        };
        let names = ["registry.k8s.io/coredns/coredns:v1", "quay.io/coredns/coredns:v2"];
        let index = serde_json::json!({"schemaVersion": 2, "manifests": names.map(entry)});
        std::fs::write(layout.join("index.json"), index.to_string()).expect("an index");
        let router = registry::router(&layout, &files.path().join("pushed")).expect("a registry");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let client = Client::builder().no_proxy().build().expect("a client");
        Self { base: format!("http://{address}"), client, _files: files }
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>) -> reqwest::Response {
        let url = format!("{}{path}", self.base);
        let request = self.client.request(method, url).header("content-type", MANIFEST).body(body);
        request.send().await.expect("an answer")
    }

    async fn status(&self, method: Method, path: &str) -> StatusCode {
        self.send(method, path, Vec::new()).await.status()
    }

    async fn begin(&self) -> String {
        let answer = self.send(Method::POST, "/v2/shop/web/blobs/uploads/", Vec::new()).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        answer.headers()["location"].to_str().expect("a location").to_owned()
    }
}

#[tokio::test]
async fn a_mirror_pull_finds_the_image_of_the_registry_that_ns_names() {
    let bench = Bench::new().await;
    assert_eq!(bench.status(Method::GET, "/v2/").await, StatusCode::OK);
    let path = "/v2/coredns/coredns/manifests/v1?ns=registry.k8s.io";
    let answer = bench.send(Method::GET, path, Vec::new()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], MANIFEST);
    let named = answer.headers()["docker-content-digest"].to_str().expect("a digest").to_owned();
    let body = answer.bytes().await.expect("a body");
    assert_eq!(digest(&body), named);
    let by_digest = format!("/v2/coredns/coredns/manifests/{named}?ns=registry.k8s.io");
    assert_eq!(bench.send(Method::GET, &by_digest, Vec::new()).await.headers()["content-type"], MANIFEST);
    let layer = format!("/v2/coredns/coredns/blobs/{}?ns=registry.k8s.io", digest(b"layer"));
    let answer = bench.send(Method::GET, &layer, Vec::new()).await;
    assert_eq!(answer.bytes().await.expect("a body"), b"layer".as_slice());

    let other = "/v2/coredns/coredns/manifests/v1?ns=quay.io";
    assert_eq!(bench.status(Method::GET, other).await, StatusCode::NOT_FOUND);
    assert_eq!(bench.status(Method::HEAD, path).await, StatusCode::OK);
}

#[tokio::test]
async fn what_is_pushed_in_pieces_is_pulled_whole() {
    let bench = Bench::new().await;
    let (config, layer) = (b"{}".to_vec(), vec![7; 100_000]);
    let image = manifest(&config, &layer);
    let target = "/v2/shop/web/manifests/1.0";
    let early = bench.send(Method::PUT, target, image.clone()).await;
    assert_eq!(early.status(), StatusCode::NOT_FOUND);
    let body = early.text().await.expect("a body");
    assert!(body.contains("MANIFEST_BLOB_UNKNOWN"), "blobs come first: {body}");

    let upload = bench.begin().await;
    let patched = bench.send(Method::PATCH, &upload, layer[..1000].to_vec()).await;
    assert_eq!(patched.headers()["range"], "0-999");
    let finish = format!("{upload}?digest={}", digest(&layer));
    let finished = bench.send(Method::PUT, &finish, layer[1000..].to_vec()).await;
    assert_eq!(finished.status(), StatusCode::CREATED);
    let finish = format!("{}?digest={}", bench.begin().await, digest(&config));
    assert_eq!(bench.send(Method::PUT, &finish, config).await.status(), StatusCode::CREATED);

    let put = bench.send(Method::PUT, target, image.clone()).await;
    assert_eq!(put.status(), StatusCode::CREATED);
    assert_eq!(put.headers()["docker-content-digest"], digest(&image).as_str());
    let pulled = bench.send(Method::GET, &format!("{target}?ns=198.18.0.2:5000"), Vec::new()).await;
    assert_eq!(pulled.bytes().await.expect("a body"), image);
    let blob = format!("/v2/shop/web/blobs/{}", digest(&layer));
    assert_eq!(bench.send(Method::GET, &blob, Vec::new()).await.bytes().await.expect("a body"), layer);
    let tags = bench.send(Method::GET, "/v2/shop/web/tags/list", Vec::new()).await;
    assert_eq!(tags.text().await.expect("a body"), r#"{"name":"shop/web","tags":["1.0"]}"#);
}

#[tokio::test]
async fn a_blob_that_is_not_what_its_digest_says_is_refused_and_forgotten() {
    let bench = Bench::new().await;
    let finish = format!("{}?digest={}", bench.begin().await, digest(b"promised"));
    let answer = bench.send(Method::PUT, &finish, b"delivered".to_vec()).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert!(answer.text().await.expect("a body").contains("DIGEST_INVALID"));
    for content in [b"promised".as_slice(), b"delivered"] {
        let blob = format!("/v2/shop/web/blobs/{}", digest(content));
        assert_eq!(bench.status(Method::GET, &blob).await, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn names_that_would_leave_the_store_are_refused() {
    let bench = Bench::new().await;
    for path in ["/v2/x/blobs/sha256:..%2f..%2findex.json", "/v2/x/blobs/sha256:abc", "/v2/x/blobs/md5:0"] {
        assert_eq!(bench.status(Method::GET, path).await, StatusCode::BAD_REQUEST, "{path}");
    }
    let session = "/v2/x/blobs/uploads/..%2f..%2findex.json";
    assert_eq!(bench.status(Method::PATCH, session).await, StatusCode::NOT_FOUND);
    assert_eq!(bench.status(Method::DELETE, "/v2/x/manifests/1").await, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(bench.status(Method::GET, "/v3/").await, StatusCode::NOT_FOUND);
}
