#!/usr/bin/env bash
# Assembles the container images: images.sh PARTS OUT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. lib/versions.sh
. lib/common.sh

parts=$1 out=$2
need_go
export KUBERNETES_VERSION COREDNS_VERSION PAUSE_VERSION ETCD_VERSION CALICO_VERSION BUSYBOX_VERSION
export ETCD_IMAGE_VERSION=$ETCD_IMAGE_REVISION
(cd go/images && go run . -parts "$parts" -out "$out/images" -arch "$(debian_arch)") >"$out/images.txt"

# kubeadm and the Calico manifest have the last word on what is needed.
{
  "$parts/kubernetes/kubeadm" config images list --kubernetes-version "v$KUBERNETES_VERSION" 2>/dev/null
  sed -n 's/^ *image: *//p' "$parts/calico/calico-vxlan.yaml"
} | sort -u | while read -r image; do
  grep -qxF "$image" "$out/images.txt" || die "the bundle lacks $image"
done
