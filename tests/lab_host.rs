//! What this machine can lack for a lab: real engines of the wrong kind, and a right one without room, range or
//! port. Each must end in one clear error, before anything is made.
//!
//! Needs root: every case has an engine of its own in namespaces of its own, so nothing here touches the
//! machine's.

use std::path::Path;
use std::process::Command;

/// An engine of its own, and what is wrong around it.
struct Bench {
    /// Size of the disk that holds its data.
    disk: &'static str,
    /// More of its flags.
    flags: &'static str,
    /// What is done first, in the bench's namespaces.
    before: &'static str,
    /// Files of the bundle.
    bundle: &'static [&'static str],
}

const WHOLE: &[&str] = &["bundle.json", "node.tar", "calico.yaml", "apt/dists", "images/index.json"];
/// All is well, as far as a start comes without importing an image.
const SOUND: Bench = Bench { disk: "20g", flags: "", before: ":", bundle: WHOLE };

/// Starts the engine, then runs kubestrap with its arguments; ends the engine whatever happens.
const SCRIPT: &str = r#"
dir=$1 disk=$2 flags=$3 before=$4
shift 4
mount -t tmpfs -o "size=$disk" tmpfs "$dir/disk"
ip link set lo up
# A user namespace of the engine's needs ids; a rootless engine is told by its launcher, and looks for its proxy.
printf 'nobody:100000:65536\nnogroup:100000:65536\n' > "$dir/ids"
touch /etc/subuid /etc/subgid
mount --bind "$dir/ids" /etc/subuid
mount --bind "$dir/ids" /etc/subgid
mkdir "$dir/bin" && ln -s /bin/true "$dir/bin/rootlesskit-docker-proxy"
PATH=$PATH:/usr/sbin:/sbin:$dir/bin
case $flags in *--rootless*) export ROOTLESSKIT_STATE_DIR=$dir XDG_RUNTIME_DIR=$dir ;; esac
eval "$before"
dockerd --data-root "$dir/disk/data" --exec-root "$dir/exec" --pidfile "$dir/pid" --host "unix://$dir/engine.sock" \
    --bridge=none --iptables=false --ip6tables=false $flags > "$dir/log" 2>&1 &
engine=$!
trap 'kill "$engine" && wait "$engine"' EXIT
for _ in $(seq 300); do
    docker --host "unix://$dir/engine.sock" version > /dev/null 2>&1 && ready=yes && break
    sleep 0.1
done
[ -n "${ready:-}" ] || { cat "$dir/log" >&2; exit 99; }
DOCKER_HOST=unix://$dir/engine.sock "$@"
"#;

impl Bench {
    /// The exit code and the error of `kubestrap lab start`, with the bench's own folder as DIR.
    fn start(&self, more: &[&str]) -> (i32, String) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("disk")).unwrap();
        let bundle = dir.path().join("bundle");
        for file in self.bundle {
            let path = bundle.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}").unwrap();
        }
        let output = Command::new("unshare")
            .args(["--mount", "--net", "bash", "-c", SCRIPT, "bench"])
            .arg(dir.path())
            .args([
                self.disk,
                self.flags,
                self.before,
                env!("CARGO_BIN_EXE_kubestrap"),
                "lab",
                "start",
                "--bundle",
            ])
            .arg(&bundle)
            .args(more)
            .env("HOME", dir.path())
            .output()
            .unwrap();
        (output.status.code().unwrap_or(-1), anonymous(&output.stderr, dir.path()))
    }

    #[track_caller]
    fn refuses(&self, more: &[&str], error: &str) {
        assert_eq!(self.start(more), (1, error.to_owned()));
    }
}

fn anonymous(stderr: &[u8], dir: &Path) -> String {
    String::from_utf8_lossy(stderr).replace(&dir.display().to_string(), "DIR")
}

#[test]
#[ignore = "needs root, for an engine of its own: make unit"]
fn a_rootless_engine_is_told_as_such() {
    Bench { flags: "--rootless --userland-proxy=false", ..SOUND }.refuses(
        &[],
        "error[KS-LAB-ROOTLESS]: the Docker Engine is rootless; the lab needs a rootful one\n\
         \x20 remedy: use the rootful Docker Engine of your distribution or of docker.com\n",
    );
}

#[test]
#[ignore = "needs root, for an engine of its own: make unit"]
fn an_engine_in_a_user_namespace_is_told_as_such() {
    Bench { flags: "--userns-remap=nobody:nogroup", ..SOUND }.refuses(
        &[],
        "error[KS-LAB-ROOTLESS]: the Docker Engine is one with user namespaces; the lab needs a rootful one\n\
         \x20 remedy: use the rootful Docker Engine of your distribution or of docker.com\n",
    );
}

#[test]
#[ignore = "needs root, for an engine of its own: make unit"]
fn a_bundle_that_was_not_built_to_its_end_names_what_is_missing() {
    Bench { bundle: &WHOLE[..3], ..SOUND }.refuses(
        &[],
        "error[KS-LAB-BUNDLE-INCOMPLETE]: the bundle at DIR/bundle is not complete: apt/dists is missing\n\
         \x20 remedy: build it (make bundle), or name another with --bundle\n",
    );
}

#[test]
#[ignore = "needs root, for an engine of its own: make unit"]
fn a_disk_without_room_is_told_before_it_is_filled() {
    Bench { disk: "3g", ..SOUND }.refuses(
        &[],
        "error[KS-LAB-DISK]: 2 GiB are free at DIR/disk/data; the lab needs 8\n\
         \x20 remedy: make room: docker system df shows what takes it\n",
    );
}

#[test]
#[ignore = "needs root, for an engine of its own: make unit"]
fn a_range_that_this_machine_has_a_route_in_is_told_with_the_link_that_has_it() {
    let vpn = "ip link add vpn0 type veth peer name far0; ip address add 198.18.7.1/16 dev vpn0; ip link set vpn0 up";
    Bench { before: vpn, ..SOUND }.refuses(
        &[],
        "error[KS-LAB-RANGE-TAKEN]: the range 198.18.0.0/24 is in use by vpn0 (198.18.0.0/16)\n\
         \x20 remedy: choose another range with kubestrap lab start --range\n",
    );
}

#[test]
#[ignore = "needs root, for an engine of its own: make unit"]
fn a_port_that_somebody_listens_on_is_told_by_its_number() {
    let listener = "python3 -m http.server --bind 127.0.0.1 4799 > $dir/http 2>&1 & listener=$!
        until (exec 3<> /dev/tcp/127.0.0.1/4799) 2> /dev/null; do kill -0 $listener || exit 98; sleep 0.05; done";
    let bench = Bench { before: listener, ..SOUND };
    bench.refuses(
        &["--port", "4799"],
        "error[KS-LAB-PORT-TAKEN]: port 4799 of 127.0.0.1 is in use\n\
         \x20 remedy: choose another port with kubestrap lab start --port\n",
    );
    // The control: with another port it comes as far as the image, which this bundle only pretends to hold.
    let (code, error) = bench.start(&["--port", "4798"]);
    assert!(code == 1 && error.starts_with("error[KS-LAB-ENGINE]: the Docker Engine refused: "), "{error}");
}
