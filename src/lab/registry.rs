//! A small OCI distribution registry: what the bundle carries, read-only, and what is pushed.
//!
//! Nodes pull through containerd mirrors, so a repository is named without its host and the host
//! stands in `?ns=`. Pushed content goes to a directory of the lab and ends with it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio_util::io::ReaderStream;

const DIGEST_HEADER: &str = "docker-content-digest";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// The longest manifest taken, in bytes; the specification asks for at least 4 MiB.
const MANIFEST_MAX: usize = 4 << 20;

/// Why the bundle's images cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A file or directory failed.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The index of the image layout is not what it should be.
    #[error("{path} is no OCI image index: {source}")]
    Index {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

#[derive(Clone, Debug)]
struct Entry {
    digest: String,
    media_type: String,
}

/// Where a tag is kept: the host that the image was named with (empty for pushed ones), the
/// repository without it, the tag.
type Name = (String, String, String);

#[derive(Clone)]
struct Registry {
    layout: PathBuf,
    pushed: PathBuf,
    tags: Arc<Mutex<BTreeMap<Name, Entry>>>,
    /// Media types of manifests known by digest.
    types: Arc<Mutex<BTreeMap<String, String>>>,
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Parameters {
    /// The registry that the client means.
    ns: Option<String>,
    digest: Option<String>,
    mount: Option<String>,
}

/// Serves the image layout at `layout`; pushes are kept below `pushed`.
pub fn router(layout: &Path, pushed: &Path) -> Result<Router, RegistryError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| RegistryError::Io { path, source }
    };
    for directory in [pushed.join("blobs/sha256"), pushed.join("uploads")] {
        std::fs::create_dir_all(&directory).map_err(io(&directory))?;
    }
    let path = layout.join("index.json");
    let text = std::fs::read(&path).map_err(io(&path))?;
    let index: Index =
        serde_json::from_slice(&text).map_err(|source| RegistryError::Index { path, source })?;
    let (mut tags, mut types) = (BTreeMap::new(), BTreeMap::new());
    for descriptor in index.manifests {
        types.insert(descriptor.digest.clone(), descriptor.media_type.clone());
        let name = descriptor.annotations.get("org.opencontainers.image.ref.name");
        if let Some(name) = name.and_then(|name| split_reference(name)) {
            tags.insert(name, Entry { digest: descriptor.digest, media_type: descriptor.media_type });
        }
    }
    let registry = Registry {
        layout: layout.to_owned(),
        pushed: pushed.to_owned(),
        tags: Arc::new(Mutex::new(tags)),
        types: Arc::new(Mutex::new(types)),
    };
    Ok(Router::new().fallback(route).with_state(registry))
}

/// `registry.k8s.io/coredns/coredns:v1.14.2` as host, repository and tag.
fn split_reference(reference: &str) -> Option<Name> {
    let (host, rest) = reference.split_once('/')?;
    let (repository, tag) = rest.rsplit_once(':')?;
    Some((host.to_owned(), repository.to_owned(), tag.to_owned()))
}

async fn route(State(registry): State<Registry>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let parameters =
        Query::<Parameters>::try_from_uri(request.uri()).map(|query| query.0).unwrap_or_default();
    let Some(rest) = path.strip_prefix("/v2/").or_else(|| (path == "/v2").then_some("")) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if rest.is_empty() {
        return ([("docker-distribution-api-version", "registry/2.0")], "{}").into_response();
    }
    let method = request.method().clone();
    // Repositories have slashes, so the path is read from its end.
    let result = if let Some(repository) = rest.strip_suffix("/tags/list") {
        Ok(registry.list(repository, parameters.ns.as_deref()))
    } else if let Some((repository, reference)) = rest.rsplit_once("/manifests/") {
        match method {
            Method::GET | Method::HEAD => {
                registry.manifest(repository, reference, parameters.ns.as_deref()).await
            }
            Method::PUT => registry.put_manifest(repository, reference, request).await,
            _ => Err(Refusal::UNSUPPORTED),
        }
    } else if let Some((repository, session)) = rest.split_once("/blobs/uploads/") {
        match method {
            Method::POST => registry.begin(repository, parameters, request).await,
            Method::PATCH => registry.append(repository, session, request).await,
            Method::PUT => registry.finish(repository, session, parameters, request).await,
            _ => Err(Refusal::UNSUPPORTED),
        }
    } else if let Some((_, digest)) = rest.rsplit_once("/blobs/") {
        registry.blob(digest, "application/octet-stream").await
    } else {
        Err(Refusal::NAME_UNKNOWN)
    };
    result.unwrap_or_else(IntoResponse::into_response)
}

