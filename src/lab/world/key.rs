//! Key pairs. Only public halves live here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use super::World;
use super::error::{ApiError, ApiResult};
use super::model::KeyPair;
use super::query::{Field, Query};
use super::request::TagSpec;
use super::response::Response;
use super::store::Resource;
use super::tag::tags_for;

/// Filters of DescribeKeyPairs.
const FIELDS: &[Field<KeyPair>] = &[
    ("key-pair-id", |_, key| vec![key.id.clone()]),
    ("key-name", |_, key| vec![key.name.clone()]),
    ("fingerprint", |_, key| vec![key.fingerprint.clone()]),
];

/// The kind and the bytes of an OpenSSH public key.
fn open_ssh(text: &str) -> Option<(&'static str, Vec<u8>)> {
    let mut words = text.split_whitespace();
    let kind = match words.next()? {
        "ssh-ed25519" => "ed25519",
        "ssh-rsa" => "rsa",
        _ => return None,
    };
    let blob = BASE64.decode(words.next()?).ok()?;
    // The blob begins with its own kind, length first: a cheap check against a truncated paste.
    let name: &[u8] = if kind == "rsa" { b"ssh-rsa" } else { b"ssh-ed25519" };
    let length = u32::try_from(name.len()).ok()?.to_be_bytes();
    (blob.get(..4)? == length && blob.get(4..4 + name.len())? == name && blob.len() > 32)
        .then_some((kind, blob))
}

impl World {
    pub(super) fn import_key(
        &mut self,
        name: String,
        material: &str,
        tags: Vec<TagSpec>,
    ) -> ApiResult<Response> {
        let tags = tags_for(KeyPair::KIND, tags)?;
        if name.is_empty() || name.len() > 255 || !name.is_ascii() {
            return Err(ApiError::value(format!(
                "Value ({name}) for parameter keyName is invalid. Must be 1 to 255 ASCII characters."
            )));
        }
        let invalid = || ApiError::new("InvalidKey.Format", "Key is not in valid OpenSSH public key format");
        let text = BASE64
            .decode(material)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(invalid)?;
        let (kind, blob) = open_ssh(&text).ok_or_else(invalid)?;
        if self.keys.all().any(|key| key.name == name) {
            return Err(ApiError::new(
                "InvalidKeyPair.Duplicate",
                format!("The keypair '{name}' already exists."),
            ));
        }
        let key = KeyPair {
            id: self.mint("key-"),
            name,
            public_key: text.trim().to_owned(),
            kind: kind.to_owned(),
            fingerprint: BASE64.encode(Sha256::digest(blob)),
            created: self.now,
            tags,
        };
        self.keys.insert(key.clone());
        Ok(Response::Key(key))
    }

    /// The key pair of this name.
    ///
    /// # Errors
    /// `InvalidKeyPair.NotFound`.
    pub(super) fn key_named(&self, name: &str) -> ApiResult<&KeyPair> {
        self.keys.visible().find(|key| key.name == name).ok_or_else(|| {
            ApiError::new("InvalidKeyPair.NotFound", format!("The key pair '{name}' does not exist"))
        })
    }

    /// Deleting a key pair that does not exist succeeds, as on EC2.
    pub(super) fn delete_key(&mut self, name: Option<String>, id: Option<String>) -> ApiResult<Response> {
        let found = match (name, id) {
            (Some(name), _) => self.keys.all().find(|key| key.name == name).map(|key| key.id.clone()),
            (None, Some(id)) => self.keys.find(&id).map(|key| key.id.clone()),
            (None, None) => return Err(ApiError::missing("KeyName")),
        };
        if let Some(id) = &found {
            self.keys.remove(id);
        }
        Ok(Response::DeletedKey(found))
    }

    pub(super) fn describe_keys(&self, query: &Query, names: &[String], public: bool) -> ApiResult<Response> {
        for name in names {
            self.key_named(name)?;
        }
        let chosen = self.select(&self.keys, query, FIELDS)?;
        let keys =
            chosen.into_iter().filter(|key| names.is_empty() || names.contains(&key.name)).cloned().collect();
        Ok(Response::Keys { keys, public })
    }
}
