//! Running a phase: the script goes in on stdin, its lines come back while it runs.

use std::collections::VecDeque;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use openssh::Stdio;
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc::UnboundedSender;

use super::connect::with_sources;
use super::{Connected, Ssh, local};
use crate::ports::{Line, Outcome, RemoteError, Script};
use crate::script::{Parsed, parse_line, redact};

/// How much of the output an error carries.
const TAIL: usize = 20;
/// Exit status of a phase whose connection was lost.
const LOST: i32 = 255;
const CLOCK: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute]:[second].[subsecond digits:3]");

impl Ssh {
    pub(super) async fn run_on(
        &self,
        connected: &Connected,
        script: &Script,
        lines: UnboundedSender<Line>,
    ) -> Result<Outcome, RemoteError> {
        let node = &connected.host.node;
        let trouble = |error: &dyn std::error::Error| {
            local(format!("running {} on {node}", script.phase), with_sources(error))
        };
        let log_path = self.log(node);
        let mut log = Log::open(&log_path)?;
        log.line(&format!("==== {} on {}", script.phase, OffsetDateTime::now_utc().date()))?;

        let mut command =
            connected.session.raw_command(as_root(&connected.host.user, &carrier(script.phase)));
        let spawned =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().await;
        let mut child = match spawned {
            Ok(child) => child,
            Err(openssh::Error::Disconnected) => {
                return Err(self.failed(
                    connected,
                    script,
                    LOST,
                    vec!["the connection was lost before it began".into()],
                ));
            }
            Err(error) => return Err(trouble(&error)),
        };
        let mut stdin = child.stdin().take();
        let stdout = child.stdout().take();
        let send = async {
            if let Some(stdin) = &mut stdin {
                // A script that ends before it was read whole tells so by its exit status.
                let _ = stdin.write_all(script.body.expose_secret().as_bytes()).await;
            }
            drop(stdin.take());
        };
        let receive = async {
            let mut outcome = Outcome::default();
            let mut tail = VecDeque::with_capacity(TAIL);
            let mut output = stdout.map(BufReader::new);
            let mut bytes = Vec::new();
            while let Some(output) = &mut output {
                bytes.clear();
                if output.read_until(b'\n', &mut bytes).await.map_err(|error| trouble(&error))? == 0 {
                    break;
                }
                let text = String::from_utf8_lossy(&bytes);
                let line = redact(text.trim_end_matches(['\n', '\r']));
                log.line(&line)?;
                match parse_line(&line) {
                    Parsed::Fact { key, value } => {
                        outcome.facts.insert(key, value);
                    }
                    // Nobody listening is no reason to stop.
                    Parsed::Progress(text) => drop(lines.send(Line::Progress(text))),
                    Parsed::Output(text) => {
                        if tail.len() == TAIL {
                            tail.pop_front();
                        }
                        tail.push_back(text.clone());
                        let _ = lines.send(Line::Output(text));
                    }
                }
            }
            Ok::<_, RemoteError>((outcome, tail))
        };
        let ((), received) = tokio::join!(send, receive);
        let (outcome, mut tail) = received?;
        let status = match child.wait().await {
            Ok(status) => status.code().unwrap_or(LOST),
            // How this crate says that the exit status was 127.
            Err(openssh::Error::Remote(_)) => 127,
            Err(_) => LOST,
        };
        if status == LOST {
            tail.push_back("the connection was lost".to_owned());
            log.line("the connection was lost")?;
        }
        match status {
            0 => Ok(outcome),
            _ => Err(self.failed(connected, script, status, tail.into())),
        }
    }

    pub(super) async fn read_on(
        &self,
        connected: &Connected,
        path: &str,
    ) -> Result<SecretString, RemoteError> {
        let node = &connected.host.node;
        let context = || format!("reading {path} on {node}");
        let cat = as_root(&connected.host.user, &["cat", "--", path]);
        let mut command = connected.session.raw_command(cat);
        let spawned =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().await;
        let mut child = spawned.map_err(|error| local(context(), with_sources(&error)))?;
        let (mut content, mut complaint) = (String::new(), String::new());
        let (mut stdout, mut stderr) = (child.stdout().take(), child.stderr().take());
        let (read, _) = tokio::join!(
            async {
                if let Some(out) = &mut stdout { out.read_to_string(&mut content).await } else { Ok(0) }
            },
            async {
                if let Some(err) = &mut stderr { err.read_to_string(&mut complaint).await } else { Ok(0) }
            },
        );
        let content = SecretString::from(content);
        read.map_err(|error| local(context(), error))?;
        let status = child.wait().await.map_err(|error| local(context(), with_sources(&error)))?;
        if !status.success() {
            return Err(local(context(), complaint.trim()));
        }
        Ok(content)
    }

    fn failed(&self, connected: &Connected, script: &Script, status: i32, tail: Vec<String>) -> RemoteError {
        let node = connected.host.node.clone();
        let log = self.log(&node).display().to_string();
        RemoteError::Failed { phase: script.phase.to_owned(), status, tail, log, node }
    }
}

/// Takes the script from stdin into a root-only file on a tmpfs, runs it, and deletes it.
fn carrier(phase: &str) -> [String; 3] {
    let file = format!("/run/kubestrap/{phase}.sh");
    let carry = format!(
        "mkdir -p -m 0700 /run/kubestrap && (umask 077 && cat >{file}) && bash {file} </dev/null 2>&1; \
         status=$?; rm -f {file}; exit $status"
    );
    ["bash".to_owned(), "-c".to_owned(), carry]
}

/// The words as one remote command line, through sudo where the login is not root's.
fn as_root(user: &str, words: &[impl AsRef<str>]) -> String {
    let sudo = if user == "root" { "" } else { "sudo -n -- " };
    let quoted: Vec<String> = words.iter().map(|word| crate::script::quoted(word.as_ref())).collect();
    format!("{sudo}{}", quoted.join(" "))
}

/// A node's log: everything that its phases said, with the time (UTC) of each line. Mode 0600.
struct Log<'a> {
    file: std::fs::File,
    path: &'a Path,
}

impl<'a> Log<'a> {
    fn open(path: &'a Path) -> Result<Self, RemoteError> {
        let opened = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        Ok(Self { file: opened.map_err(|error| local(path.display(), error))?, path })
    }

    fn line(&mut self, line: &str) -> Result<(), RemoteError> {
        let now = OffsetDateTime::now_utc().format(&CLOCK).unwrap_or_default();
        self.file
            .write_all(format!("{now} {line}\n").as_bytes())
            .map_err(|error| local(self.path.display(), error))
    }
}