/// An error as the distribution specification spells it.
#[derive(Debug)]
struct Refusal(StatusCode, &'static str);

impl Refusal {
    const UNSUPPORTED: Self = Self(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED");
    const NAME_UNKNOWN: Self = Self(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
    const MANIFEST_UNKNOWN: Self = Self(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
    const MANIFEST_INVALID: Self = Self(StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
    const BLOB_UNKNOWN: Self = Self(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
    const UPLOAD_UNKNOWN: Self = Self(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN");
    const UPLOAD_INVALID: Self = Self(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID");
    const DIGEST_INVALID: Self = Self(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = serde_json::json!({"errors": [{"code": self.1, "message": self.1.to_lowercase()}]});
        (self.0, axum::Json(body)).into_response()
    }
}

impl Registry {
    /// What `reference` names, a digest or a tag; the host in `ns` decides between namesakes.
    fn resolve(&self, repository: &str, reference: &str, ns: Option<&str>) -> Option<Entry> {
        if reference.starts_with("sha256:") {
            let types = self.types.lock().unwrap_or_else(PoisonError::into_inner);
            let media_type = types.get(reference).map_or(MANIFEST_TYPE, String::as_str).to_owned();
            return Some(Entry { digest: reference.to_owned(), media_type });
        }
        let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        let named = |host: &str| tags.get(&(host.to_owned(), repository.to_owned(), reference.to_owned()));
        named("")
            .or_else(|| ns.and_then(named))
            .or_else(|| {
                // Without a host to go by, any image of that name.
                let mut same =
                    tags.iter().filter(|((_, name, tag), _)| name == repository && tag == reference);
                same.next().filter(|_| ns.is_none()).map(|(_, entry)| entry)
            })
            .cloned()
    }

    async fn manifest(
        &self,
        repository: &str,
        reference: &str,
        ns: Option<&str>,
    ) -> Result<Response, Refusal> {
        let entry = self.resolve(repository, reference, ns).ok_or(Refusal::MANIFEST_UNKNOWN)?;
        self.blob(&entry.digest, &entry.media_type).await.map_err(|_| Refusal::MANIFEST_UNKNOWN)
    }

    async fn blob(&self, digest: &str, media_type: &str) -> Result<Response, Refusal> {
        let name = digest_name(digest).ok_or(Refusal::DIGEST_INVALID)?;
        for root in [&self.pushed, &self.layout] {
            let Ok(file) = tokio::fs::File::open(root.join("blobs/sha256").join(name)).await else {
                continue;
            };
            let length = file.metadata().await.map_err(|_| Refusal::BLOB_UNKNOWN)?.len();
            let mut response = Response::new(Body::from_stream(ReaderStream::with_capacity(file, 1 << 16)));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_LENGTH, length.into());
            let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Refusal::DIGEST_INVALID);
            headers.insert(header::CONTENT_TYPE, value(media_type)?);
            headers.insert(DIGEST_HEADER, value(digest)?);
            return Ok(response);
        }
        Err(Refusal::BLOB_UNKNOWN)
    }

    fn list(&self, repository: &str, ns: Option<&str>) -> Response {
        let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<&str> = tags
            .keys()
            .filter(|(host, name, _)| {
                name == repository && (host.is_empty() || ns.is_none_or(|ns| ns == host))
            })
            .map(|(_, _, tag)| tag.as_str())
            .collect();
        found.dedup();
        if found.is_empty() {
            return Refusal::NAME_UNKNOWN.into_response();
        }
        axum::Json(serde_json::json!({"name": repository, "tags": found})).into_response()
    }

    async fn begin(
        &self,
        repository: &str,
        asked: Parameters,
        request: Request,
    ) -> Result<Response, Refusal> {
        // A blob of another repository is this registry's blob too.
        if let Some(digest) = asked.mount.as_deref()
            && self.blob(digest, "").await.is_ok()
        {
            return Ok(created(repository, "blobs", digest));
        }
        let session = uuid::Uuid::new_v4().simple().to_string();
        let path = self.pushed.join("uploads").join(&session);
        tokio::fs::File::create(&path).await.map_err(|_| Refusal::UPLOAD_INVALID)?;
        if asked.digest.is_some() {
            return self.finish(repository, &session, asked, request).await;
        }
        Ok(accepted(repository, &session, 0))
    }

    async fn append(&self, repository: &str, session: &str, request: Request) -> Result<Response, Refusal> {
        let length = self.receive(session, request).await?;
        Ok(accepted(repository, session, length))
    }

    async fn finish(
        &self,
        repository: &str,
        session: &str,
        asked: Parameters,
        request: Request,
    ) -> Result<Response, Refusal> {
        self.receive(session, request).await?;
        let digest = asked.digest.as_deref().ok_or(Refusal::DIGEST_INVALID)?;
        let name = digest_name(digest).ok_or(Refusal::DIGEST_INVALID)?;
        let upload = self.upload(session)?;
        let path = upload.clone();
        let actual = tokio::task::spawn_blocking(move || hash_file(&path)).await;
        if !matches!(actual, Ok(Ok(actual)) if actual == name) {
            let _ = tokio::fs::remove_file(&upload).await;
            return Err(Refusal::DIGEST_INVALID);
        }
        let target = self.pushed.join("blobs/sha256").join(name);
        tokio::fs::rename(&upload, target).await.map_err(|_| Refusal::UPLOAD_INVALID)?;
        Ok(created(repository, "blobs", digest))
    }

    fn upload(&self, session: &str) -> Result<PathBuf, Refusal> {
        let valid = uuid::Uuid::try_parse(session).map_err(|_| Refusal::UPLOAD_UNKNOWN)?;
        Ok(self.pushed.join("uploads").join(valid.simple().to_string()))
    }

    /// Appends the body to the upload; gives its length then.
    async fn receive(&self, session: &str, request: Request) -> Result<u64, Refusal> {
        let path = self.upload(session)?;
        let opened = tokio::fs::OpenOptions::new().append(true).open(path).await;
        let mut file = opened.map_err(|_| Refusal::UPLOAD_UNKNOWN)?;
        let mut body = request.into_body().into_data_stream();
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| Refusal::UPLOAD_INVALID)?;
            file.write_all(&chunk).await.map_err(|_| Refusal::UPLOAD_INVALID)?;
        }
        file.flush().await.map_err(|_| Refusal::UPLOAD_INVALID)?;
        Ok(file.metadata().await.map_err(|_| Refusal::UPLOAD_INVALID)?.len())
    }

    async fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        request: Request,
    ) -> Result<Response, Refusal> {
        let media_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map_or(MANIFEST_TYPE, |value| value.split(';').next().unwrap_or(value))
            .to_owned();
        let body = axum::body::to_bytes(request.into_body(), MANIFEST_MAX).await;
        let body = body.map_err(|_| Refusal::MANIFEST_INVALID)?;
        self.check_manifest(&body, &media_type).await?;
        let name = hex::encode(Sha256::digest(&body));
        let digest = format!("sha256:{name}");
        if reference.starts_with("sha256:") && reference != digest {
            return Err(Refusal::DIGEST_INVALID);
        }
        let target = self.pushed.join("blobs/sha256").join(&name);
        tokio::fs::write(target, &body).await.map_err(|_| Refusal::UPLOAD_INVALID)?;
        self.types.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone(), media_type.clone());
        if !reference.starts_with("sha256:") {
            let key = (String::new(), repository.to_owned(), reference.to_owned());
            let entry = Entry { digest: digest.clone(), media_type };
            self.tags.lock().unwrap_or_else(PoisonError::into_inner).insert(key, entry);
        }
        Ok(created(repository, "manifests", &digest))
    }

    /// A manifest may name only what is there, as a real registry asks.
    async fn check_manifest(&self, body: &[u8], media_type: &str) -> Result<(), Refusal> {
        let manifest: serde_json::Value =
            serde_json::from_slice(body).map_err(|_| Refusal::MANIFEST_INVALID)?;
        let named: Vec<Option<&str>> = match media_type {
            INDEX_TYPE | "application/vnd.docker.distribution.manifest.list.v2+json" => {
                digests(&manifest["manifests"]).collect()
            }
            _ => digests(&manifest["layers"]).chain([manifest["config"]["digest"].as_str()]).collect(),
        };
        for digest in named {
            let digest = digest.ok_or(Refusal::MANIFEST_INVALID)?;
            self.blob(digest, "")
                .await
                .map_err(|_| Refusal(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN"))?;
        }
        Ok(())
    }
}

/// The digest of each descriptor of a list.
fn digests(list: &serde_json::Value) -> impl Iterator<Item = Option<&str>> {
    list.as_array().into_iter().flatten().map(|descriptor| descriptor["digest"].as_str())
}

fn created(repository: &str, kind: &str, digest: &str) -> Response {
    let location = format!("/v2/{repository}/{kind}/{digest}");
    (StatusCode::CREATED, [(header::LOCATION.as_str(), location.as_str()), (DIGEST_HEADER, digest)])
        .into_response()
}

fn accepted(repository: &str, session: &str, length: u64) -> Response {
    let location = format!("/v2/{repository}/blobs/uploads/{session}");
    let range = format!("0-{}", length.saturating_sub(1));
    let headers = [("location", location.as_str()), ("range", &range), ("docker-upload-uuid", session)];
    (StatusCode::ACCEPTED, headers).into_response()
}

/// The hex part of a sha256 digest, checked: it becomes a file name.
fn digest_name(digest: &str) -> Option<&str> {
    let name = digest.strip_prefix("sha256:")?;
    (name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()))
        .then_some(name)
}

fn hash_file(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut file = std::fs::File::open(path)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = io::Read::read(&mut file, &mut buffer)?;
        if length == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..length]);
    }
}
