//! The cluster's own kubeconfig and its entries in the user's, by kubectl's rules.
//!
//! The user's file is edited as a plain tree, never through typed structs: fields that this program
//! does not know (extensions, preferences, plugins) come out as they went in.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::yaml;
use crate::ports::ClusterError;

/// The lists of a kubeconfig whose entries have names.
const LISTS: [&str; 3] = ["clusters", "users", "contexts"];
/// kubectl holds its lock for milliseconds; one older than this is a leftover.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Where kubeconfigs are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kubeconfigs {
    /// The cluster's own file.
    pub own: PathBuf,
    /// The file that kubectl writes to.
    pub users: PathBuf,
}

/// What became of the user's kubeconfig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Our context's name.
    pub context: String,
    /// Whether it is the current one. Another current context is never changed.
    pub is_current: bool,
}

/// Name of a cluster's context, cluster and user: `kubestrap-books`.
pub fn context_name(cluster: &str) -> String {
    format!("kubestrap-{cluster}")
}

impl Kubeconfigs {
    /// `own`, and the user's file as kubectl chooses it: of `$KUBECONFIG` the first file that exists,
    /// else its last; without the variable `~/.kube/config`.
    pub fn locate(own: PathBuf) -> Self {
        let listed: Vec<PathBuf> = env::var_os("KUBECONFIG")
            .map(|list| env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect())
            .unwrap_or_default();
        let home = env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
        let users = listed
            .iter()
            .find(|path| path.exists())
            .or(listed.last())
            .cloned()
            .unwrap_or_else(|| home.join(".kube/config"));
        Self { own, users }
    }

    /// Keeps kubeadm's `admin.conf`, with `server` as its address and our names, as the cluster's own
    /// kubeconfig, and enters it in the user's. Both files end with mode 0600 and are replaced whole.
    pub fn keep(
        &self,
        admin_conf: &SecretString,
        cluster: &str,
        server: &str,
    ) -> Result<Merged, ClusterError> {
        let own = own_kubeconfig(admin_conf.expose_secret(), cluster, server)?;
        write(&self.own, &yaml::render(&own))?;
        let _lock = Lock::take(&self.users)?;
        let mut users = read(&self.users)?.unwrap_or_else(empty);
        merge(&mut users, &own, &self.users)?;
        write(&self.users, &yaml::render(&users))?;
        let context = context_name(cluster);
        let is_current = users["current-context"] == context.as_str();
        Ok(Merged { context, is_current })
    }

    /// Removes the cluster's own file and its entries from the user's; what is not there is no error.
    pub fn forget(&self, cluster: &str) -> Result<(), ClusterError> {
        if self.users.exists() {
            let _lock = Lock::take(&self.users)?;
            if let Some(mut users) = read(&self.users)?
                && remove(&mut users, &context_name(cluster))
            {
                write(&self.users, &yaml::render(&users))?;
            }
        }
        match fs::remove_file(&self.own) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(malformed(&self.own, error)),
            _ => Ok(()),
        }
    }
}

/// kubeadm's admin.conf under our names and with the address that reaches it from here.
fn own_kubeconfig(admin_conf: &str, cluster: &str, server: &str) -> Result<Value, ClusterError> {
    let what = "the control plane's admin.conf";
    let admin = yaml::document(what, admin_conf)?;
    let lacks =
        |field: &str| ClusterError::Malformed { what: what.into(), message: format!("it has no {field}") };
    let inner = |list: &str, field: &str| admin.pointer(&format!("/{list}/0/{field}")).cloned();
    let mut server_entry = inner("clusters", "cluster").ok_or_else(|| lacks("cluster"))?;
    let user = inner("users", "user").ok_or_else(|| lacks("user"))?;
    server_entry["server"] = json!(server);
    // A machine that was stopped and started has another public address, which its certificate does not name; every
    // API server's certificate that kubeadm makes names this.
    server_entry["tls-server-name"] = json!("kubernetes");
    let name = context_name(cluster);
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": server_entry }],
        "users": [{ "name": name, "user": user }],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": name } }],
        "current-context": name,
    }))
}

