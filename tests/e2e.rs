//! The main job, end to end, on a lab of its own: real kubeadm, real Calico, real packets.
//!
//! One test, because its stages build on each other and the cluster takes a minute to make. Each stage says
//! what it proves; the first that does not hold fails the test, and the lab is stopped in any case.

// What it prints is the record of the run.
#![allow(clippy::print_stdout)]

#[path = "e2e/bad_days.rs"]
mod bad_days;
#[path = "e2e/run.rs"]
mod run;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use run::{Lab, Run, docker, get, venv};

/// What `timeout` exits with when time ran out: the packets were dropped, not refused.
const TIMED_OUT: i32 = 124;

#[test]
#[ignore = "needs the bundle and minutes: make e2e"]
fn e2e_the_main_job_from_one_spec_to_two_services_and_back_to_nothing() {
    assert_eq!(
        docker(&["ps", "-q", "--filter", "label=kubestrap.lab"]),
        "",
        "a lab is running on this machine; stop it first: kubestrap lab stop"
    );
    let run = Run::new();
    let lab = Lab(&run);
    let nothing = || {
        assert_eq!(docker(&["ps", "-aq", "--filter", "label=kubestrap.lab"]), "");
        assert_eq!(docker(&["volume", "ls", "-q", "--filter", "label=kubestrap.lab"]), "");
        assert_eq!(docker(&["network", "ls", "-q", "--filter", "label=kubestrap.lab"]), "");
        assert!(!Path::new("/sys/class/net/ks-lab0").exists(), "its bridge is gone");
    };
    let refused = run.kubestrap(&["up"]).exits(64);
    assert!(refused.stderr.contains("KS-CONSENT"), "{}", refused.stderr);
    nothing();

    // The lab is there for the cluster. What goes wrong on the way up is told, and what was reached is kept; then it goes on from there.
    bad_days::on_the_way_up(&run);
    assert!(Path::new("/sys/class/net/ks-lab0").exists(), "this is the lab's bridge");
    run.kubestrap(&["plan", "--detailed-exitcode"]).exits(2);
    run.kubestrap(&["up", "--yes"]).exits(0);

    // Deploy, and the page through every node.
    let deployed = run.kubestrap(&["deploy", "-o", "json"]).exits(0).json();
    let urls: Vec<String> = deployed["services"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|service| service["urls"].as_array().cloned().unwrap_or_default())
        .map(|url| url.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(urls.len(), 3, "the page answers through all three nodes: {deployed}");
    for url in &urls {
        let page = get(url);
        for text in [
            "Mystery books you may like",
            "Murder on the Orient Express",
            "The Hound of the Baskervilles",
            "The Maltese Falcon",
        ] {
            assert!(page.contains(text), "{url} lacks {text:?}: {page}");
        }
    }

    // Again: nothing to do, quickly, also when everything kept here is lost.
    let again = run.kubestrap(&["up", "--yes"]).exits(0);
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
    assert!(again.took < Duration::from_secs(5), "a second up took {:?}", again.took);
    let again = run.kubestrap(&["deploy", "-o", "json"]).exits(0).json();
    assert_eq!(again["changed"], 0, "a second deploy changes nothing");

    // What others build on.
    let status = run.kubestrap(&["status", "-o", "json"]).exits(0).json();
    assert_eq!(status["cluster"]["state"], "ready");
    assert_eq!(status["nodes"].as_array().unwrap().len(), 3);
    assert!(status["nodes"].as_array().unwrap().iter().all(|node| node["version"] == "v1.36.3"));
    let hostname = run.kubestrap(&["ssh", "general-1", "--", "hostname"]).exits(0);
    assert_eq!(hostname.stdout.trim(), "general-1");
    assert!(run.kubestrap(&["kubeconfig"]).exits(0).stdout.contains("client-certificate-data"));

    // Healthy, in under ten seconds.
    let healthy = run.kubestrap(&["diagnose", "dns", "-o", "json"]).exits(0);
    assert_eq!(healthy.json()["verdict"], "healthy");
    assert!(healthy.took < Duration::from_secs(10), "a healthy diagnosis took {:?}", healthy.took);

    // The incident: found, explained, mended, proven.
    run.kubestrap(&["lab", "break", "dns"]).exits(0);
    let faulty = run.kubestrap(&["diagnose", "dns", "-o", "json"]).exits(3).json();
    assert_eq!(faulty["verdict"], "faulty");
    let text = faulty["findings"].to_string();
    assert!(text.contains("4789") && text.contains("sg-"), "the finding names VXLAN and the group: {text}");
    assert!(text.contains("authorize-security-group-ingress"), "and the command that mends it: {text}");
    run.kubestrap(&["diagnose", "dns", "--fix"]).exits(0);
    assert_eq!(run.kubestrap(&["diagnose", "dns", "-o", "json"]).exits(0).json()["verdict"], "healthy");

    // Somebody else revokes and restores rules in other ways; the cause is right each time.
    let judged = Command::new(format!("{}/bin/python3", venv()))
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/revoke.py"))
        .arg(env!("CARGO_BIN_EXE_kubestrap"))
        .envs(run.environment())
        .output()
        .unwrap();
    println!("{}", String::from_utf8_lossy(&judged.stdout));
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));

    bad_days::of_a_ready_cluster(&run);

    // A node's own firewall decides nothing: flushing it opens nothing that the fabric closes.
    let status = run.kubestrap(&["status", "-o", "json"]).exits(0).json();
    let kubelet = format!(
        "timeout 3 bash -c 'exec 3<>/dev/tcp/{}/10250'",
        status["nodes"][2]["private_ip"].as_str().unwrap()
    );
    let knock = |from: &str, code: i32| run.kubestrap(&["ssh", from, "--", &kubelet]).exits(code);
    knock("control-plane-1", 0);
    knock("general-1", TIMED_OUT);
    for node in ["control-plane-1", "general-1", "general-2"] {
        run.kubestrap(&["ssh", node, "--", "sudo nft flush ruleset"]).exits(0);
    }
    knock("control-plane-1", 0);
    knock("general-1", TIMED_OUT);

    // The local files are a cache: without them the plan is still empty.
    std::fs::remove_dir_all(run.home.path().join("kubestrap")).unwrap();
    run.kubestrap(&["plan", "--detailed-exitcode"]).exits(0);

    // Down leaves nothing, the lab that was there for the cluster included; and again is no error.
    run.kubestrap(&["down", "--yes"]).exits(0);
    nothing();
    let again = run.kubestrap(&["down", "--yes"]).exits(0);
    assert_eq!(again.stdout, "nothing to do: the lab does not run, so there is no cluster books\n");

    // A lab that was started by hand stays until it is stopped by hand.
    run.kubestrap(&["lab", "start"]).exits(0);
    run.kubestrap(&["plan", "--detailed-exitcode"]).exits(2);
    run.kubestrap(&["down", "--yes"]).exits(0);
    assert_ne!(docker(&["ps", "-q", "--filter", "label=kubestrap.lab"]), "");
    drop(lab);
    nothing();
}
