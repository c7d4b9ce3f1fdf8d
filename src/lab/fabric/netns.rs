//! Network namespaces held by a file descriptor: nothing is mounted, so nothing outlives the
//! process. When the lab dies, the kernel takes the namespace and every veth in it.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use nix::sched::{CloneFlags, setns, unshare};

/// A handle on a network namespace; clones refer to the same one.
#[derive(Clone, Debug)]
pub struct Netns {
    handle: Arc<File>,
}

/// A tool that was run in a namespace and failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// It could not be run at all.
    #[error("cannot run `{tool}`: {source}")]
    Spawn {
        /// Its command line.
        tool: String,
        /// Why.
        source: io::Error,
    },
    /// It ran and refused.
    #[error("`{tool}` failed: {stderr}")]
    Failed {
        /// Its command line.
        tool: String,
        /// What it was given on standard input.
        input: String,
        /// What it said.
        stderr: String,
    },
}

impl Netns {
    /// Makes a new, empty namespace. Needs CAP_SYS_ADMIN.
    pub fn create() -> io::Result<Self> {
        in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Self::open("/proc/thread-self/ns/net".into())
        })
    }

    /// The namespace of a process. Needs CAP_SYS_PTRACE where the process has other privileges.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        Self::open(format!("/proc/{pid}/ns/net").into())
    }

    /// The namespace of this process.
    pub fn current() -> io::Result<Self> {
        Self::open("/proc/thread-self/ns/net".into())
    }

    fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self { handle: Arc::new(File::open(path)?) })
    }

    /// The path under which a child of this process finds the namespace.
    pub fn path(&self) -> String {
        use std::os::fd::AsRawFd;
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }

    /// Runs `work` on a thread inside the namespace: what it opens and spawns belongs there.
    /// Blocks the caller; the work must be short.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        in_thread(|| {
            setns(&*self.handle, CloneFlags::CLONE_NEWNET)?;
            work()
        })
    }

    /// Runs a tool inside, with `input` on its standard input; returns its standard output.
    pub fn tool(&self, argv: &[&str], input: &str) -> Result<String, ToolError> {
        let name = argv.join(" ");
        let output = self
            .enter(|| {
                let (program, arguments) = argv.split_first().ok_or(io::ErrorKind::InvalidInput)?;
                let mut child = Command::new(program)
                    .args(arguments)
                    .env("LC_ALL", "C")
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()?;
                if let Some(mut stdin) = child.stdin.take() {
                    // A tool that fails early closes its end; its exit status says more.
                    let _ = stdin.write_all(input.as_bytes());
                }
                child.wait_with_output()
            })
            .map_err(|source| ToolError::Spawn { tool: name.clone(), source })?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(ToolError::Failed {
                tool: name,
                input: input.to_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            })
        }
    }

    /// `ip -batch -`: one command a line, stops at the first that fails.
    pub fn ip(&self, batch: &str) -> Result<(), ToolError> {
        self.tool(&["ip", "-batch", "-"], batch).map(drop)
    }

    /// `nft -f -`: one transaction.
    pub fn nft(&self, ruleset: &str) -> Result<(), ToolError> {
        self.tool(&["nft", "-f", "-"], ruleset).map(drop)
    }

    /// Writes kernel settings; names are paths under /proc/sys/net.
    pub fn sysctl(&self, settings: &[(&str, &str)]) -> Result<(), ToolError> {
        self.enter(|| {
            settings.iter().try_for_each(|(name, value)| {
                std::fs::write(format!("/proc/sys/net/{name}"), value)
                    .map_err(|error| io::Error::new(error.kind(), format!("net/{name}={value}: {error}")))
            })
        })
        .map_err(|source| ToolError::Spawn { tool: "sysctl".into(), source })
    }
}

/// A thread's namespace ends with the thread, so the process's own is never changed.
fn in_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(_) => Err(io::Error::other("the namespace thread panicked")),
    })
}
