//! Codes of the lab: the EC2 on this machine.

pub(super) const PAGES: super::Pages = &[
    (
        "KS-LAB-ENGINE-MISSING",
        "The lab's instances are containers, and there is no Docker Engine's socket here. Install Docker \
         Engine on this machine: a remote one cannot be used. `kubestrap lab doctor` checks all that the \
         lab needs.",
    ),
    (
        "KS-LAB-ENGINE-REMOTE",
        "DOCKER_HOST names an engine by something else than a socket of this machine. The lab's endpoint, its \
         network and the bundle are here, and so must the engine be. Unset DOCKER_HOST for the command, or set \
         it to `unix:///PATH` of a rootful engine on this machine.",
    ),
    (
        "KS-LAB-ENGINE-DOWN",
        "There is a socket of the Docker Engine, and the engine does not answer, or not to this user. Start \
         it (`systemctl start docker`), and let the user use it: by the group docker, or with sudo.",
    ),
    (
        "KS-LAB-ENGINE",
        "The Docker Engine answers and refused a request, for the reason in the message. A full disk and \
         leftovers of another version are usual causes. See the engine's log, and `kubestrap lab doctor`.",
    ),
    (
        "KS-LAB-ROOTLESS",
        "The Docker Engine runs without the rights of root. An instance has a kernel's network of its own, \
         with firewalls and a kubelet, which an engine in a user namespace cannot give it. Use the rootful \
         engine of the distribution or of docker.com.",
    ),
    (
        "KS-LAB-BUNDLE-INCOMPLETE",
        "The bundle holds the packages, images and the machine image that instances boot from, and this one \
         lacks what the message names. It was not built to its end, or the path is another folder's. Build \
         it with `make bundle`, or name the right one with --bundle or KUBESTRAP_BUNDLE.",
    ),
    (
        "KS-LAB-RANGE-TAKEN",
        "The addresses of the lab's network are in use on this machine, by another network of Docker or by \
         a route such as a VPN's. Packets would go to the wrong one of the two. Choose another range with \
         `kubestrap lab start --range`.",
    ),
    (
        "KS-LAB-RANGE-SMALL",
        "The range holds the lab, this machine and a public address for every instance, and a range smaller \
         than a /28 has too few of them. Choose a larger one with `kubestrap lab start --range`.",
    ),
    (
        "KS-LAB-PORT-TAKEN",
        "Another program listens on the loopback port of the lab's EC2 endpoint; local emulators of AWS use \
         the same one. Stop that, or choose another port with `kubestrap lab start --port`.",
    ),
    (
        "KS-LAB-DISK",
        "There is too little room where the Docker Engine keeps its data for the lab's images and the disks \
         of its instances. Kubernetes evicts pods from nodes whose disks fill, so the lab does not start. \
         `docker system df` shows what takes the room.",
    ),
    (
        "KS-LAB-OTHER",
        "A lab runs on this machine, with another region or at another port than the spec says, so that it is \
         not the one that the spec means. Change the spec to what the message names, or stop that lab with \
         `kubestrap lab stop`; KUBESTRAP_LAB_PORT is the port of the next one.",
    ),
    (
        "KS-LAB-LOST",
        "The lab's own container ended while it held instances. What it knew of them was in its memory, so the \
         cluster is lost, and nothing was removed yet. See what it said last with `kubestrap lab status`, then \
         `kubestrap lab stop` removes what is left of it, and `kubestrap up` begins anew.",
    ),
    (
        "KS-LAB-DIFFERS",
        "A lab runs already, from another binary or bundle or with other options, and has instances that a \
         restart would remove. Keep using it as it is, or `kubestrap lab stop` and start it again; what it \
         held is gone then.",
    ),
    (
        "KS-LAB-NOT-ENFORCED",
        "Before it serves, the lab sends packets that no security group admits, and here they passed, or it \
         could not tell. A cluster that works on such a lab would prove nothing, so it does not start. The \
         kernel must have nftables and connection tracking; `kubestrap lab doctor` shows what is missing.",
    ),
    (
        "KS-LAB-NOT-READY",
        "The lab's container was started, and ended or did not answer within a minute; the message has the \
         end of its log. `kubestrap lab doctor` checks what it needs. Start it again once the cause is \
         mended.",
    ),
    (
        "KS-LAB-LEFTOVERS",
        "The lab was stopped, everything with its label was removed and listed again, and something is \
         still there. Usually another container was attached to the lab's network or uses its volume. \
         Remove what is listed with docker.",
    ),
    (
        "KS-LAB-FILE",
        "A file of this machine that the lab needs could not be read or written: part of the bundle, or of \
         /proc. The message names it. Check that it exists and that this user may use it.",
    ),
    (
        "KS-LAB-ONLY",
        "`lab break` and `lab repair` change security groups on purpose and do so on the lab alone. The \
         spec is of a cluster elsewhere; nothing was touched. Name a spec with provider.kind = \"lab\".",
    ),
];
