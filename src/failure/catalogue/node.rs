//! Codes of nodes: SSH, what runs on them, and what `diagnose` finds there.

pub(super) const PAGES: super::Pages = &[
    (
        "KS-SSH-LOST",
        "No host key of the node is pinned on this machine, so that it cannot be told from an impostor, and \
         nothing was sent. The cluster was launched from another machine, or its folder under \
         ~/.local/state/kubestrap is lost. Restore the folder from there, or run `kubestrap down` and \
         `kubestrap up`.",
    ),
    (
        "KS-SSH-MISSING",
        "There is no `ssh` on this machine: kubestrap uses its OpenSSH client. Install it (the package is \
         openssh-client on Debian and Ubuntu), then run the command again.",
    ),
    (
        "KS-SSH-SILENT",
        "The node did not answer on SSH in time. Either it does not boot (see its console: `aws ec2 \
         get-console-output`), or a security group does not admit your address (network.admin_cidrs), or \
         the subnet has no route to the internet gateway. Nothing is lost: the next run goes on from there.",
    ),
    (
        "KS-SSH-HOST-KEY",
        "Host keys are pinned: a temporary one goes in by user data, is replaced on the first login, and \
         the new one is pinned. Another key means another machine at this address, or somebody in between, \
         so nothing was sent. If the node was replaced on purpose, terminate its instance and let \
         `kubestrap up` make it anew.",
    ),
    (
        "KS-SSH-DENIED",
        "The node answers and refuses the cluster's SSH key for this login name. Images differ in the name \
         (admin, ubuntu, ec2-user): set ssh.user. A cluster that was made from another machine has its key \
         there, under ~/.local/state/kubestrap.",
    ),
    (
        "KS-NODE-PHASE",
        "A script failed on a node. The evidence is the end of its output, and the log that the remedy \
         names has all of it; often a package source or an image registry cannot be reached from the node. \
         Every script can be run again: mend the cause, and the next `kubestrap up` goes on from there.",
    ),
    (
        "KS-NODE-INSTANCE",
        "The instance of a node is stopped, stopping or gone, so nothing on it can answer. Start it; one that was \
         terminated is replaced by `kubestrap up`, unless it was the control plane's, whose etcd data went \
         with it: then `kubestrap down` and `up`. What else is found on this node follows \
         from it.",
    ),
    (
        "KS-NODE-NOT-READY",
        "Kubernetes says that the node is not Ready, and its instance and its security groups are not the \
         reason. Usually the kubelet or containerd does not run, the disk is full, or Calico has not set up \
         the node's network yet. The kubelet's log on the node tells which: `kubestrap ssh NODE -- sudo \
         journalctl -u kubelet`.",
    ),
    (
        "KS-NODE-EXEC",
        "The probe pod on this node runs, and no command can be run in it, so nothing could be looked up \
         from there. The API server must reach the node's kubelet on TCP 10250 for that, and the security \
         groups admit it: look at the kubelet and at firewalls on the node.",
    ),
    (
        "KS-NODE-PROBE",
        "`diagnose` looks names up from a pod on every node, and the one on this node does not run. Mostly \
         its image cannot be pulled or the node has no room for it; `kubectl -n kubestrap-system describe \
         pod` tells. The other nodes were judged without it.",
    ),
];
