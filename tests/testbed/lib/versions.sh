# What the bundle holds. The Go modules under go/ pin the same versions by hash.
# shellcheck shell=bash disable=SC2034
KUBERNETES_VERSION=1.36.3
KUBERNETES_DATE=2026-07-22T18:07:38Z
KUBERNETES_REVISION=1.1 # the package revision, as the Kubernetes project counts
CNI_VERSION=1.9.1
ETCD_VERSION=3.6.8
ETCD_IMAGE_REVISION=0
COREDNS_VERSION=1.14.2
PAUSE_VERSION=3.10.2
CALICO_VERSION=3.31.0
BUSYBOX_VERSION=1.37

DEBIAN_SUITE=trixie
# containerd 2.x, which Kubernetes 1.36 needs, and its runc come from here.
DEBIAN_CONTAINERD_SUITE=unstable

GO_NEEDED=1.26.0
