//! One instance's container: its flags, its start in step with the fabric, its end.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures::StreamExt;
use tokio::io::AsyncWriteExt;

use super::{Blueprint, MachineError, Shop, domain_of};
use crate::lab::fabric::interface_of;
use crate::lab::fabric::ruleset::resolver_of;
use crate::lab::imds::host_name;

/// On everything the lab makes in the engine; its value is `1`.
pub const LABEL: &str = "kubestrap.lab";
/// On a machine's container: its instance id.
pub const INSTANCE_LABEL: &str = "kubestrap.instance";

/// The first process's script.
const ENTRY: &str = include_str!("entry.sh");
/// The kernel's modules, on the engine's host and in a machine.
pub const MODULES: &str = "/lib/modules";
/// What needs a real file system below: overlayfs does not nest.
const VOLUMES: [&str; 3] = ["/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd"];
/// What systemd, a kubelet and Calico do on a machine. By name and not ALL: the engine refuses a name that this
/// machine cannot give (SYS_RESOURCE, in a sandbox), and nothing here may set the host's clock (SYS_TIME).
const CAPABILITIES: [&str; 27] = [
    "AUDIT_CONTROL",
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PTRACE",
    // The kubelet reads /dev/kmsg.
    "SYSLOG",
];
/// How long systemd may take to power off, in seconds.
const SHUTDOWN: i32 = 20;
/// How much of a console is kept, in bytes.
const CONSOLE: usize = 64 << 10;
/// Exit statuses of the first process: reboot(2) inside a PID namespace ends it by SIGHUP.
const REBOOTED: i64 = 129;

/// A machine's container, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    name: String,
}

/// How a container ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `reboot` was called inside.
    Reboot,
    /// Powered off, killed or crashed, with the exit status.
    Other(i64),
}

impl Body {
    /// The container of an instance, whether it exists or not.
    pub fn named(machine: &str) -> Self {
        Self { name: format!("kubestrap-{machine}") }
    }

    /// Creates it as the desired state describes; it does not run yet.
    pub async fn create(shop: &Shop, machine: &str) -> Result<Self, MachineError> {
        let body = Self::named(machine);
        let config = {
            let desired = shop.desired.borrow();
            let (vpc, interface) = interface_of(&desired.vpcs, machine)
                .ok_or_else(|| MachineError::NoInterface(machine.to_owned()))?;
            let zone = desired.machines.iter().find(|each| each.id == machine).map(|each| each.zone.as_str());
            let domain = domain_of(zone.unwrap_or_default());
            let arguments = [machine.to_owned(), resolver_of(vpc).to_string(), domain];
            config(&shop.blueprint, machine, &host_name(interface.private_ip), arguments)
        };
        let options = CreateContainerOptionsBuilder::new().name(&body.name).build();
        shop.docker.create_container(Some(options), config).await?;
        Ok(body)
    }

    /// Starts it and returns its first process, which waits for [`Body::release`].
    pub async fn start(&self, docker: &Docker) -> Result<u32, MachineError> {
        docker.start_container(&self.name, None).await?;
        let state = docker.inspect_container(&self.name, None).await?.state.unwrap_or_default();
        match state.pid.and_then(|pid| u32::try_from(pid).ok()) {
            Some(pid) if pid > 0 => Ok(pid),
            _ => Err(MachineError::Ended { console: self.console(docker).await.unwrap_or_default() }),
        }
    }

    /// Tells its first process that the network is there.
    pub async fn release(&self, docker: &Docker) -> Result<(), MachineError> {
        let options = AttachContainerOptionsBuilder::new().stdin(true).stream(true).build();
        let mut attached = docker.attach_container(&self.name, Some(options)).await?;
        let sent = async {
            attached.input.write_all(b"attached\n").await?;
            attached.input.flush().await
        };
        sent.await.map_err(|error| MachineError::Engine(Error::from(error)))
    }

    /// Waits for its end.
    pub async fn exit(&self, docker: &Docker) -> Exit {
        let options = WaitContainerOptionsBuilder::new().condition("not-running").build();
        let mut ends = Box::pin(docker.wait_container(&self.name, Some(options)));
        let status = match ends.next().await {
            Some(Ok(end)) => end.status_code,
            Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
            // Removed behind our back, or the engine went away: it is not running for us.
            Some(Err(_)) | None => -1,
        };
        if status == REBOOTED { Exit::Reboot } else { Exit::Other(status) }
    }

