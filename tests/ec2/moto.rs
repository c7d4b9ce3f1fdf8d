//! A moto server: an EC2 mock by other people, from the Python packages.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// A running server; it dies with this value.
pub struct Moto {
    _process: Child,
    pub endpoint: String,
}

impl Moto {
    /// Starts a server on a port that is free and waits until it says where it listens.
    pub async fn start() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let venv =
            Command::new(root.join("tests/tools/venv.sh")).stderr(Stdio::inherit()).output().await.unwrap();
        assert!(venv.status.success(), "the Python environment could not be made");
        let venv = String::from_utf8(venv.stdout).unwrap();
        let mut process = Command::new(Path::new(venv.trim()).join("bin/moto_server"))
            .args(["-H", "127.0.0.1", "-p", "0"])
            .env("PYTHONUNBUFFERED", "1")
            .env("MOTO_EC2_LOAD_DEFAULT_AMIS", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        let endpoint = loop {
            let line = lines.next_line().await.unwrap();
            let line = line.unwrap_or_else(|| panic!("moto ended before it listened: {seen:?}"));
            if let Some((_, address)) = line.split_once("Running on ") {
                break address.trim().to_owned();
            }
            seen.push(line);
        };
        // A full pipe would stop the server; what it says of its own failures is kept.
        let name = endpoint.rsplit(':').next().unwrap_or_default();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("moto-{name}.log"));
        let mut log = tokio::fs::File::create(path).await.unwrap();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = log.write_all(format!("{line}\n").as_bytes()).await;
            }
        });
        Self { _process: process, endpoint }
    }
}
