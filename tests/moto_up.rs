//! The EC2 part of `up`, and `down`, run unchanged against a second, independent EC2: moto's server.
//!
//! Its instances never answer SSH. `up` must say so in one clear error, the next `up` must go on from there and
//! launch nothing again, and `down` must leave nothing. moto hands out public addresses of the real internet, so
//! everything runs in a network namespace that has a loopback and nothing else.

use std::path::PathBuf;
use std::process::Command;

const SPEC: &str = r#"
name = "second"
kubernetes = "1.36.3"

[provider]
kind = "aws"
region = "ap-northeast-1"
endpoint = "http://127.0.0.1:5999"
image = "ami-0a95d19e4d2b5a6d0"

[network]
admin_cidrs = ["203.0.113.7/32"]

[ssh]
timeout_seconds = 5
"#;

/// What runs inside the namespace: moto, awaited by its own health page, then the commands.
const SCRIPT: &str = r#"
set -u
ip link set lo up
"$VENV/bin/moto_server" -H 127.0.0.1 -p 5999 > "$WORK/moto.log" 2>&1 &
moto=$!
trap 'kill $moto' EXIT
for _ in $(seq 150); do
    curl -sf http://127.0.0.1:5999/moto-api/ > /dev/null && break
    kill -0 $moto || { cat "$WORK/moto.log"; exit 99; }
    sleep 0.1
done
image=$("$VENV/bin/python3" -c '
import boto3
ec2 = boto3.client("ec2", endpoint_url="http://127.0.0.1:5999", region_name="ap-northeast-1")
images = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"]
print(sorted(image["ImageId"] for image in images if image["RootDeviceType"] == "ebs")[0])')
sed -i "s/ami-[0-9a-f]*/$image/" "$KUBESTRAP_FILE"
step() {
    echo "== $*"
    "$KUBESTRAP" "$@"
    echo "== exit $?"
}
step up --yes
step up --yes
step status
step down --yes
step plan --detailed-exitcode
"#;

#[test]
fn ups_ec2_part_is_resumable_and_down_leaves_nothing_on_a_second_ec2() {
    let work = tempfile::tempdir().unwrap();
    let spec = work.path().join("cluster.toml");
    std::fs::write(&spec, SPEC).unwrap();
    let venv =
        Command::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tools/venv.sh")).output().unwrap();
    assert!(venv.status.success(), "{}", String::from_utf8_lossy(&venv.stderr));
    let run = Command::new("unshare")
        .args(["--net", "--map-root-user", "bash", "-c", SCRIPT])
        .env("VENV", String::from_utf8_lossy(&venv.stdout).trim())
        .env("WORK", work.path())
        .env("KUBESTRAP", env!("CARGO_BIN_EXE_kubestrap"))
        .env("KUBESTRAP_FILE", &spec)
        .env("XDG_STATE_HOME", work.path())
        .env("KUBECONFIG", work.path().join("kubeconfig"))
        .env("AWS_ACCESS_KEY_ID", "testing")
        .env("AWS_SECRET_ACCESS_KEY", "testing")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    let parts: Vec<&str> = out.split("== exit ").collect();
    assert_eq!(parts.len(), 6, "five commands ran:\n{out}\n{err}");
    let code = |index: usize| parts[index + 1].lines().next().unwrap_or_default();

    assert_eq!(code(0), "6", "the first up is partly done:\n{err}");
    assert_eq!(code(1), "6", "so is the second:\n{err}");
    assert_eq!(err.matches("error[KS-SSH-SILENT]").count(), 2, "each says so once:\n{err}");
    assert!(err.contains("did not answer on SSH within 5 s"), "{err}");
    assert!(err.contains("and goes on from here"), "{err}");
    assert_eq!(err.matches("done  launch/").count(), 2, "two pools were launched, once each:\n{err}");
    assert!(parts[2].contains("partial"), "status knows it is not finished:\n{out}");
    assert_eq!(code(3), "0", "down removes everything:\n{out}\n{err}");
    assert!(parts[3].contains("none left"), "{out}");
    assert_eq!(code(4), "2", "and the plan starts over:\n{out}\n{err}");
}
