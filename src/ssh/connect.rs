//! Logging in: the configuration that `ssh` gets, the wait for sshd, and what `ssh` says when it fails.

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::time::Duration;

use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder};
use tokio::time::{Instant, sleep};

use super::local;
use crate::ports::{Host, RemoteError};

/// A master whose owner was killed ends by itself after this long without a channel.
const IDLE_SECONDS: usize = 900;
/// A dropped SYN is repeated by a new attempt rather than by TCP, whose pauses grow.
const QUICK: Duration = Duration::from_secs(2);
/// For a node that answers, but slowly.
const PATIENT: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(300);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// All that `ssh` is told of a node. `-F` keeps the user's and the system's own configuration out.
pub(super) fn ssh_config(host: &Host, port: u16, key: &Path, known_hosts: &Path) -> String {
    let mut text = format!("Host {}\n", host.node);
    let mut set = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name} {value}");
    };
    set("HostName", &host.address.to_string());
    set("HostKeyAlias", &host.node);
    set("Port", &port.to_string());
    set("User", &host.user);
    set("IdentityFile", &path_argument(key));
    set("UserKnownHostsFile", &path_argument(known_hosts));
    for line in [
        "IdentitiesOnly yes",
        "IdentityAgent none",
        "GlobalKnownHostsFile /dev/null",
        "StrictHostKeyChecking yes",
        "HostKeyAlgorithms ssh-ed25519",
        "CheckHostIP no",
        "UpdateHostKeys no",
        "PreferredAuthentications publickey",
        "ForwardAgent no",
        "ForwardX11 no",
        "Compression no",
        "ConnectTimeout 10",
        "ServerAliveInterval 5",
        "ServerAliveCountMax 6",
    ] {
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// A path as ssh_config reads it: spaces are quoted, `%` is not an escape.
fn path_argument(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// Tries until sshd lets us in. Only what time can mend is tried again. `expected` is what the node may
/// present, for the error.
pub(super) async fn log_in(
    host: &Host,
    config: &Path,
    control: &Path,
    patience: Duration,
    expected: &str,
) -> Result<Session, RemoteError> {
    let deadline = Instant::now() + patience;
    let (mut pause, mut timeout) = (FIRST_PAUSE, QUICK);
    loop {
        let idle = std::num::NonZeroUsize::new(IDLE_SECONDS)
            .map_or(ControlPersist::Forever, ControlPersist::IdleFor);
        let attempt = SessionBuilder::default()
            .config_file(config)
            .known_hosts_check(KnownHosts::Strict)
            .control_directory(control)
            .control_persist(idle)
            .connect_timeout(timeout)
            .connect_mux(&host.node)
            .await;
        let (kind, said) = match attempt {
            Ok(session) => return Ok(session),
            Err(openssh::Error::Connect(error)) => (error.kind(), error.to_string()),
            Err(error) => {
                return Err(local(format!("opening a connection to {}", host.node), with_sources(&error)));
            }
        };
        match judge(kind, &said) {
            Trouble::HostKey => {
                let (node, address, expected) = (host.node.clone(), host.address, expected.to_owned());
                return Err(RemoteError::HostKey { node, address, expected });
            }
            Trouble::Denied => {
                let (node, user) = (host.node.clone(), host.user.clone());
                return Err(RemoteError::Denied { node, address: host.address, user });
            }
            Trouble::NoProgram if !has_program() => return Err(RemoteError::NoSsh),
            Trouble::NoProgram => return Err(local(format!("running ssh for {}", host.node), said)),
            Trouble::NotYet => {}
            Trouble::Slow => timeout = PATIENT,
        }
        if Instant::now() + pause >= deadline {
            return Err(RemoteError::NeverAnswered {
                node: host.node.clone(),
                address: host.address,
                seconds: patience.as_secs(),
                last: last_line(&said),
            });
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// Why an attempt failed, by what can be done about it.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// Nobody listens, or packets are lost: wait.
    NotYet,
    /// Somebody answers, but the handshake took too long: wait longer.
    Slow,
    /// Not the key that was expected.
    HostKey,
    /// Our key is refused.
    Denied,
    /// `ssh` could not be started, or ended before it could write its log.
    NoProgram,
}

fn judge(kind: io::ErrorKind, said: &str) -> Trouble {
    if kind == io::ErrorKind::NotFound {
        Trouble::NoProgram
    } else if said.contains("Host key verification failed")
        || said.contains("HOST IDENTIFICATION HAS CHANGED")
    {
        Trouble::HostKey
    } else if said.contains("Permission denied (") || said.contains("Too many authentication failures") {
        Trouble::Denied
    } else if said.contains("during banner exchange")
        || said.contains("Connection to") && said.contains("timed out")
    {
        Trouble::Slow
    } else {
        Trouble::NotYet
    }
}

fn has_program() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join("ssh").is_file())
}

fn last_line(said: &str) -> String {
    let line = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    line.unwrap_or("ssh said nothing").to_owned()
}

/// An error and what it came from, on one line.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let _ = write!(text, ": {inner}");
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_is_told_apart() {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, NotFound, TimedOut};
        let cases = [
            (ConnectionRefused, "connect to host 10.0.0.1 port 22: Connection refused", Trouble::NotYet),
            (TimedOut, "connect to host 10.0.0.1 port 22: Connection timed out", Trouble::NotYet),
            (ConnectionAborted, "connect to host 10.0.0.1 port 22: No route to host", Trouble::NotYet),
            (
                ConnectionAborted,
                "kex_exchange_identification: Connection closed by remote host",
                Trouble::NotYet,
            ),
            (ConnectionAborted, "Connection closed by 10.0.0.1 port 22", Trouble::NotYet),
            (
                ConnectionAborted,
                "Connection timed out during banner exchange\nConnection to 10.0.0.1 port 22 timed out",
                Trouble::Slow,
            ),
            (
                ConnectionAborted,
                "No ED25519 host key is known for x and you have requested strict checking.\nHost key verification failed.",
                Trouble::HostKey,
            ),
            (ConnectionAborted, "admin@10.0.0.1: Permission denied (publickey).", Trouble::Denied),
            (NotFound, "No such file or directory (os error 2)", Trouble::NoProgram),
        ];
        for (kind, said, trouble) in cases {
            assert_eq!(judge(kind, said), trouble, "{said}");
        }
    }

    #[test]
    fn the_configuration_leaves_nothing_to_the_users_own() {
        let host = Host { node: "general-1".into(), address: [203, 0, 113, 5].into(), user: "admin".into() };
        let config =
            ssh_config(&host, 22, Path::new("/a b/100%/id"), Path::new("/c/known_hosts.d/general-1"));
        insta::assert_snapshot!(config, @r#"
        Host general-1
          HostName 203.0.113.5
          HostKeyAlias general-1
          Port 22
          User admin
          IdentityFile "/a b/100%%/id"
          UserKnownHostsFile "/c/known_hosts.d/general-1"
          IdentitiesOnly yes
          IdentityAgent none
          GlobalKnownHostsFile /dev/null
          StrictHostKeyChecking yes
          HostKeyAlgorithms ssh-ed25519
          CheckHostIP no
          UpdateHostKeys no
          PreferredAuthentications publickey
          ForwardAgent no
          ForwardX11 no
          Compression no
          ConnectTimeout 10
          ServerAliveInterval 5
          ServerAliveCountMax 6
        "#);
    }
}
