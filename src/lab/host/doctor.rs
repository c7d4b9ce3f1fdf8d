//! What this machine offers for a lab, check by check, as data.

use std::path::Path;

use serde::Serialize;

use super::{HostError, StartOptions, engine};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// It may work, or work badly.
    Warn,
    /// It will not work.
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do, unless all is well.
    pub remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), remedy: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn of(name: &'static str, result: Result<String, HostError>) -> Self {
        match result {
            Ok(found) => Self::ok(name, found),
            Err(error) => Self {
                name,
                verdict: Verdict::Fail,
                found: error.to_string(),
                remedy: Some(error.remedy().to_owned()),
            },
        }
    }
}

/// Checks everything that [`super::start`] needs, and limits that bite later. Changes nothing.
pub async fn doctor(options: &StartOptions) -> Vec<Check> {
    let mut checks = Vec::new();
    let docker = match engine::connect().await {
        Ok(docker) => docker,
        Err(error) => {
            checks.push(Check::of("engine", Err(error)));
            checks.extend(machine_checks());
            return checks;
        }
    };
    let info = docker.info().await;
    checks.push(match &info {
        Ok(info) => {
            Check::ok("engine", format!("Docker Engine {}", info.server_version.as_deref().unwrap_or("?")))
        }
        Err(error) => Check::of("engine", Err(HostError::EngineDown { message: error.to_string() })),
    });
    checks.push(Check::of("privileges", engine::check_engine(&docker).await.map(|()| "rootful".to_owned())));
    if let Ok(info) = info {
        let version = info.cgroup_version.map(|version| version.to_string()).unwrap_or_default();
        checks.push(Check::ok("cgroup", format!("version {version}")));
        let memory = info.mem_total.unwrap_or_default() >> 30;
        let found = format!("{memory} GiB");
        checks.push(match memory {
            0..4 => Check::warn("memory", found, "three nodes take about 2 GiB; use fewer workers"),
            _ => Check::ok("memory", found),
        });
    }
    checks.push(match engine::check_disk(&docker).await {
        Ok(()) => Check::ok("disk", "enough room"),
        Err(error) => Check::of("disk", Err(error)),
    });
    let bundle = engine::Bundle::open(&options.bundle).map(|bundle| bundle.directory.display().to_string());
    checks.push(Check::of("bundle", bundle));
    let running = matches!(engine::find(&docker, super::NAME).await, Ok(Some(found)) if found.running);
    if running {
        checks.push(Check::ok("lab", "runs; its range and port are its own"));
    } else {
        checks
            .push(Check::of("range", engine::check_range(options.range).map(|()| options.range.to_string())));
        checks.push(Check::of("port", engine::check_port(options.port).map(|()| options.port.to_string())));
    }
    checks.extend(machine_checks());
    checks
}

fn machine_checks() -> Vec<Check> {
    // Every systemd, kubelet and containerd takes some; three nodes ran within these.
    let limits = [
        ("inotify instances", "fs/inotify/max_user_instances", 512),
        ("inotify watches", "fs/inotify/max_user_watches", 65_536),
        ("connection tracking", "net/netfilter/nf_conntrack_max", 32_768),
    ];
    let limits = limits.into_iter().map(|(name, path, wanted)| {
        let value = std::fs::read_to_string(Path::new("/proc/sys").join(path)).ok();
        match value.and_then(|text| text.trim().parse::<u64>().ok()) {
            Some(value) if value >= wanted => Check::ok(name, value.to_string()),
            Some(value) => {
                Check::warn(name, value.to_string(), format!("sysctl -w {}={wanted}", path.replace('/', ".")))
            }
            None => Check::warn(name, "not known", format!("check that the kernel has {path}")),
        }
    });
    // A module each, and a symbol that shows it where it is built in.
    let modules = [
        ("overlay", "overlayfs", "ovl_fill_super"),
        ("nf_tables", "nftables", "nf_tables_newrule"),
        ("vxlan", "VXLAN", "vxlan_xmit"),
        ("veth", "veth", "veth_xmit"),
    ];
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    let modules = modules.map(|(module, name, symbol)| {
        match has_module(module) || symbols.contains(&format!(" {symbol}")) {
            true => Check::ok(name, "in the kernel or loadable"),
            false => Check::warn(name, "neither loaded nor listed", format!("modprobe {module}")),
        }
    });
    limits.chain(modules).collect()
}

/// Whether a kernel module is loaded or can be.
fn has_module(name: &str) -> bool {
    let loaded = Path::new("/sys/module").join(name).exists();
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let listed = ["modules.dep", "modules.builtin"].iter().any(|list| {
        let path = Path::new("/lib/modules").join(release.trim()).join(list);
        let file = format!("/{name}.ko");
        std::fs::read_to_string(path).is_ok_and(|text| text.contains(&file))
    });
    loaded || listed
}