    /// Powers it off: systemd first, then by force. A container that is off already stays so.
    pub async fn stop(&self, docker: &Docker) {
        let options = StopContainerOptionsBuilder::new().t(SHUTDOWN).build();
        if let Err(error) = docker.stop_container(&self.name, Some(options)).await {
            tracing::debug!(container = self.name, %error, "stop");
        }
    }

    /// Ends and removes it with its volumes; one that is not there is fine.
    pub async fn remove(&self, docker: &Docker) -> Result<(), Error> {
        remove(docker, &self.name).await
    }

    /// Gives what it has written to its console, as it grows, to `give`; the last 64 KiB, as EC2
    /// keeps. Ends with the container.
    pub async fn follow(&self, docker: &Docker, mut give: impl FnMut(String)) -> Result<(), Error> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).follow(true).tail("all").build();
        let mut batches = Box::pin(docker.logs(&self.name, Some(options)).ready_chunks(256));
        let mut text = String::new();
        while let Some(batch) = batches.next().await {
            for chunk in batch {
                text.push_str(&String::from_utf8_lossy(&chunk?.into_bytes()));
            }
            let surplus = text.len().saturating_sub(CONSOLE);
            text.drain(..text.ceil_char_boundary(surplus));
            give(text.clone());
        }
        Ok(())
    }

    /// The end of what it wrote to its console.
    pub async fn console(&self, docker: &Docker) -> Result<String, Error> {
        console(docker, &self.name, "400").await
    }
}

/// Removes a container with its volumes; one that is gone or going already is fine.
pub async fn remove(docker: &Docker, name: &str) -> Result<(), Error> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(name, Some(options)).await {
        Err(Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
        other => other,
    }
}

/// The last lines that a container wrote.
pub async fn console(docker: &Docker, name: &str, lines: &str) -> Result<String, Error> {
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(lines).build();
    let mut chunks = Box::pin(docker.logs(name, Some(options)));
    let mut text = String::new();
    while let Some(chunk) = chunks.next().await {
        text.push_str(&String::from_utf8_lossy(&chunk?.into_bytes()));
    }
    Ok(text)
}

/// Labels of everything the lab makes.
pub fn labels() -> HashMap<String, String> {
    HashMap::from([(LABEL.to_owned(), "1".to_owned())])
}

/// What boots systemd, kubeadm and Calico in a container; `--privileged` is more of the host than that.
fn config(
    blueprint: &Blueprint,
    machine: &str,
    hostname: &str,
    arguments: [String; 3],
) -> ContainerCreateBody {
    let strings = |items: &[&str]| Some(items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>());
    let volumes = VOLUMES.iter().map(|target| Mount {
        target: Some((*target).to_owned()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions { labels: Some(labels()), ..Default::default() }),
        ..Default::default()
    });
    let modules = blueprint.modules.then(|| Mount {
        target: Some(MODULES.to_owned()),
        source: Some(MODULES.to_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(true),
        ..Default::default()
    });
    let host_config = HostConfig {
        network_mode: Some("none".to_owned()),
        cap_drop: strings(&["ALL"]),
        cap_add: strings(&CAPABILITIES),
        security_opt: strings(&["seccomp=unconfined", "apparmor=unconfined", "label=disable"]),
        // The API's spelling of systempaths=unconfined.
        masked_paths: Some(Vec::new()),
        readonly_paths: Some(Vec::new()),
        device_cgroup_rules: strings(&["a *:* rwm"]),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        tmpfs: Some(
            [("/run", "mode=0755"), ("/tmp", "exec,mode=1777")]
                .map(|(path, options)| (path.to_owned(), options.to_owned()))
                .into(),
        ),
        mounts: Some(volumes.chain(modules).collect()),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([("max-size".to_owned(), "10m".to_owned())])),
        }),
        ..Default::default()
    };
    let mut labels = labels();
    labels.insert(INSTANCE_LABEL.to_owned(), machine.to_owned());
    ContainerCreateBody {
        image: Some(blueprint.image.clone()),
        hostname: Some(hostname.to_owned()),
        entrypoint: strings(&["/bin/sh", "-c", ENTRY, "entry"]),
        cmd: Some(arguments.to_vec()),
        env: strings(&["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]),
        labels: Some(labels),
        // systemd writes its console to the terminal, which is what GetConsoleOutput shows.
        tty: Some(true),
        open_stdin: Some(true),
        stop_signal: Some("SIGRTMIN+3".to_owned()),
        host_config: Some(host_config),
        ..Default::default()
    }
}
