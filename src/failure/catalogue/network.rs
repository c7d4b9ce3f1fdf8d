//! Codes of what must pass between nodes: the proof before launch, and what `diagnose` finds later.

pub(super) const PAGES: super::Pages = &[
    (
        "KS-NET-UNPROVEN",
        "From the spec follow the flows that the cluster needs. The planned security groups were evaluated \
         against them as EC2 would, and at least one packet does not pass: the evidence has each packet and \
         the gate that stops it. Nothing was launched; widen the spec's network section as they say.",
    ),
    (
        "KS-NET-MEMBERSHIP",
        "An instance is not in a security group that its role needs, so that rules which name the group as \
         a peer do not reach it. Somebody changed the instance's groups by hand. The command in the finding, \
         `kubestrap diagnose dns --fix` and `kubestrap up` put it back.",
    ),
    (
        "KS-NET-EGRESS-BLOCKED",
        "A security group has no rule that lets nodes send what they must. EC2 allows all egress in a new \
         group, so somebody removed the rule, often to harden it; answers to a connection still pass, new \
         connections do not. The command in the finding adds it, and so does `kubestrap diagnose dns \
         --fix`.",
    ),
    (
        "KS-NET-KUBELET-BLOCKED",
        "The API server cannot reach the kubelets on TCP 10250, because no rule of the group admits it. \
         exec, logs and port-forward fail, while running pods go on. Add the rule with the command in the \
         finding, or with `kubestrap diagnose dns --fix`.",
    ),
    (
        "KS-NET-API-BLOCKED",
        "No rule admits the nodes to the API server on TCP 6443. Their kubelets cannot report, so the nodes \
         turn NotReady after less than a minute, and pods are moved away later. Add the rule with the \
         command in the finding, or with `kubestrap diagnose dns --fix`.",
    ),
    (
        "KS-NET-ADMIN-BLOCKED",
        "No rule admits the ranges of network.admin_cidrs to the API server on TCP 6443, so that kubectl \
         and kubestrap cannot reach it, while the cluster itself works. Add the rule with the command in \
         the finding, or with `kubestrap diagnose dns --fix`.",
    ),
    (
        "KS-NET-ETCD-BLOCKED",
        "No rule lets etcd's members reach each other on TCP 2379-2380. Without a majority etcd takes no \
         writes, and the API server stops answering. Add the rule with the command in the finding, or with \
         `kubestrap diagnose dns --fix`.",
    ),
    (
        "KS-NET-SSH-BLOCKED",
        "No rule admits the ranges of network.admin_cidrs to the nodes on TCP 22. The cluster works; \
         `kubestrap ssh` and the next `kubestrap up` cannot log in. Add the rule with the command in the \
         finding, or with `kubestrap diagnose dns --fix`.",
    ),
    (
        "KS-NET-NODE-PORT-BLOCKED",
        "No rule admits the ranges that network.node_ports promises the port to. The service runs and \
         nobody outside can open it. Add the rule with the command in the finding, or with `kubestrap \
         diagnose dns --fix`.",
    ),
    (
        "KS-NET-FLOW-BLOCKED",
        "A flow that the cluster needs is stopped by a security group for want of a rule; the message names \
         the flow and the evidence the packets. Add the rule with the command in the finding, or with \
         `kubestrap diagnose dns --fix`.",
    ),
    (
        "KS-NET-CALICO",
        "calico-node, which sets up the network of the pods on a node, is not ready there or does not run. \
         Pods on this node may not reach others, and new ones do not start. Its log tells why; often it \
         cannot reach the API server, or its image cannot be pulled.",
    ),
    (
        "KS-NET-KUBE-PROXY",
        "kube-proxy, which turns the addresses of Services into those of pods, is not ready on a node or \
         does not run there. Services, DNS among them, cannot be reached from this node, or by rules that \
         are out of date. Its log tells why.",
    ),
];
