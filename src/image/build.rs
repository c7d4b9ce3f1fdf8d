//! Static binaries from cargo, for a platform that need not be this machine's.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::Command;

use super::Platform;

/// How much of cargo's output an error shows.
const LAST_LINES: usize = 20;

/// Hears what cargo says, a line at a time.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Why there is no binary.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The source is not a package.
    #[error("{} does not name a package: {detail}", manifest.display())]
    Manifest {
        /// The manifest that was read.
        manifest: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// cargo is not there.
    #[error("cannot run cargo: {source}")]
    NoCargo {
        /// What the system said.
        source: io::Error,
    },
    /// cargo's output could not be read.
    #[error("lost cargo's output: {source}")]
    Output {
        /// What the system said.
        source: io::Error,
    },
    /// Rust's standard library for the target is not installed.
    #[error("no standard library for {} is installed, which {platform} needs", platform.target())]
    TargetMissing {
        /// The platform.
        platform: Platform,
    },
    /// cargo failed.
    #[error("cargo could not build {} for {platform} ({status}):\n{}", packages.join(", "), last_lines.join("\n"))]
    Failed {
        /// The packages.
        packages: Vec<String>,
        /// The platform.
        platform: Platform,
        /// How cargo ended.
        status: String,
        /// The end of what it said.
        last_lines: Vec<String>,
    },
    /// cargo built the package, and there is no binary of that name in it.
    #[error("package {package} has no binary called {package}")]
    NoBinary {
        /// The package.
        package: String,
    },
}

impl BuildError {
    /// What to do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Manifest { .. } => {
                "set source to the directory of a package in this workspace, as in services/marketplace"
                    .to_owned()
            }
            Self::NoCargo { .. } => "install Rust with rustup (https://rustup.rs)".to_owned(),
            Self::Output { .. } => "run the same command again".to_owned(),
            Self::TargetMissing { platform } => format!("rustup target add {}", platform.target()),
            Self::Failed { packages, platform, .. } => {
                let packages: String = packages.iter().map(|package| format!(" -p {package}")).collect();
                format!(
                    "see it whole with `cargo build --locked --release{packages} --target {}`",
                    platform.target()
                )
            }
            Self::NoBinary { package } => format!("add src/main.rs, or a [[bin]] with name = \"{package}\""),
        }
    }
}

/// The name of the package in a source directory, such as `services/marketplace`.
pub fn package_name(workspace: &Path, source: &str) -> Result<String, BuildError> {
    #[derive(Deserialize)]
    struct Manifest {
        package: Package,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
    }
    let manifest = workspace.join(source).join("Cargo.toml");
    let read = std::fs::read_to_string(&manifest).map_err(|error| error.to_string());
    let parsed =
        read.and_then(|text| toml::from_str::<Manifest>(&text).map_err(|error| error.message().to_owned()));
    match parsed {
        Ok(parsed) => Ok(parsed.package.name),
        Err(detail) => Err(BuildError::Manifest { manifest, detail }),
    }
}

/// Builds one package for a platform; gives the binary's path.
pub async fn compile(
    workspace: &Path,
    package: &str,
    platform: Platform,
    progress: Progress<'_>,
) -> Result<PathBuf, BuildError> {
    let mut built = compile_all(workspace, &[package], platform, progress).await?;
    built.remove(package).ok_or_else(|| BuildError::NoBinary { package: package.to_owned() })
}

/// Builds several packages for a platform in one call of cargo, which then compiles what they
/// share once and all of them at a time; gives the binaries' paths by package.
pub async fn compile_all(
    workspace: &Path,
    packages: &[&str],
    platform: Platform,
    progress: Progress<'_>,
) -> Result<BTreeMap<String, PathBuf>, BuildError> {
    if !workspace.join("Cargo.toml").is_file() {
        let detail = "there is no such file".to_owned();
        return Err(BuildError::Manifest { manifest: workspace.join("Cargo.toml"), detail });
    }
    let mut command = Command::new("cargo");
    command.args([
        "build",
        "--locked",
        "--release",
        "--message-format=json-render-diagnostics",
        "--color=never",
    ]);
    command.args(["--target", platform.target()]);
    command.args(packages.iter().flat_map(|package| ["-p", package]));
    command.current_dir(workspace).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    let mut child = command.spawn().map_err(|source| BuildError::NoCargo { source })?;

    let (messages, said) = (child.stdout.take(), child.stderr.take());
    let found = async {
        let mut found = BTreeMap::new();
        let mut lines = lines(messages)?;
        while let Some(line) = lines.next_line().await? {
            if let Some((name, path)) = artifact(&line)
                && packages.contains(&name.as_str())
            {
                found.insert(name, path);
            }
        }
        io::Result::Ok(found)
    };
    let told = async {
        let mut last = VecDeque::new();
        let mut lines = lines(said)?;
        while let Some(line) = lines.next_line().await? {
            progress(&line);
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(line);
        }
        io::Result::Ok(Vec::from(last))
    };
    let (found, last_lines, status) =
        tokio::try_join!(found, told, child.wait()).map_err(|source| BuildError::Output { source })?;

    if !status.success() {
        if target_is_missing(workspace, platform).await {
            return Err(BuildError::TargetMissing { platform });
        }
        let packages = packages.iter().map(|&package| package.to_owned()).collect();
        return Err(BuildError::Failed { packages, platform, status: status.to_string(), last_lines });
    }
    match packages.iter().find(|&&package| !found.contains_key(package)) {
        Some(&package) => Err(BuildError::NoBinary { package: package.to_owned() }),
        None => Ok(found),
    }
}

