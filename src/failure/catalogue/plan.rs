//! Codes of planning: nothing was changed when one of these is shown.

pub(super) const PAGES: super::Pages = &[
    (
        "KS-PLAN-FOREIGN",
        "Something holds a name that this cluster needs and does not carry its id. A cluster's id is made \
         of its name, the account and the region, and is on every resource as the tag kubestrap:cluster-id; \
         without the tag a resource is somebody else's. Rename the cluster in the spec, or remove what the \
         evidence lists.",
    ),
    (
        "KS-PLAN-IMMUTABLE",
        "This property cannot be changed while the resource exists: the range of a VPC or subnet, the type \
         of an instance. Put the old value back into the spec. To have the new one, `kubestrap down` and \
         then `kubestrap up`; for worker nodes a new pool beside the old one does it without an \
         interruption.",
    ),
    (
        "KS-PLAN-SHRINK",
        "The cloud has a node of this cluster that the spec does not name: a count was lowered or a pool \
         was removed or renamed. kubestrap does not remove nodes with workloads on its own. Put the node \
         back into the spec, or drain it, delete it from Kubernetes and terminate its instance.",
    ),
    (
        "KS-PLAN-TWICE",
        "Two instances carry the tags of one node. Only one of them is in Kubernetes under the node's name; the \
         other was launched by a run whose answer was lost, or by somebody who copied the tags. Compare their \
         private addresses with `kubectl get nodes -o wide` and terminate the one that is not there.",
    ),
    (
        "KS-PLAN-NOT-RUNNING",
        "An instance of the cluster is stopped or on its way out, and only a person can say what is meant. \
         Start it again, or terminate it: a worker that is gone is replaced by the next `kubestrap up`.",
    ),
    (
        "KS-PLAN-CONTROL-PLANE-LOST",
        "The only control plane instance is gone, and etcd's data with it, while workers still belong to \
         it. A new control plane would not know them. Run `kubestrap down`, then `kubestrap up` and \
         `kubestrap deploy`.",
    ),
];