/// Enters `own` in `users`: entries of our name are replaced, all others stay; the current context is
/// set only where there is none.
fn merge(users: &mut Value, own: &Value, path: &Path) -> Result<(), ClusterError> {
    let file = as_map(users, path)?;
    for list in LISTS {
        let entries = file.entry(list).or_insert(Value::Null);
        if entries.is_null() {
            *entries = json!([]);
        }
        let entries =
            entries.as_array_mut().ok_or_else(|| malformed(path, format!("{list} is not a list")))?;
        for entry in own[list].as_array().into_iter().flatten() {
            match entries.iter_mut().find(|existing| existing["name"] == entry["name"]) {
                Some(existing) => *existing = entry.clone(),
                None => entries.push(entry.clone()),
            }
        }
    }
    let current = file.entry("current-context").or_insert(Value::Null);
    if current.as_str().unwrap_or_default().is_empty() {
        *current = own["current-context"].clone();
    }
    Ok(())
}

/// Removes the entries called `name`; tells whether there were any.
fn remove(users: &mut Value, name: &str) -> bool {
    let Some(file) = users.as_object_mut() else { return false };
    let mut removed = false;
    for list in LISTS {
        if let Some(entries) = file.get_mut(list).and_then(Value::as_array_mut) {
            let before = entries.len();
            entries.retain(|entry| entry["name"] != name);
            removed |= entries.len() != before;
        }
    }
    if file.get("current-context").is_some_and(|current| current == name) {
        file.insert("current-context".into(), json!(""));
        removed = true;
    }
    removed
}

fn empty() -> Value {
    json!({ "apiVersion": "v1", "kind": "Config", "preferences": {} })
}

fn as_map<'a>(value: &'a mut Value, path: &Path) -> Result<&'a mut Map<String, Value>, ClusterError> {
    value.as_object_mut().ok_or_else(|| malformed(path, "it is not a kubeconfig"))
}

/// A kubeconfig; `None` when it is absent or empty.
fn read(path: &Path) -> Result<Option<Value>, ClusterError> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let value = yaml::document(&path.display().to_string(), &text)?;
            Ok((!value.is_null()).then_some(value))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(malformed(path, error)),
    }
}

/// Replaces a file whole, mode 0600. A link stays a link: what it points to is replaced.
fn write(path: &Path, text: &str) -> Result<(), ClusterError> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let replace = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        // Created with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o600))?;
        file.as_file().sync_all()?;
        file.persist(&target)?;
        Ok(())
    };
    replace().map_err(|error| malformed(path, error))
}

fn malformed(path: &Path, message: impl ToString) -> ClusterError {
    ClusterError::Malformed { what: path.display().to_string(), message: message.to_string() }
}

/// kubectl's own lock: a file `<path>.lock` that only one process can create.
struct Lock(PathBuf);

