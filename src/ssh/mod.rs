//! The adapter to the nodes: the `Remote` port on OpenSSH.
//!
//! One master connection a node, many channels on it. Everything that `ssh` must know of a node is in
//! one configuration file in the cluster's folder, so that the user's own configuration has no say and
//! `ssh -F FILE NODE` does by hand what this does.

mod connect;
mod keys;
mod pins;
mod run;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use openssh::Session;
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedSender;

use crate::ports::{Host, Line, Outcome, Remote, RemoteError, Script};
use crate::script;
use connect::ssh_config;
use pins::Pins;

/// What differs between the nodes of a cloud and, say, an sshd under test.
#[derive(Clone, Debug)]
pub struct Settings {
    /// TCP port of sshd.
    pub port: u16,
    /// How long a node may take until its sshd lets us in.
    pub patience: Duration,
    /// Where sshd keeps its Ed25519 host key on the node.
    pub host_key_path: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { port: 22, patience: Duration::from_secs(180), host_key_path: script::HOST_KEY_PATH.to_owned() }
    }
}

/// Shells on the nodes of one cluster. Its folder (mode 0700) holds `id_ed25519`, the pinned host keys
/// (`known_hosts.d/NODE`), `ssh_config.d/NODE` and the nodes' logs (`logs/NODE.log`).
pub struct Ssh {
    // Sessions end before the folder of their control sockets goes.
    hosts: Mutex<BTreeMap<String, Connected>>,
    control: TempDir,
    folder: PathBuf,
    settings: Settings,
    public_key: String,
    pins: Pins,
    opened: AtomicUsize,
}

/// A node that is logged in to.
#[derive(Clone)]
struct Connected {
    host: Host,
    session: Arc<Session>,
}

impl Ssh {
    /// Opens the cluster's folder, making the login key if there is none yet.
    pub fn new(folder: impl AsRef<Path>) -> Result<Self, RemoteError> {
        Self::with(folder, Settings::default())
    }

    /// The same with other settings.
    pub fn with(folder: impl AsRef<Path>, settings: Settings) -> Result<Self, RemoteError> {
        let folder = folder.as_ref();
        keys::private_folder(folder)?;
        let folder = folder.canonicalize().map_err(|error| local(folder.display(), error))?;
        for name in ["known_hosts.d", "host_keys.d", "ssh_config.d", "logs"] {
            keys::private_folder(&folder.join(name))?;
        }
        let public_key = keys::login_key(&folder)?;
        let pins = Pins::new(&folder);
        let control = control_folder()?;
        let (hosts, opened) = (Mutex::default(), AtomicUsize::new(0));
        Ok(Self { hosts, control, folder, settings, public_key, pins, opened })
    }

    /// The login key as OpenSSH writes it, `ssh-ed25519 AAAA...`, without a comment.
    pub fn public_key(&self) -> String {
        self.public_key.clone()
    }

    /// The temporary host key (private, public) for the user data of nodes about to be launched, and
    /// from now on what these nodes are expected to present. Asked again for the same nodes before one
    /// of them was logged in to, it is the same key; afterwards it is a new one, as for new machines.
    pub fn ephemeral_host_key(&self, nodes: &[String]) -> Result<(SecretString, String), RemoteError> {
        self.pins.expect_new(nodes)
    }

    /// Arguments, the program first, of an interactive `ssh` to the node; a command may follow.
    pub fn command(&self, host: &Host) -> Result<Vec<String>, RemoteError> {
        self.pins.require(&host.node)?;
        let config = self.write_config(host)?;
        Ok(vec!["ssh".to_owned(), "-F".to_owned(), config.display().to_string(), host.node.clone()])
    }

    /// Where the whole output of the node's phases is kept.
    pub fn log(&self, node: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{node}.log"))
    }

    fn write_config(&self, host: &Host) -> Result<PathBuf, RemoteError> {
        let path = self.folder.join("ssh_config.d").join(&host.node);
        let config = ssh_config(
            host,
            self.settings.port,
            &keys::login_key_path(&self.folder),
            &self.pins.file(&host.node),
        );
        keys::replace(&path, config.as_bytes())?;
        Ok(path)
    }

    fn connected(&self, node: &str) -> Option<Connected> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner).get(node).cloned()
    }

    fn keep(&self, connected: Connected) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.insert(connected.host.node.clone(), connected);
    }

    fn need(&self, node: &str) -> Result<Connected, RemoteError> {
        self.connected(node)
            .ok_or_else(|| local(format!("running something on {node}"), "it is not connected"))
    }

    /// The exchange of host keys on the first login, over the connection that the temporary one opened.
    async fn adopt_host_key(&self, connected: &Connected) -> Result<(), RemoteError> {
        let node = &connected.host.node;
        let Some(temporary) = self.pins.temporary(node)? else { return Ok(()) };
        let path = &self.settings.host_key_path;
        let (silent, _) = tokio::sync::mpsc::unbounded_channel();
        let made = self.run_on(connected, &script::adopt_host_key(path, &temporary), silent.clone()).await?;
        let key = made.facts.get("host_key").ok_or_else(|| {
            local(format!("replacing the temporary host key of {node}"), "the node did not tell its new one")
        })?;
        // Both are good until the node has switched: whichever moment this is cut short, it can be resumed.
        self.pins.expect_also(node, key)?;
        self.run_on(connected, &script::switch_host_key(path), silent).await?;
        self.pins.pin(node, key)
    }
}

#[async_trait]
impl Remote for Ssh {
    async fn connect(&self, host: &Host) -> Result<(), RemoteError> {
        if let Some(connected) = self.connected(&host.node)
            && connected.host == *host
            && connected.session.check().await.is_ok()
        {
            return Ok(());
        }
        self.pins.require(&host.node)?;
        let config = self.write_config(host)?;
        let expected = self.pins.fingerprints(&host.node)?;
        let session =
            connect::log_in(host, &config, self.control.path(), self.settings.patience, &expected).await?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        let connected = Connected { host: host.clone(), session: Arc::new(session) };
        self.adopt_host_key(&connected).await?;
        self.keep(connected);
        Ok(())
    }

    async fn run(
        &self,
        node: &str,
        script: &Script,
        lines: UnboundedSender<Line>,
    ) -> Result<Outcome, RemoteError> {
        self.run_on(&self.need(node)?, script, lines).await
    }

    async fn read(&self, node: &str, path: &str) -> Result<SecretString, RemoteError> {
        self.read_on(&self.need(node)?, path).await
    }

    fn connections(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Ssh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ssh")
            .field("folder", &self.folder)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// A folder for control sockets: only ours, and short, since a socket's path may have 107 bytes.
fn control_folder() -> Result<TempDir, RemoteError> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|it| it.is_dir());
    let short = |it: &PathBuf| it.as_os_str().len() <= 40;
    let parent = [runtime, Some(std::env::temp_dir())].into_iter().flatten().find(short);
    let parent = parent.unwrap_or_else(|| PathBuf::from("/tmp"));
    // tempfile makes folders with mode 0700.
    tempfile::Builder::new()
        .prefix("ks-")
        .tempdir_in(&parent)
        .map_err(|error| local(format!("making a folder for SSH sockets in {}", parent.display()), error))
}

/// Local trouble.
fn local(context: impl fmt::Display, message: impl fmt::Display) -> RemoteError {
    RemoteError::Local { context: context.to_string(), message: message.to_string() }
}
