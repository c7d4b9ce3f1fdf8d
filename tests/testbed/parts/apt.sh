#!/usr/bin/env bash
# Makes the apt repository from the built programs and Debian's packages: apt.sh PARTS OUT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. lib/versions.sh
. lib/common.sh

parts=$1 out=$2
arch=$(debian_arch)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
SOURCE_DATE_EPOCH=$(date -d "$KUBERNETES_DATE" +%s)
export SOURCE_DATE_EPOCH
umask 022
need dpkg-scanpackages dpkg-dev

pool=$out/pool
mkdir -p "$pool"
cp "$parts"/debian/pool/*.deb "$pool/"

# package NAME VERSION SUMMARY [FIELD...]: packs $work/NAME, with what the caller put there.
package() {
  local name=$1 version=$2 summary=$3
  shift 3
  local tree=$work/$name
  mkdir -p "$tree/DEBIAN"
  {
    printf 'Package: %s\nVersion: %s\nArchitecture: %s\n' "$name" "$version" "$arch"
    printf 'Maintainer: kubestrap test bed <testbed@kubestrap.invalid>\nSection: net\nPriority: optional\n'
    printf 'Homepage: https://kubernetes.io\nInstalled-Size: %s\n' "$(du -sk --exclude=DEBIAN "$tree" | cut -f 1)"
    [ $# -eq 0 ] || printf '%s\n' "$@"
    printf 'Description: %s\n' "$summary"
  } >"$tree/DEBIAN/control"
  find "$tree" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -Zzstd -z3 --build "$tree" "$pool/${name}_${version}_$arch.deb" >/dev/null
}

kubernetes=$KUBERNETES_VERSION-$KUBERNETES_REVISION
kube=$parts/kubernetes

install -D -m 755 "$kube/kubectl" "$work/kubectl/usr/bin/kubectl"
package kubectl "$kubernetes" "Command-line utility for interacting with a Kubernetes cluster"

install -D -m 755 "$kube/kubeadm" "$work/kubeadm/usr/bin/kubeadm"
install -D -m 644 packages/10-kubeadm.conf "$work/kubeadm/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf"
package kubeadm "$kubernetes" "Command-line utility for administering a Kubernetes cluster"

install -D -m 755 "$kube/kubelet" "$work/kubelet/usr/bin/kubelet"
install -D -m 644 packages/kubelet.service "$work/kubelet/usr/lib/systemd/system/kubelet.service"
install -D -m 644 /dev/stdin "$work/kubelet/etc/default/kubelet" <<<"KUBELET_EXTRA_ARGS="
install -D -m 644 /dev/null "$work/kubelet/etc/kubernetes/manifests/.kubelet-keep"
install -D -m 644 /dev/null "$work/kubelet/var/lib/kubelet/.kubelet-keep"
mkdir "$work/kubelet/DEBIAN"
echo /etc/default/kubelet >"$work/kubelet/DEBIAN/conffiles"
for script in postinst prerm postrm; do
  install -m 755 "packages/kubelet.$script" "$work/kubelet/DEBIAN/$script"
done
package kubelet "$kubernetes" "Node agent for Kubernetes clusters" \
  'Depends: kubernetes-cni (>= 1.2.0), mount, util-linux' 'Recommends: iptables (>= 1.8.4)'

install -D -m 755 -t "$work/kubernetes-cni/opt/cni/bin" "$parts"/cni/*
package kubernetes-cni "$CNI_VERSION-$KUBERNETES_REVISION" "Binaries required to provision Kubernetes container networking"

dist=$out/dists/stable
index=$dist/main/binary-$arch
mkdir -p "$index"
(cd "$out" && dpkg-scanpackages --multiversion pool 2>/dev/null) >"$index/Packages"
gzip -9nk "$index/Packages"
{
  printf 'Origin: kubestrap\nLabel: kubestrap\nSuite: stable\nCodename: stable\nArchitectures: %s\nComponents: main\n' "$arch"
  printf 'Date: %s\nSHA256:\n' "$(date -u -R -d "@$SOURCE_DATE_EPOCH")"
  cd "$dist"
  for file in main/binary-*/*; do
    printf ' %s %s %s\n' "$(sha256sum "$file" | cut -d ' ' -f 1)" "$(stat -c %s "$file")" "$file"
  done
} >"$work/Release"
mv "$work/Release" "$dist/Release"
