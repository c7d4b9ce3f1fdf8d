//! What kubestrap keeps on this machine about a cluster: a cache, never the truth.
//!
//! `$XDG_STATE_HOME/kubestrap/CLUSTER-ID/` (0700) holds the SSH key, pinned host keys, logs and the
//! kubeconfig.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use fs4::FileExt;
use secrecy::SecretString;

/// A cluster's folder.
#[derive(Clone, Debug)]
pub struct LocalFiles {
    dir: PathBuf,
}

/// Held for as long as a run changes the cluster; another run on this machine is refused.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl LocalFiles {
    /// The folder of a cluster; made on first use.
    pub fn open(cluster_id: &str) -> io::Result<Self> {
        // An empty or relative value counts as none: XDG Base Directory Specification.
        let state = std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))
            .ok_or_else(|| io::Error::other("neither XDG_STATE_HOME nor HOME is set"))?;
        let dir = state.join("kubestrap").join(cluster_id);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes the lock, or `None` when another run holds it.
    pub fn lock(&self) -> io::Result<Option<Lock>> {
        let file = File::options().create(true).truncate(false).write(true).open(self.dir.join("lock"))?;
        match FileExt::try_lock(&file) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(fs4::TryLockError::WouldBlock) => Ok(None),
            Err(fs4::TryLockError::Error(error)) => Err(error),
        }
    }

    /// The kubeconfig's path.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The kubeconfig, if it is here.
    pub fn kubeconfig(&self) -> Option<SecretString> {
        fs::read_to_string(self.kubeconfig_path()).ok().map(SecretString::from)
    }

    /// Removes the folder and all in it.
    pub fn forget(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}
