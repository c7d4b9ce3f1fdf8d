//! Why the lab cannot be started, stopped or asked, and what to do about it.

use std::path::PathBuf;

use ipnet::Ipv4Net;

/// What went wrong between this machine and the lab.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// There is no engine's socket.
    #[error("no Docker Engine here: {socket} does not exist")]
    EngineMissing {
        /// The socket looked for.
        socket: String,
    },
    /// The engine is another machine's.
    #[error("DOCKER_HOST is {host}; the lab needs an engine of this machine, by its socket")]
    EngineRemote {
        /// Its value.
        host: String,
    },
    /// There is a socket, but the engine does not answer, or not to this user.
    #[error("the Docker Engine does not answer: {message}")]
    EngineDown {
        /// What it said.
        message: String,
    },
    /// The engine runs in a user namespace, where it cannot make what an instance needs.
    #[error("the Docker Engine is {how}; the lab needs a rootful one")]
    Rootless {
        /// `rootless`, `a snap` or the like.
        how: &'static str,
    },
    /// The engine refused something.
    #[error("the Docker Engine refused: {0}")]
    Engine(#[from] bollard::errors::Error),
    /// The bundle lacks something.
    #[error("the bundle at {bundle} is not complete: {missing}")]
    BundleIncomplete {
        /// The bundle's directory.
        bundle: PathBuf,
        /// What is missing or wrong.
        missing: String,
    },
    /// Something else has addresses of the lab's range.
    #[error("the range {range} is in use by {by}")]
    RangeTaken {
        /// The lab's range.
        range: Ipv4Net,
        /// Who has it.
        by: String,
    },
    /// The range cannot hold a lab.
    #[error("the range {range} is too small: a lab needs a /28 at least")]
    RangeSmall {
        /// The range.
        range: Ipv4Net,
    },
    /// Somebody listens on the endpoint's port.
    #[error("port {port} of 127.0.0.1 is in use")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// Too little room for images and volumes.
    #[error("{free_gib} GiB are free at {path}; the lab needs {needed_gib}")]
    Disk {
        /// Where the engine keeps its data.
        path: String,
        /// What is free there.
        free_gib: u64,
        /// What is needed.
        needed_gib: u64,
    },
    /// A lab with instances runs, started in another way.
    #[error("a lab with instances runs already, from another binary, bundle or with other options")]
    Differs,
    /// The start-up probe saw packets pass that no rule admits, or could not tell.
    #[error("security groups cannot be enforced here; the lab said:\n{log}")]
    NotEnforced {
        /// The end of its log.
        log: String,
    },
    /// It started and does not serve.
    #[error("the lab {outcome}; it said:\n{log}")]
    NotReady {
        /// `ended` or `did not answer in time`.
        outcome: &'static str,
        /// The end of its log.
        log: String,
    },
    /// Things of the lab are still there after it was stopped.
    #[error("still there after stopping: {}", what.join(", "))]
    Leftovers {
        /// Their names.
        what: Vec<String>,
    },
    /// A file of this machine failed.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        source: std::io::Error,
    },
}

impl HostError {
    /// A stable name for scripts and documentation.
    pub fn code(&self) -> &'static str {
        match self {
            Self::EngineMissing { .. } => "KS-LAB-ENGINE-MISSING",
            Self::EngineRemote { .. } => "KS-LAB-ENGINE-REMOTE",
            Self::EngineDown { .. } => "KS-LAB-ENGINE-DOWN",
            Self::Rootless { .. } => "KS-LAB-ROOTLESS",
            Self::Engine(_) => "KS-LAB-ENGINE",
            Self::BundleIncomplete { .. } => "KS-LAB-BUNDLE-INCOMPLETE",
            Self::RangeTaken { .. } => "KS-LAB-RANGE-TAKEN",
            Self::RangeSmall { .. } => "KS-LAB-RANGE-SMALL",
            Self::PortTaken { .. } => "KS-LAB-PORT-TAKEN",
            Self::Disk { .. } => "KS-LAB-DISK",
            Self::Differs => "KS-LAB-DIFFERS",
            Self::NotEnforced { .. } => "KS-LAB-NOT-ENFORCED",
            Self::NotReady { .. } => "KS-LAB-NOT-READY",
            Self::Leftovers { .. } => "KS-LAB-LEFTOVERS",
            Self::Io { .. } => "KS-LAB-FILE",
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::EngineMissing { .. } => "install Docker Engine (docs.docker.com/engine/install)",
            Self::EngineRemote { .. } => {
                "unset DOCKER_HOST, or set it to unix:///PATH of a rootful engine here"
            }
            Self::EngineDown { .. } => {
                "start it (systemctl start docker), and let this user use it (group docker, or sudo)"
            }
            Self::Rootless { .. } => "use the rootful Docker Engine of your distribution or of docker.com",
            Self::Engine(_) => "see the engine's log; kubestrap lab doctor checks what the lab needs",
            Self::BundleIncomplete { .. } => "build it (make bundle), or name another with --bundle",
            Self::RangeTaken { .. } | Self::RangeSmall { .. } => {
                "choose another range with kubestrap lab start --range"
            }
            Self::PortTaken { .. } => "choose another port with kubestrap lab start --port",
            Self::Disk { .. } => "make room: docker system df shows what takes it",
            Self::Differs => "keep using it, or kubestrap lab stop and start it again",
            Self::NotEnforced { .. } => {
                "see kubestrap lab doctor; nftables and connection tracking are needed"
            }
            Self::NotReady { .. } => "see the log above and kubestrap lab doctor",
            Self::Leftovers { .. } => "remove them with docker rm -f -v, docker volume rm, docker network rm",
            Self::Io { .. } => "check the file and its permissions",
        }
    }
}
