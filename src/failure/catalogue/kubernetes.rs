//! Codes of the Kubernetes API and of what is deployed through it.

pub(super) const PAGES: super::Pages = &[
    (
        "KS-API-UNREACHABLE",
        "The Kubernetes API server does not answer from here on TCP 6443. Either your address is not in \
         network.admin_cidrs (it changes with the network that you are in), or the control plane's instance \
         or kube-apiserver does not run. `kubestrap diagnose dns` tells which of the two, as far as \
         security groups can tell.",
    ),
    (
        "KS-API-UNAUTHORIZED",
        "The API server answers and refuses these credentials. They are usually of a cluster of the same \
         name that was there before, or have expired: kubeadm's client certificates last a year. Delete the \
         kubeconfig that is kept under ~/.local/state/kubestrap, and the next command fetches a fresh one \
         from the control plane.",
    ),
    (
        "KS-API-KUBECONFIG",
        "This machine has no kubeconfig of the cluster, so Kubernetes could not be asked; the security \
         groups were judged all the same. It is kept where `up` ran. `kubestrap kubeconfig` fetches it from \
         the control plane.",
    ),
    (
        "KS-API-REFUSED",
        "The API server refused an object or a question, for the reason that the message gives. Mostly \
         something else in the cluster objects: an admission webhook, a quota, a field that another manager \
         owns. Mend that and run the command again.",
    ),
    (
        "KS-API-DEADLINE",
        "Something in the cluster did not become ready in time. The evidence is what the API server showed \
         last: an image that cannot be pulled, a container that crashes, a pod that no node has room for. \
         Mend the cause and run the command again; if lookups or packets are lost, `kubestrap diagnose dns` \
         finds where.",
    ),
    (
        "KS-MANIFEST",
        "A kubeconfig or a manifest is not what it should be: not YAML, or without a field that is needed. \
         The message names it. For ~/.kube/config or one from sources mend the file; a manifest that \
         kubestrap writes itself is a fault to report.",
    ),
    (
        "KS-CHECK",
        "The service was rolled out, and its page did not come through every node as services.check asks. \
         The evidence tells what each node answered. A node that does not answer at all is a matter of \
         network.node_ports or of kube-proxy; a 503 that names a lookup is DNS, which `kubestrap diagnose \
         dns` finds.",
    ),
];
