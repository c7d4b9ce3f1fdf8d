//! What goes wrong with nodes, their sources and their keys: one clear error each, nothing lost, and the next run
//! goes on from there.

use std::path::PathBuf;
use std::process::Command;

use crate::run::{Run, docker, venv};

/// The exit code of a run that got part of the way.
const PARTIAL: i32 = 6;

/// Somebody's package repository, registry and machine fail, one after the other.
pub fn on_the_way_up(run: &Run) {
    let nowhere = run.with(":8080/apt", ":8080/nowhere", &["up", "--yes"]).exits(PARTIAL);
    for text in ["error[KS-NODE-PHASE]: ", "/nowhere", "404", "it goes on from here"] {
        assert!(nowhere.stderr.contains(text), "{text:?} is not in {}", nowhere.stderr);
    }
    let machines = machines(run);
    assert_eq!(machines.len(), 3, "the instances stay");

    // Calico's images are not where this mirror looks for them.
    let mirror = "\"quay.io\" = \"http://198.18.0.2:5000\"";
    let missing =
        run.with(mirror, "\"quay.io\" = \"http://198.18.0.2:8080\"", &["up", "--yes"]).exits(PARTIAL);
    for text in ["error[KS-NODE-PHASE]: ", "quay.io/calico/node:v3.31.0", "it goes on from here"] {
        assert!(missing.stderr.contains(text), "{text:?} is not in {}", missing.stderr);
    }

    // A machine that hangs.
    let (_, hung) = machines.iter().find(|(node, _)| node == "general-2").unwrap();
    docker(&["pause", hung]);
    let silent = run.with("[calico]", "[ssh]\ntimeout_seconds = 5\n\n[calico]", &["up", "--yes"]);
    docker(&["unpause", hung]);
    let silent = silent.exits(PARTIAL);
    assert!(
        silent.stderr.contains("error[KS-SSH-SILENT]: connect/general-2: general-2 (198.18.0.")
            && silent.stderr.contains(") did not answer on SSH within 5 s: ")
            && silent.stderr.contains("  | its console: "),
        "{}",
        silent.stderr
    );
    assert_eq!(self::machines(run), machines, "no instance was made twice or lost");
}

/// Somebody else answers at a node's address; a node leaves its group; a node dies.
pub fn of_a_ready_cluster(run: &Run) {
    let machines = machines(run);
    let (_, container) = machines.iter().find(|(node, _)| node == "general-2").unwrap();
    let key = "/etc/ssh/ssh_host_ed25519_key";
    let on_node = |script: &str| docker(&["exec", container, "bash", "-euc", script]);
    on_node(&format!(
        "cp {key} {key}.kept; rm {key}; ssh-keygen -q -t ed25519 -N '' -f {key}; systemctl restart ssh"
    ));
    let impostor = run.kubestrap(&["ssh", "general-2", "--", "true"]).exits(1);
    on_node(&format!("mv {key}.kept {key}; systemctl restart ssh"));
    assert!(
        impostor.stderr.contains("error[KS-SSH-HOST-KEY]: general-2 (198.18.0.")
            && impostor.stderr.contains("presents a host key that is not the pinned one (SHA256:"),
        "{}",
        impostor.stderr
    );
    run.kubestrap(&["ssh", "general-2", "--", "true"]).exits(0);

    let ec2 = |script: &str| {
        let status = Command::new(format!("{}/bin/python3", venv()))
            .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/instance.py"))
            .args(script.split(' '))
            .status()
            .unwrap();
        assert!(status.success(), "{script}");
    };
    // Out of its group: said, mended by a diagnosis and by `up` alike.
    for mend in [&["diagnose", "dns", "--fix"][..], &["up", "--yes"]] {
        ec2("leave-groups general-2");
        let faulty = run.kubestrap(&["diagnose", "dns", "-o", "json"]).exits(3).json();
        let codes: Vec<&str> =
            faulty["findings"].as_array().unwrap().iter().map(|it| it["code"].as_str().unwrap()).collect();
        assert_eq!(codes, ["KS-NET-MEMBERSHIP"], "{faulty}");
        run.kubestrap(&["plan", "--detailed-exitcode"]).exits(2);
        run.kubestrap(mend).exits(0);
        run.kubestrap(&["plan", "--detailed-exitcode"]).exits(0);
    }
    assert_eq!(run.kubestrap(&["diagnose", "dns", "-o", "json"]).exits(0).json()["verdict"], "healthy");

    // Dead for good: said, and the next `up` puts another in its place.
    ec2("terminate general-2");
    let faulty = run.kubestrap(&["diagnose", "dns", "-o", "json"]).exits(3);
    assert!(faulty.stdout.contains("general-2"), "{}", faulty.stdout);
    run.kubestrap(&["up", "--yes"]).exits(0);
    assert_eq!(run.kubestrap(&["diagnose", "dns", "-o", "json"]).exits(0).json()["verdict"], "healthy");
    let after = self::machines(run);
    assert!(
        after[..2] == machines[..2] && after[2] != machines[2],
        "one was replaced: {machines:?}, {after:?}"
    );
}

/// Node names with the containers that are their instances, in the order of the names.
fn machines(run: &Run) -> Vec<(String, String)> {
    let status = run.kubestrap(&["status", "-o", "json"]).exits(0).json();
    let of = |node: &serde_json::Value| {
        let label = format!("label=kubestrap.instance={}", node["instance_id"].as_str().unwrap());
        (node["name"].as_str().unwrap().to_owned(), docker(&["ps", "-q", "--filter", &label]))
    };
    status["nodes"].as_array().unwrap().iter().map(of).collect()
}
