//! A shell on the nodes, as the engine needs it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;
use secrecy::SecretString;
use thiserror::Error;
use tokio::sync::mpsc::UnboundedSender;

/// A node to log in to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Node name: names its log, its pinned key and its connection.
    pub node: String,
    /// Address that reaches it from here.
    pub address: IpAddr,
    /// Login name.
    pub user: String,
}

/// A rendered phase: one self-contained bash script. It may hold secrets, so it travels on stdin and
/// is kept in a root-only file on a tmpfs for as long as it runs.
#[derive(Clone, Debug)]
pub struct Script {
    /// `install`, `init`, `join`, ...; names the file and the log.
    pub phase: &'static str,
    /// The text.
    pub body: SecretString,
}

/// What a script said, line by line, while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// `::progress TEXT` on its output: worth showing.
    Progress(String),
    /// Any other line: worth keeping in the log.
    Output(String),
}

/// What a script left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// `::fact KEY VALUE` lines: what later steps need. Never secrets.
    pub facts: BTreeMap<String, String>,
}

/// What a remote call can end in.
#[derive(Debug, Error)]
pub enum RemoteError {
    /// There is no `ssh` program here.
    #[error("there is no `ssh` on this machine")]
    NoSsh,
    /// The node did not answer on SSH in time.
    #[error("{node} ({address}) did not answer on SSH within {seconds} s: {last}")]
    NeverAnswered {
        /// Node name.
        node: String,
        /// Its address.
        address: IpAddr,
        /// How long it was waited for.
        seconds: u64,
        /// The last thing `ssh` said.
        last: String,
    },
    /// The node presents another host key than the pinned one.
    #[error("{node} ({address}) presents a host key that is not the pinned one ({expected})")]
    HostKey {
        /// Node name.
        node: String,
        /// Its address.
        address: IpAddr,
        /// Fingerprint that was expected.
        expected: String,
    },
    /// No key of the node is pinned here: the files of the run that launched it are lost.
    #[error("no host key of {node} is pinned here, so it cannot be told from an impostor")]
    NotPinned {
        /// Node name.
        node: String,
        /// Where its pin was looked for.
        looked_in: String,
    },
    /// The node does not accept our key.
    #[error("{node} ({address}) does not accept the cluster's SSH key for {user}")]
    Denied {
        /// Node name.
        node: String,
        /// Its address.
        address: IpAddr,
        /// Login name.
        user: String,
    },
    /// A phase failed.
    #[error("{phase} failed on {node} with exit status {status}")]
    Failed {
        /// Node name.
        node: String,
        /// Phase.
        phase: String,
        /// Exit status; 255 when the connection was lost.
        status: i32,
        /// Last lines of its output.
        tail: Vec<String>,
        /// Where the whole output is kept.
        log: String,
    },
    /// Local trouble: files, the control socket.
    #[error("{context}: {message}")]
    Local {
        /// What was tried.
        context: String,
        /// What the system said.
        message: String,
    },
}

/// Shells on nodes over SSH: one connection a host, host keys pinned.
#[async_trait]
pub trait Remote: Send + Sync {
    /// Waits for sshd, checks the pinned host key (the ephemeral one from user data at first, which
    /// is replaced on that first login and the new one pinned), and keeps the connection.
    async fn connect(&self, host: &Host) -> Result<(), RemoteError>;

    /// Runs a phase as root, sending its lines to `lines` as they come.
    async fn run(
        &self,
        node: &str,
        script: &Script,
        lines: UnboundedSender<Line>,
    ) -> Result<Outcome, RemoteError>;

    /// Reads a root-only file.
    async fn read(&self, node: &str, path: &str) -> Result<SecretString, RemoteError>;

    /// How many connections were opened so far.
    fn connections(&self) -> usize;
}