fn lines<R: AsyncRead + Unpin>(pipe: Option<R>) -> io::Result<Lines<BufReader<R>>> {
    let pipe = pipe.ok_or_else(|| io::Error::other("cargo's output is not a pipe"))?;
    Ok(BufReader::new(pipe).lines())
}

/// The binary that one of cargo's messages tells of.
fn artifact(line: &str) -> Option<(String, PathBuf)> {
    #[derive(Deserialize)]
    struct Message {
        reason: String,
        target: Option<Target>,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
        kind: Vec<String>,
    }
    let message: Message = serde_json::from_str(line).ok()?;
    let target = message.target.filter(|target| target.kind.iter().any(|kind| kind == "bin"))?;
    (message.reason == "compiler-artifact").then_some((target.name, message.executable?))
}

/// Asks rustc where the target's standard library is, and looks. Cargo's own words for this
/// differ by version.
async fn target_is_missing(workspace: &Path, platform: Platform) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", platform.target()]).current_dir(workspace);
    let Ok(output) = rustc.stdin(Stdio::null()).output().await else { return false };
    let path = String::from_utf8_lossy(&output.stdout);
    output.status.success() && !Path::new(path.trim()).is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_names_its_package() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(package_name(workspace, "services/recommendations").unwrap(), "recommendations");
        let error = package_name(workspace, "services/nothing").unwrap_err();
        assert!(error.to_string().contains("services/nothing/Cargo.toml"), "{error}");
    }

    #[test]
    fn only_a_binary_counts() {
        let message = |kind: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"kind":["{kind}"],"name":"a"}},"executable":"/t/a"}}"#
            )
        };
        assert_eq!(artifact(&message("bin")), Some(("a".to_owned(), PathBuf::from("/t/a"))));
        assert_eq!(artifact(&message("custom-build")), None);
        assert_eq!(artifact(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(artifact("hello"), None);
    }

    fn package(manifest: &str, main: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("Cargo.toml"), manifest).unwrap();
        std::fs::create_dir(directory.path().join("src")).unwrap();
        std::fs::write(directory.path().join("src/main.rs"), main).unwrap();
        std::fs::write(
            directory.path().join("Cargo.lock"),
            "version = 4\n\n[[package]]\nname = \"it\"\nversion = \"0.1.0\"\n",
        )
        .unwrap();
        directory
    }

    const MANIFEST: &str = "[package]\nname = \"it\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";

    #[tokio::test]
    async fn a_build_gives_a_static_binary_for_each_platform() {
        let workspace = package(MANIFEST, "fn main() {}");
        std::fs::create_dir(workspace.path().join(".cargo")).unwrap();
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cargo/config.toml");
        std::fs::copy(ours, workspace.path().join(".cargo/config.toml")).unwrap();
        for platform in Platform::ALL {
            let binary = compile(workspace.path(), "it", platform, &|_| {}).await.unwrap();
            super::super::elf::check("it", platform, &std::fs::read(binary).unwrap()).unwrap();
        }
    }

    #[tokio::test]
    async fn a_failed_build_shows_what_the_compiler_said() {
        let workspace = package(MANIFEST, "fn main() { nonsense }");
        let heard = std::sync::Mutex::new(Vec::new());
        let hear = |line: &str| heard.lock().unwrap().push(line.to_owned());
        let error = compile(workspace.path(), "it", Platform::LinuxAmd64, &hear).await.unwrap_err();
        assert!(error.to_string().contains("cannot find value `nonsense`"), "{error}");
        assert!(
            error
                .remedy()
                .contains("cargo build --locked --release -p it --target x86_64-unknown-linux-musl")
        );
        assert!(heard.into_inner().unwrap().iter().any(|line| line.contains("Compiling it")));
    }

    #[tokio::test]
    async fn a_package_that_is_not_there_is_named() {
        let workspace = package(MANIFEST, "fn main() {}");
        let error = compile(workspace.path(), "other", Platform::LinuxAmd64, &|_| {}).await.unwrap_err();
        assert!(
            matches!(&error, BuildError::Failed { .. }) && error.to_string().contains("other"),
            "{error}"
        );
        let nowhere = workspace.path().join("nowhere");
        let error = compile(&nowhere, "it", Platform::LinuxAmd64, &|_| {}).await.unwrap_err();
        assert!(matches!(error, BuildError::Manifest { .. }), "{error}");
    }
}
