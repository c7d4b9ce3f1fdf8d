//! Keys and other small files of the cluster's folder: 0600, and never half written.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey};

use super::local;
use crate::ports::RemoteError;

/// Where the login key is.
pub(super) fn login_key_path(folder: &Path) -> PathBuf {
    folder.join("id_ed25519")
}

/// Makes the login key if there is none; its public half, without a comment.
pub(super) fn login_key(folder: &Path) -> Result<String, RemoteError> {
    let path = login_key_path(folder);
    if !path.exists() {
        let (private, _) = new_key()?;
        create(&path, &private)?;
    }
    let text = fs::read_to_string(&path).map_err(|error| local(path.display(), error))?;
    let key = PrivateKey::from_openssh(&text).map_err(|error| local(path.display(), error))?;
    public(key.public_key())
}

/// A new Ed25519 key: private and public in OpenSSH format, without a comment.
pub(super) fn new_key() -> Result<(String, String), RemoteError> {
    let making = |error| local("making an SSH key", error);
    let key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(making)?;
    let private = key.to_openssh(LineEnding::LF).map_err(making)?;
    Ok((private.to_string(), public(key.public_key())?))
}

/// Reads a private key: itself and its public half.
pub(super) fn read_key(path: &Path) -> Result<(SecretString, String), RemoteError> {
    let text = fs::read_to_string(path).map_err(|error| local(path.display(), error))?;
    let key = PrivateKey::from_openssh(&text).map_err(|error| local(path.display(), error))?;
    Ok((SecretString::from(text), public(key.public_key())?))
}

/// `SHA256:...` of a public key in OpenSSH format, as `ssh` shows it; the text itself if it is none.
pub(super) fn fingerprint(public: &str) -> String {
    PublicKey::from_openssh(public)
        .map(|key| key.fingerprint(ssh_key::HashAlg::Sha256).to_string())
        .unwrap_or_else(|_| public.to_owned())
}

fn public(key: &PublicKey) -> Result<String, RemoteError> {
    let mut key = key.clone();
    key.set_comment("");
    key.to_openssh().map(|it| it.trim_end().to_owned()).map_err(|error| local("writing an SSH key", error))
}

/// A folder that only we can read.
pub(super) fn private_folder(path: &Path) -> Result<(), RemoteError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o700)))
        .map_err(|error| local(path.display(), error))
}

/// Writes a file whole or not at all, in place of one that may be there. Mode 0600.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), RemoteError> {
    written(path, content)?.persist(path).map(drop).map_err(|error| local(path.display(), error.error))
}

/// Writes a file whole or not at all; one that another run has written meanwhile stays.
pub(super) fn create(path: &Path, content: &str) -> Result<(), RemoteError> {
    match written(path, content.as_bytes())?.persist_noclobber(path) {
        Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(local(path.display(), error.error))
        }
        _ => Ok(()),
    }
}

fn written(path: &Path, content: &[u8]) -> Result<tempfile::NamedTempFile, RemoteError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // tempfile makes files with mode 0600.
    let write = || -> std::io::Result<tempfile::NamedTempFile> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|error| local(path.display(), error))
}
