//! Which host key each node must present.
//!
//! `known_hosts.d/NODE` is what `ssh` reads: one line a key that the node may present. A line that ends
//! in `temporary` is of a key from user data, which the first login replaces; its private half is kept
//! in `host_keys.d` until no node is expected to present it any more.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use secrecy::SecretString;

use super::keys::{self, fingerprint};
use super::local;
use crate::ports::RemoteError;

const TEMPORARY: &str = "temporary";

/// The pinned keys of a cluster's nodes.
pub(super) struct Pins {
    pinned: PathBuf,
    temporary: PathBuf,
    writing: Mutex<()>,
}

/// A line of a node's file.
struct Pin {
    key: String,
    temporary: bool,
}

impl Pins {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            pinned: folder.join("known_hosts.d"),
            temporary: folder.join("host_keys.d"),
            writing: Mutex::default(),
        }
    }

    /// The node's file in known_hosts format.
    pub(super) fn file(&self, node: &str) -> PathBuf {
        self.pinned.join(node)
    }

    /// The temporary key for nodes about to be launched; see [`super::Ssh::ephemeral_host_key`].
    pub(super) fn expect_new(&self, nodes: &[String]) -> Result<(SecretString, String), RemoteError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = nodes.iter().map(|node| self.sole_temporary(node)).collect::<Result<Vec<_>, _>>()?;
        if let Some(Some(first)) = known.first()
            && known.iter().all(|key| key.as_ref() == Some(first))
            && self.key_path(first).exists()
        {
            return keys::read_key(&self.key_path(first));
        }
        let (private, public) = keys::new_key()?;
        keys::replace(&self.key_path(&public), private.as_bytes())?;
        for node in nodes {
            self.write(node, &[Pin { key: public.clone(), temporary: true }])?;
        }
        self.sweep()?;
        Ok((SecretString::from(private), public))
    }

    /// The temporary key that the node may present, if any.
    pub(super) fn temporary(&self, node: &str) -> Result<Option<String>, RemoteError> {
        Ok(self.pins(node)?.into_iter().find(|pin| pin.temporary).map(|pin| pin.key))
    }

    /// Lets the node present this key too.
    pub(super) fn expect_also(&self, node: &str, key: &str) -> Result<(), RemoteError> {
        let mut pins = self.pins(node)?;
        pins.retain(|pin| pin.temporary);
        pins.push(Pin { key: key.to_owned(), temporary: false });
        self.write(node, &pins)
    }

    /// From now on the node presents this key and no other.
    pub(super) fn pin(&self, node: &str, key: &str) -> Result<(), RemoteError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(node, &[Pin { key: key.to_owned(), temporary: false }])?;
        self.sweep()
    }

    /// An error if no key of the node is known: it cannot be told from an impostor then.
    pub(super) fn require(&self, node: &str) -> Result<(), RemoteError> {
        if self.pins(node)?.is_empty() {
            let looked_in = self.file(node).display().to_string();
            return Err(RemoteError::NotPinned { node: node.to_owned(), looked_in });
        }
        Ok(())
    }

    /// Fingerprints of the keys that the node may present.
    pub(super) fn fingerprints(&self, node: &str) -> Result<String, RemoteError> {
        let all: Vec<String> = self.pins(node)?.iter().map(|pin| fingerprint(&pin.key)).collect();
        Ok(all.join(" or "))
    }

    /// The node's temporary key, if it is all that is known of it.
    fn sole_temporary(&self, node: &str) -> Result<Option<String>, RemoteError> {
        let pins = self.pins(node)?;
        Ok(match pins.as_slice() {
            [only] if only.temporary => Some(only.key.clone()),
            _ => None,
        })
    }

    fn pins(&self, node: &str) -> Result<Vec<Pin>, RemoteError> {
        let path = self.file(node);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(local(path.display(), error)),
        };
        Ok(text.lines().filter_map(Pin::parse).collect())
    }

    fn write(&self, node: &str, pins: &[Pin]) -> Result<(), RemoteError> {
        let text: String = pins.iter().map(|pin| pin.line(node)).collect();
        keys::replace(&self.file(node), text.as_bytes())
    }

    /// Deletes the temporary private keys that no node is expected to present.
    fn sweep(&self) -> Result<(), RemoteError> {
        let mut wanted = Vec::new();
        for node in names(&self.pinned)? {
            wanted.extend(self.temporary(&node)?.map(|key| self.key_path(&key)));
        }
        for name in names(&self.temporary)? {
            let path = self.temporary.join(name);
            if !wanted.contains(&path) {
                fs::remove_file(&path).map_err(|error| local(path.display(), error))?;
            }
        }
        Ok(())
    }

    fn key_path(&self, public: &str) -> PathBuf {
        self.temporary.join(hex::encode(fingerprint(public)))
    }
}

impl Pin {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace().skip(1);
        let key = format!("{} {}", words.next()?, words.next()?);
        Some(Self { key, temporary: words.next() == Some(TEMPORARY) })
    }

    fn line(&self, node: &str) -> String {
        let comment = if self.temporary { " temporary" } else { "" };
        format!("{node} {}{comment}\n", self.key)
    }
}

fn names(folder: &Path) -> Result<Vec<String>, RemoteError> {
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    let names = fs::read_dir(folder).and_then(|entries| entries.map(name).collect());
    names.map_err(|error| local(folder.display(), error))
}
