//! How the end-to-end run calls kubestrap and looks at what it did.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A kubestrap with a state folder of its own.
pub struct Run {
    pub home: tempfile::TempDir,
    spec: PathBuf,
}

/// What a command did.
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Run {
    pub fn new() -> Self {
        let spec = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/lab.toml");
        Self { home: tempfile::tempdir().unwrap(), spec }
    }

    /// The same cluster by a spec in which `from` is `to`.
    pub fn with(&self, from: &str, to: &str, args: &[&str]) -> Answer {
        let text = std::fs::read_to_string(&self.spec).unwrap();
        assert!(text.contains(from), "the spec holds {from:?}");
        let path = self.home.path().join("other.toml");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        self.kubestrap(&[args, &["--file", path.to_str().unwrap()]].concat())
    }

    pub fn environment(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("XDG_STATE_HOME", self.home.path().to_owned()),
            ("KUBECONFIG", self.home.path().join("user-kubeconfig")),
            ("KUBESTRAP_FILE", self.spec.clone()),
        ]
    }

    pub fn kubestrap(&self, args: &[&str]) -> Answer {
        let start = Instant::now();
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_kubestrap"))
            .args(args)
            .envs(self.environment())
            .output()
            .unwrap();
        let answer = Answer {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            took: start.elapsed(),
        };
        println!(
            "e2e: {:6.1} s  exit {}  kubestrap {}",
            answer.took.as_secs_f64(),
            answer.code,
            args.join(" ")
        );
        answer
    }
}

impl Answer {
    /// The answer, which must have this exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// Stops the lab when the test ends, however it ends.
pub struct Lab<'a>(pub &'a Run);

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        self.0.kubestrap(&["lab", "stop"]);
    }
}

pub fn docker(args: &[&str]) -> String {
    let output = Command::new("docker").args(args).output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

pub fn get(url: &str) -> String {
    let output = Command::new("curl").args(["-sS", "--max-time", "10", url]).output().unwrap();
    assert!(output.status.success(), "curl {url}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The Python environment of the outside judges.
pub fn venv() -> String {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tools/venv.sh");
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