impl Lock {
    fn take(path: &Path) -> Result<Self, ClusterError> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        if let Some(folder) = lock.parent() {
            fs::create_dir_all(folder).map_err(|error| malformed(path, error))?;
        }
        let start = std::time::Instant::now();
        loop {
            match fs::OpenOptions::new().write(true).create_new(true).open(&lock) {
                Ok(_) => return Ok(Self(lock)),
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && start.elapsed() < LOCK_PATIENCE =>
                {
                    // Another process's lock file: there is no event to wait for.
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let message = format!("{} is held; remove it if no kubectl is running", lock.display());
                    return Err(malformed(path, message));
                }
                Err(error) => return Err(malformed(path, error)),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &str = "
apiVersion: v1
kind: Config
clusters: [{name: kubernetes, cluster: {certificate-authority-data: Q0E=, server: 'https://10.0.0.10:6443'}}]
users: [{name: kubernetes-admin, user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}}]
contexts: [{name: kubernetes-admin@kubernetes, context: {cluster: kubernetes, user: kubernetes-admin}}]
current-context: kubernetes-admin@kubernetes
";

    const THEIRS: &str = "
apiVersion: v1
kind: Config
preferences: {colors: true}
extensions: [{name: theirs, extension: {since: 0644}}]
unknown-to-us: {kept: true}
current-context: work
clusters: [{name: work, cluster: {server: 'https://work', extensions: [{name: x, extension: 1}]}}]
users: [{name: work, user: {exec: {command: login, env: [{name: A, value: 'yes'}]}}}]
contexts: [{name: work, context: {cluster: work, user: work, namespace: team}}]
";

    fn files() -> (tempfile::TempDir, Kubeconfigs) {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Kubeconfigs {
            own: folder.path().join("own/kubeconfig"),
            users: folder.path().join("kube/config"),
        };
        (folder, files)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    fn tree(path: &Path) -> Value {
        read(path).expect("sound").expect("not empty")
    }

    #[test]
    fn the_first_cluster_becomes_the_current_context_and_both_files_are_private() {
        let (_folder, files) = files();
        let merged = files.keep(&ADMIN.into(), "books", "https://203.0.113.7:6443").expect("kept");
        assert_eq!(merged, Merged { context: "kubestrap-books".into(), is_current: true });
        assert_eq!((mode(&files.own), mode(&files.users)), (0o600, 0o600));
        insta::assert_snapshot!(fs::read_to_string(&files.own).expect("there"), @r"
        apiVersion: v1
        clusters:
        - cluster:
            certificate-authority-data: Q0E=
            server: https://203.0.113.7:6443
            tls-server-name: kubernetes
          name: kubestrap-books
        contexts:
        - context:
            cluster: kubestrap-books
            user: kubestrap-books
          name: kubestrap-books
        current-context: kubestrap-books
        kind: Config
        users:
        - name: kubestrap-books
          user:
            client-certificate-data: Q0VSVA==
            client-key-data: S0VZ
        ");
    }

    #[test]
    fn what_the_user_had_survives_entering_and_leaving_unknown_fields_too() {
        let (_folder, files) = files();
        write(&files.users, THEIRS).expect("written");
        let before = tree(&files.users);
        let merged = files.keep(&ADMIN.into(), "books", "https://203.0.113.7:6443").expect("kept");
        assert!(!merged.is_current);
        let with_ours = tree(&files.users);
        assert_eq!(with_ours["clusters"][1]["name"], "kubestrap-books");
        assert_eq!(with_ours["current-context"], "work");
        files.keep(&ADMIN.into(), "books", "https://203.0.113.8:6443").expect("kept again");
        assert_eq!(tree(&files.users)["clusters"][1]["cluster"]["server"], "https://203.0.113.8:6443");
        assert_eq!(tree(&files.users)["clusters"].as_array().map(Vec::len), Some(2));
        files.forget("books").expect("forgotten");
        assert_eq!(tree(&files.users), before);
        assert!(!files.own.exists());
        files.forget("books").expect("forgetting again is no error");
    }

    #[test]
    fn leaving_as_the_current_context_leaves_none() {
        let (_folder, files) = files();
        files.keep(&ADMIN.into(), "books", "https://203.0.113.7:6443").expect("kept");
        files.forget("books").expect("forgotten");
        assert_eq!(tree(&files.users)["current-context"], "");
    }

    #[test]
    fn a_link_stays_a_link() {
        let (folder, files) = files();
        let target = folder.path().join("dotfiles");
        write(&target, THEIRS).expect("written");
        fs::create_dir_all(files.users.parent().expect("a folder")).expect("made");
        std::os::unix::fs::symlink(&target, &files.users).expect("linked");
        files.keep(&ADMIN.into(), "books", "https://203.0.113.7:6443").expect("kept");
        assert!(fs::symlink_metadata(&files.users).expect("there").file_type().is_symlink());
        assert_eq!(tree(&target)["clusters"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn a_file_that_is_no_kubeconfig_is_refused_and_left_alone() {
        let (_folder, files) = files();
        write(&files.users, "[just, a, list]\n").expect("written");
        let error = files.keep(&ADMIN.into(), "books", "https://a").expect_err("refused").to_string();
        assert_eq!(error, format!("{}: it is not a kubeconfig", files.users.display()));
        assert_eq!(fs::read_to_string(&files.users).expect("there"), "[just, a, list]\n");
    }

    #[test]
    fn a_lock_that_stays_is_named() {
        let (_folder, files) = files();
        let held = Lock::take(&files.users).expect("free");
        let error = files.keep(&ADMIN.into(), "books", "https://a").expect_err("held").to_string();
        let lock = format!("{}.lock", files.users.display());
        assert_eq!(
            error,
            format!("{}: {lock} is held; remove it if no kubectl is running", files.users.display())
        );
        drop(held);
        assert!(!Path::new(&lock).exists());
    }
}
