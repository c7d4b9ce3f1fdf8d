//! The SSH adapter against a real sshd: one of our own on a loopback port, with its own keys.
//!
//! Needs Debian's openssh-server, and root or a user with sudo: phases run as root on a node.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kubestrap::ports::{Host, Line, Remote, RemoteError, Script};
use kubestrap::ssh::{Settings, Ssh};
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const NODE: &str = "general-1";

/// Every test's node is this machine, and a machine has one /run/kubestrap.
static MACHINE: Mutex<()> = Mutex::new(());

/// An sshd, the cluster's folder beside it, and what both must agree on.
struct Node {
    _machine: MutexGuard<'static, ()>,
    folder: TempDir,
    port: u16,
    sshd: Option<Child>,
}

impl Node {
    /// A node whose host key is the temporary one, and that lets the cluster's key in.
    fn launched() -> (Self, Ssh) {
        let mut node = Self {
            _machine: MACHINE.lock().unwrap_or_else(PoisonError::into_inner),
            folder: TempDir::new().unwrap(),
            port: free_port(),
            sshd: None,
        };
        let ssh = node.adapter();
        let (private, public) = ssh.ephemeral_host_key(&[NODE.to_owned()]).unwrap();
        node.give_host_key(private.expose_secret(), &public);
        fs::write(node.path("authorized_keys"), ssh.public_key()).unwrap();
        node.start();
        (node, ssh)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn adapter(&self) -> Ssh {
        self.adapter_with(Duration::from_secs(20))
    }

    fn adapter_with(&self, patience: Duration) -> Ssh {
        let host_key_path = self.path("host_key").display().to_string();
        Ssh::with(self.path("cluster"), Settings { port: self.port, patience, host_key_path }).unwrap()
    }

    fn host(&self) -> Host {
        Host { node: NODE.into(), address: IpAddr::V4(Ipv4Addr::LOCALHOST), user: output("id", &["-un"]) }
    }

    fn give_host_key(&self, private: &str, public: &str) {
        fs::write(self.path("host_key"), private).unwrap();
        fs::set_permissions(self.path("host_key"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(self.path("host_key.pub"), public).unwrap();
    }

    fn start(&mut self) {
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile {}\nUsePAM {}\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            self.port,
            self.path("host_key").display(),
            self.path("authorized_keys").display(),
            self.path("sshd.pid").display(),
            // Without PAM, sshd turns away a user who has sudo and no password, as a cloud image's has.
            if is_root() { "no" } else { "yes" },
        );
        fs::write(self.path("sshd_config"), config).unwrap();
        assert!(as_root("mkdir").args(["-p", "/run/sshd"]).status().unwrap().success());
        let log = fs::File::create(self.path("sshd.log")).unwrap();
        let sshd = as_root("/usr/sbin/sshd")
            .arg("-D")
            .arg("-e")
            .arg("-f")
            .arg(self.path("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd is missing: apt-get install openssh-server");
        self.sshd = Some(sshd);
    }

    fn pin(&self) -> String {
        fs::read_to_string(self.path("cluster/known_hosts.d").join(NODE)).unwrap()
    }

    fn set_pin(&self, text: &str) {
        fs::write(self.path("cluster/known_hosts.d").join(NODE), text).unwrap();
    }

    /// The key that sshd has on disk, in a known_hosts line.
    fn pin_of_its_key(&self) -> String {
        let key = fs::read_to_string(self.path("host_key.pub")).unwrap();
        let words: Vec<&str> = key.split_whitespace().take(2).collect();
        format!("{NODE} {}\n", words.join(" "))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("cluster/logs").join(format!("{NODE}.log"))).unwrap()
    }
}

impl Node {
    fn stop(&mut self) {
        if let Some(mut sshd) = self.sshd.take() {
            // Where that is sudo, it passes the signal on.
            let _ = as_root("kill").arg(sshd.id().to_string()).status();
            let _ = sshd.wait();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_root() -> bool {
    output("id", &["-u"]) == "0"
}

/// As on a node, sshd is root's.
fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", program]);
    sudo
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn new_key(path: &Path) -> String {
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(path).status();
    assert!(made.unwrap().success());
    fs::read_to_string(format!("{}.pub", path.display())).unwrap().trim().to_owned()
}

fn script(phase: &'static str, body: &str) -> Script {
    Script { phase, body: SecretString::from(body) }
}

fn channel() -> (UnboundedSender<Line>, UnboundedReceiver<Line>) {
    unbounded_channel()
}

async fn run(ssh: &Ssh, phase: &'static str, body: &str) -> Result<BTreeMap<String, String>, RemoteError> {
    let (sender, _receiver) = channel();
    ssh.run(NODE, &script(phase, body), sender).await.map(|outcome| outcome.facts)
}

#[tokio::test]
async fn the_first_login_replaces_the_temporary_host_key_and_the_connection_goes_on() {
    let (node, ssh) = Node::launched();
    let temporary = node.pin();
    assert!(temporary.trim_end().ends_with(" temporary"), "{temporary}");
    assert_eq!(fs::read_dir(node.path("cluster/host_keys.d")).unwrap().count(), 1);

    ssh.connect(&node.host()).await.unwrap();

    assert_eq!(node.pin(), node.pin_of_its_key());
    assert_ne!(node.pin(), temporary.replace(" temporary", ""));
    assert_eq!(
        fs::read_dir(node.path("cluster/host_keys.d")).unwrap().count(),
        0,
        "its private half is gone"
    );
    assert!(run(&ssh, "after", "echo '::fact works yes'\n").await.unwrap().contains_key("works"));
    assert_eq!(ssh.connections(), 1);

    // A new process, with what is pinned now.
    let later = node.adapter();
    later.connect(&node.host()).await.unwrap();
    later.connect(&node.host()).await.unwrap();
    assert_eq!(later.connections(), 1, "a connection that lives is used again");

    // And who only knows the temporary key is refused: sshd does not present it any more.
    node.set_pin(&temporary);
    assert!(matches!(node.adapter().connect(&node.host()).await, Err(RemoteError::HostKey { .. })));
}

#[tokio::test]
async fn a_switch_after_sshd_was_restarted_asks_systemd_and_keeps_its_own_connection() {
    let (mut node, ssh) = Node::launched();
    ssh.connect(&node.host()).await.unwrap();
    // As cloud-init does while a machine boots: the login goes on, and its listener is another process now.
    node.stop();
    node.start();
    let switch = include_str!("../templates/switch-host-key.sh")
        .replace("{{ path }}", &format!("'{}'", node.path("host_key").display()));
    // This machine's own sshd is none of ours.
    let guarded = format!("systemctl() {{ echo \"asked: $*\"; }}\n{switch}");
    let (sender, mut lines) = channel();
    ssh.run(NODE, &script("switch", &guarded), sender).await.unwrap();
    assert_eq!(lines.recv().await, Some(Line::Output("asked: reload ssh.service".into())));
    run(&ssh, "after", "true\n").await.unwrap();
    assert_eq!(ssh.connections(), 1, "the connection was not cut");
}

#[tokio::test]
async fn an_exchange_cut_short_before_the_switch_is_finished_by_the_next_login() {
    let (node, ssh) = Node::launched();
    let next = new_key(&node.path("host_key.next"));
    node.set_pin(&format!("{}{NODE} {next}\n", node.pin()));
    ssh.connect(&node.host()).await.unwrap();
    assert_eq!(node.pin(), format!("{NODE} {next}\n"));
    assert_eq!(node.pin(), node.pin_of_its_key());
    node.adapter().connect(&node.host()).await.unwrap();
}

#[tokio::test]
async fn an_exchange_cut_short_after_the_switch_is_finished_by_the_next_login() {
    let (node, ssh) = Node::launched();
    let temporary = node.pin();
    ssh.connect(&node.host()).await.unwrap();
    let pinned = node.pin();
    node.set_pin(&format!("{temporary}{pinned}"));
    node.adapter().connect(&node.host()).await.unwrap();
    assert_eq!(node.pin(), pinned);
}

#[tokio::test]
async fn a_node_with_another_host_key_is_refused() {
    let (mut node, _) = Node::launched();
    let expected = output("ssh-keygen", &["-l", "-f", &node.path("host_key.pub").display().to_string()]);
    let expected = expected.split_whitespace().nth(1).unwrap();
    // Somebody else answers at the address.
    node.stop();
    for name in ["host_key", "host_key.pub"] {
        fs::remove_file(node.path(name)).unwrap();
    }
    new_key(&node.path("host_key"));
    node.start();
    let error = node.adapter().connect(&node.host()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("general-1 (127.0.0.1) presents a host key that is not the pinned one ({expected})")
    );
}

#[tokio::test]
async fn a_node_of_which_no_key_is_pinned_is_not_connected_to() {
    let (node, ssh) = Node::launched();
    let pin = node.path("cluster/known_hosts.d").join(NODE);
    fs::remove_file(&pin).unwrap();
    let error = ssh.connect(&node.host()).await.unwrap_err();
    let text = "no host key of general-1 is pinned here, so it cannot be told from an impostor";
    assert_eq!(error.to_string(), text);
    assert!(matches!(error, RemoteError::NotPinned { looked_in, .. } if looked_in.ends_with(NODE)));
    assert_eq!(ssh.connections(), 0);
}

#[tokio::test]
async fn a_node_that_does_not_know_our_key_is_told_at_once() {
    let (node, ssh) = Node::launched();
    fs::write(node.path("authorized_keys"), new_key(&node.path("another"))).unwrap();
    let start = Instant::now();
    let error = ssh.connect(&node.host()).await.unwrap_err();
    let user = node.host().user;
    assert_eq!(
        error.to_string(),
        format!("general-1 (127.0.0.1) does not accept the cluster's SSH key for {user}")
    );
    assert!(start.elapsed() < Duration::from_secs(10), "it was tried again and again");
}

#[tokio::test]
async fn a_node_that_never_answers_ends_the_wait_with_what_ssh_said() {
    let (mut node, _) = Node::launched();
    node.stop();
    let error = node.adapter_with(Duration::from_secs(2)).connect(&node.host()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "general-1 (127.0.0.1) did not answer on SSH within 2 s: connect to host 127.0.0.1 port {}: Connection refused",
            node.port
        )
    );
}

#[tokio::test]
async fn a_node_whose_sshd_comes_late_is_waited_for() {
    let (mut node, ssh) = Node::launched();
    node.stop();
    let host = node.host();
    let connect = async { ssh.connect(&host).await.unwrap() };
    let boot = async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        node.start();
    };
    let start = Instant::now();
    tokio::join!(connect, boot);
    assert!(start.elapsed() >= Duration::from_millis(1500));
    assert_eq!(ssh.connections(), 1);
}

#[tokio::test]
async fn lines_come_in_order_and_while_the_script_runs() {
    let (node, ssh) = Node::launched();
    ssh.connect(&node.host()).await.unwrap();
    let gate = node.path("gate");
    // It goes on only after its first lines were seen here.
    let body = format!(
        "echo one; echo two >&2; echo '::progress half'; while [ ! -e {gate} ]; do sleep 0.05; done\n\
         for n in $(seq 300); do echo \"$n\"; [ $((n % 2)) = 0 ] || echo \"err $n\" >&2; done\n\
         echo '::fact answer 42 and more'\n",
        gate = gate.display()
    );
    let (sender, mut lines) = channel();
    let text = script("stream", &body);
    let watch = async {
        let mut seen = Vec::new();
        while let Some(line) = lines.recv().await {
            if line == Line::Progress("half".into()) {
                fs::write(&gate, "").unwrap();
            }
            seen.push(line);
        }
        seen
    };
    let (outcome, seen) = tokio::join!(ssh.run(NODE, &text, sender), watch);
    let mut expected =
        vec![Line::Output("one".into()), Line::Output("two".into()), Line::Progress("half".into())];
    for n in 1..=300 {
        expected.push(Line::Output(n.to_string()));
        if n % 2 == 1 {
            expected.push(Line::Output(format!("err {n}")));
        }
    }
    assert_eq!(seen, expected);
    assert_eq!(outcome.unwrap().facts, BTreeMap::from([("answer".into(), "42 and more".into())]));
}

#[tokio::test]
async fn a_failing_phase_carries_its_last_lines_and_leaves_nothing_on_the_node() {
    let (node, ssh) = Node::launched();
    ssh.connect(&node.host()).await.unwrap();
    let error =
        run(&ssh, "breaks", "for n in $(seq 50); do echo \"line $n\"; done; exit 7\n").await.unwrap_err();
    assert_eq!(error.to_string(), "breaks failed on general-1 with exit status 7");
    let RemoteError::Failed { tail, log, status, .. } = error else { panic!("{error:?}") };
    assert_eq!(status, 7);
    assert_eq!(tail, (31..=50).map(|n| format!("line {n}")).collect::<Vec<_>>());
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    for n in 1..=50 {
        assert!(node.log().lines().any(|line| line.ends_with(&format!(" line {n}"))), "line {n}");
    }
    assert!(!Path::new("/run/kubestrap/breaks.sh").exists(), "the script is deleted");
    // A program that is missing is a failed phase like any other.
    let error = run(&ssh, "missing", "no-such-program-here\n").await.unwrap_err();
    assert_eq!(error.to_string(), "missing failed on general-1 with exit status 127");
}

#[tokio::test]
async fn a_script_runs_as_root_from_a_file_that_only_root_can_read() {
    let (node, ssh) = Node::launched();
    ssh.connect(&node.host()).await.unwrap();
    let body = "echo \"::fact user $(id -u)\"; echo \"::fact mode $(stat -c %a%u \"$0\")\"; echo \"::fact file $0\"\n";
    let facts = run(&ssh, "whoami", body).await.unwrap();
    assert_eq!((facts["user"].as_str(), facts["mode"].as_str()), ("0", "6000"));
    assert_eq!(facts["file"], "/run/kubestrap/whoami.sh");
}

#[tokio::test]
async fn bootstrap_tokens_that_a_program_prints_reach_neither_log_nor_listener() {
    let (node, ssh) = Node::launched();
    ssh.connect(&node.host()).await.unwrap();
    let (sender, mut lines) = channel();
    ssh.run(NODE, &script("leak", "echo kubeadm join --token abcdef.0123456789abcdef\n"), sender)
        .await
        .unwrap();
    assert_eq!(lines.recv().await, Some(Line::Output("kubeadm join --token abcdef.[redacted]".into())));
    assert!(!node.log().contains("0123456789abcdef"));
}

#[tokio::test]
async fn a_lost_connection_is_a_failed_phase_and_can_be_made_anew() {
    let (node, ssh) = Node::launched();
    ssh.connect(&node.host()).await.unwrap();
    // The shell's own sshd is the nearest one above it.
    let body = "echo before\npid=$$\nwhile read -r _ name _ above _ < <(sed 's/ (\\(.*\\)) / \\1 /' /proc/$pid/stat); do\n\
                case $name in sshd*) kill -9 \"$pid\"; sleep 30 ;; esac; pid=$above; done\n";
    let error = run(&ssh, "cut", body).await.unwrap_err();
    assert_eq!(error.to_string(), "cut failed on general-1 with exit status 255");
    let RemoteError::Failed { tail, .. } = error else { panic!("{error:?}") };
    assert_eq!(tail, ["before", "the connection was lost"]);

    ssh.connect(&node.host()).await.unwrap();
    assert_eq!(ssh.connections(), 2);
    run(&ssh, "again", "true\n").await.unwrap();
}

#[tokio::test]
async fn one_connection_carries_many_phases_at_once() {
    let (node, ssh) = Node::launched();
    let ssh = Arc::new(ssh);
    ssh.connect(&node.host()).await.unwrap();
    let phases = ["a", "b", "c", "d", "e", "f"];
    let tasks = phases.map(|phase| {
        let ssh = ssh.clone();
        tokio::spawn(async move { run(&ssh, phase, "sleep 0.2; echo \"::fact me $0\"\n").await.unwrap() })
    });
    for (phase, task) in phases.iter().zip(tasks) {
        assert_eq!(task.await.unwrap()["me"], format!("/run/kubestrap/{phase}.sh"));
    }
    for _ in 0..20 {
        run(&ssh, "again", "true\n").await.unwrap();
    }
    assert_eq!(ssh.connections(), 1);
    let log = fs::read_to_string(node.path("sshd.log")).unwrap();
    assert_eq!(log.matches("Accepted publickey").count(), 1);
}

#[tokio::test]
async fn files_are_read_as_root_and_a_missing_one_is_named() {
    let (node, ssh) = Node::launched();
    ssh.connect(&node.host()).await.unwrap();
    fs::write(node.path("it's secret"), "apiVersion: v1\n").unwrap();
    let path = node.path("it's secret").display().to_string();
    assert_eq!(ssh.read(NODE, &path).await.unwrap().expose_secret(), "apiVersion: v1\n");
    let error = ssh.read(NODE, "/nonexistent/admin.conf").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "reading /nonexistent/admin.conf on general-1: cat: /nonexistent/admin.conf: No such file or directory"
    );
}

#[tokio::test]
async fn what_is_not_connected_says_so() {
    let (_node, ssh) = Node::launched();
    let error = run(&ssh, "early", "true\n").await.unwrap_err();
    assert_eq!(error.to_string(), "running something on general-1: it is not connected");
}

#[tokio::test]
async fn the_command_for_people_logs_in_with_the_same_key_and_pin() {
    let (node, ssh) = Node::launched();
    ssh.connect(&node.host()).await.unwrap();
    let argv = ssh.command(&node.host()).unwrap();
    let said =
        Command::new(&argv[0]).args(&argv[1..]).arg("echo hello").stdin(Stdio::null()).output().unwrap();
    assert_eq!(
        String::from_utf8(said.stdout).unwrap(),
        "hello\n",
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
}

#[tokio::test]
async fn connections_end_with_the_adapter() {
    let (node, ssh) = Node::launched();
    ssh.connect(&node.host()).await.unwrap();
    // The masters name the cluster's configuration in their arguments.
    let config = node.path("cluster/ssh_config.d").canonicalize().unwrap().display().to_string();
    let masters = || {
        let all = fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|it| fs::read(it.path().join("cmdline")).ok());
        all.filter(|line| String::from_utf8_lossy(line).contains(&config)).count()
    };
    assert_eq!(masters(), 1);
    drop(ssh);
    let deadline = Instant::now() + Duration::from_secs(5);
    while masters() > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(masters(), 0);
}

#[test]
fn temporary_keys_last_for_one_generation_of_machines() {
    let folder = TempDir::new().unwrap();
    let ssh = Ssh::new(folder.path()).unwrap();
    let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let (_, first) = ssh.ephemeral_host_key(&names(&["a", "b"])).unwrap();
    // A launch that is repeated must be the same launch, also from another process.
    let again = Ssh::new(folder.path()).unwrap();
    assert_eq!(again.ephemeral_host_key(&names(&["a", "b"])).unwrap().1, first);
    assert_eq!(again.public_key(), ssh.public_key());
    // Others, or one that has been logged in to, are new machines.
    assert_ne!(ssh.ephemeral_host_key(&names(&["c"])).unwrap().1, first);
    fs::write(folder.path().join("known_hosts.d/a"), "a ssh-ed25519 AAAA\n").unwrap();
    let (_, second) = ssh.ephemeral_host_key(&names(&["a"])).unwrap();
    assert_ne!(second, first);
    assert_eq!(ssh.ephemeral_host_key(&names(&["b"])).unwrap().1, first, "b still waits for its first login");
}

#[test]
fn the_clusters_folder_is_ours_alone() {
    let folder = TempDir::new().unwrap();
    let ssh = Ssh::new(folder.path().join("cluster")).unwrap();
    ssh.ephemeral_host_key(&[NODE.to_owned()]).unwrap();
    let mut checked = 0;
    let mut folders = vec![folder.path().join("cluster")];
    while let Some(folder) = folders.pop() {
        assert_eq!(
            fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
            0o700,
            "{}",
            folder.display()
        );
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                assert_eq!(
                    entry.metadata().unwrap().permissions().mode() & 0o777,
                    0o600,
                    "{:?}",
                    entry.path()
                );
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 3, "login key, temporary host key, pin");
    assert!(ssh.public_key().starts_with("ssh-ed25519 AAAA"));
    assert_eq!(ssh.public_key().split(' ').count(), 2, "no comment");
}
