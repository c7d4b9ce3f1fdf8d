//! The command line's contract: exit codes, exact error texts, data on stdout and the rest on stderr.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// kubestrap in an empty home, without credentials and without a terminal.
fn kubestrap(home: &Path, args: &[&str]) -> Output {
    command(home, args).output().unwrap()
}

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubestrap"));
    command
        .args(args)
        .current_dir(home)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home)
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn fails(output: &Output, code: i32, stderr: &str) {
    assert_eq!(text(&output.stderr), stderr);
    assert_eq!(text(&output.stdout), "", "a failure leaves stdout empty");
    assert_eq!(output.status.code(), Some(code));
}

#[test]
fn a_missing_spec_is_wrong_usage_and_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    for command in [&["plan"][..], &["up", "--yes"], &["down", "--yes"], &["status"], &["diagnose", "dns"]] {
        fails(
            &kubestrap(home.path(), command),
            64,
            "error[KS-SPEC-MISSING]: the spec cluster.toml cannot be read: No such file or directory (os error 2)\n\
             \x20 remedy: name one with --file, or write one: kubestrap init\n",
        );
    }
}

#[test]
fn init_writes_a_spec_that_validates_and_never_overwrites_one() {
    let home = tempfile::tempdir().unwrap();
    for (provider, next) in [("lab", "up"), ("aws", "plan")] {
        let file = format!("{provider}.toml");
        let wrote = kubestrap(home.path(), &["init", "--provider", provider, "-f", &file]);
        assert_eq!(text(&wrote.stdout), format!("wrote {file}; next: kubestrap {next}\n"));
        let valid = kubestrap(home.path(), &["validate", "-f", &file]);
        assert_eq!(text(&valid.stdout), format!("{file} is valid: cluster books, 3 nodes, 2 services\n"));
        fails(
            &kubestrap(home.path(), &["init", "-f", &file]),
            64,
            &format!(
                "error[KS-INIT-EXISTS]: {file} exists and was left as it is\n  remedy: name another with --file\n"
            ),
        );
    }
}

#[test]
fn a_spec_of_a_newer_schema_is_named_as_such_and_nothing_else_is_said() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("cluster.toml"), "schema = \"kubestrap/v9\"\nname = \"B\"\n").unwrap();
    let mistake = "cluster.toml:1:10: `schema` is \"kubestrap/v9\", which is newer than this kubestrap: 0.1.0 \
                   understands kubestrap/v1 [KS-SPEC-SCHEMA]";
    let remedy = "  use a newer kubestrap, or write the spec for schema = \"kubestrap/v1\"";
    let stderr = format!("error[KS-SPEC]: cluster.toml has 1 mistake\n{mistake}\n{remedy}\n");
    fails(&kubestrap(home.path(), &["validate"]), 64, &stderr);
}

#[test]
fn an_endpoint_that_is_down_is_told_with_the_lab_command_that_starts_it() {
    let home = tempfile::tempdir().unwrap();
    let spec = "name = \"books\"\nkubernetes = \"1.36.3\"\n[provider]\nkind = \"lab\"\nendpoint = \"http://127.0.0.1:9\"\n";
    std::fs::write(home.path().join("cluster.toml"), spec).unwrap();
    let output = kubestrap(home.path(), &["plan"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.starts_with("error[KS-EC2-UNREACHABLE]: nothing answers at http://127.0.0.1:9"),
        "{stderr}"
    );
    assert!(stderr.ends_with("  remedy: kubestrap lab start\n"), "{stderr}");
}

#[test]
fn an_engine_that_is_missing_down_or_elsewhere_is_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("engine.sock");
    let start =
        |host: &str| command(home.path(), &["lab", "start"]).env("DOCKER_HOST", host).output().unwrap();
    let unix = format!("unix://{}", socket.display());
    fails(
        &start(&unix),
        1,
        &format!(
            "error[KS-LAB-ENGINE-MISSING]: no Docker Engine here: {} does not exist\n  remedy: install Docker Engine \
             (docs.docker.com/engine/install)\n",
            socket.display()
        ),
    );
    // A socket that its engine left behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let down = start(&unix);
    let stderr = text(&down.stderr);
    assert!(stderr.starts_with("error[KS-LAB-ENGINE-DOWN]: the Docker Engine does not answer: "), "{stderr}");
    assert!(
        stderr.ends_with(
            "  remedy: start it (systemctl start docker), and let this user use it (group docker, or sudo)\n"
        ),
        "{stderr}"
    );
    assert_eq!(down.status.code(), Some(1));
    fails(
        &start("tcp://127.0.0.1:2375"),
        1,
        "error[KS-LAB-ENGINE-REMOTE]: DOCKER_HOST is tcp://127.0.0.1:2375; the lab needs an engine of this machine, by \
         its socket\n  remedy: unset DOCKER_HOST, or set it to unix:///PATH of a rootful engine here\n",
    );
}

#[test]
fn missing_credentials_have_an_exit_code_of_their_own() {
    let home = tempfile::tempdir().unwrap();
    kubestrap(home.path(), &["init", "--provider", "aws"]);
    let output = kubestrap(home.path(), &["plan"]);
    assert_eq!(output.status.code(), Some(4));
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with("error[KS-CRED]: EC2 did not accept the credentials: there are none"),
        "{stderr}"
    );
}

#[test]
fn up_and_down_without_a_terminal_refuse_and_never_hang() {
    let home = tempfile::tempdir().unwrap();
    kubestrap(home.path(), &["init"]);
    fails(
        &kubestrap(home.path(), &["up"]),
        64,
        "error[KS-CONSENT]: nobody is here to say yes: this is not a terminal\n  remedy: say it beforehand: --yes\n",
    );
}

#[test]
fn failures_are_json_on_request_and_stay_off_stdout() {
    let home = tempfile::tempdir().unwrap();
    for args in [&["plan", "-o", "json"][..], &["no-such-command", "-o", "json"]] {
        let output = kubestrap(home.path(), args);
        assert_eq!(output.status.code(), Some(64));
        assert_eq!(text(&output.stdout), "");
        let document: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!(document["schema"], "kubestrap/v1");
        assert!(document["error"]["code"].as_str().unwrap().starts_with("KS-"));
        assert_eq!(document["error"]["exit_code"], 64);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let home = tempfile::tempdir().unwrap();
    let script = format!(
        "'{}' completions bash | head -n 1; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_kubestrap")
    );
    let output = Command::new("bash").args(["-c", &script]).current_dir(home.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}
