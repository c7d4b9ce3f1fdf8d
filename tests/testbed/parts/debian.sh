#!/usr/bin/env bash
# Makes, as root, everything that comes from Debian: debian.sh MIRROR SECURITY-MIRROR OUT
#   node.tar      a stock Debian 13 root file system
#   nettools.tar  nft, iptables, ipset, conntrack and ip with their libraries, for images
#   runit.tar     runsvdir and friends, for the calico/node image
#   busybox       the static one
#   pool/         containerd, runc, and the network tools a stock image lacks
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. lib/versions.sh
. lib/common.sh

mirror=$1 security=$2 out=$3
work=$(mktemp -d "$out/.work.XXXXXX")
root=$work/root
trap 'umount "$root/proc" 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT
# The machine's own proxy, where it has one, for debootstrap and apt.
eval "$(apt-config shell proxy Acquire::http::Proxy)"
[ -z "${proxy:-}" ] || export http_proxy=$proxy
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# What Debian's own cloud image has, as far as a node cares; no chrony, which would set the clock of the host.
stock=(systemd systemd-sysv dbus libpam-systemd udev openssh-server cloud-init cloud-guest-utils sudo
  ca-certificates curl iproute2 nftables iputils-ping kmod procps less)
# What it lacks and Kubernetes wants: installed in the node, and kept in pool/ for others.
tools=(conntrack iptables ipset ethtool socat)

in_root() { chroot "$root" /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
apt_root() { in_root apt-get -q -y -o Acquire::Check-Valid-Until=false -o Dpkg::Options::=--force-unsafe-io --no-install-recommends "$@"; }

step() { printf '== %s %s\n' "$(date +%T)" "$*"; }

step "debootstrap $DEBIAN_SUITE"
debootstrap --variant=minbase --keyring="$keyring" "$DEBIAN_SUITE" "$root" "$mirror"
# No service may start, and nothing may be configured for this machine.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
mount -t proc proc "$root/proc"

step "stock packages"
{
  echo "deb $mirror $DEBIAN_SUITE main"
  echo "deb $mirror $DEBIAN_SUITE-updates main"
  # Without security updates it is an older image, not an error.
  if [ -n "$security" ] && wget -q -O /dev/null "$security/dists/$DEBIAN_SUITE-security/Release"; then
    echo "deb $security $DEBIAN_SUITE-security main"
  fi
} >"$root/etc/apt/sources.list"
apt_root update
apt_root dist-upgrade
apt_root install "${stock[@]}"

step "tools"
apt_root clean
apt_root install --download-only "${tools[@]}"
mkdir -p "$out/pool"
cp "$root"/var/cache/apt/archives/*.deb "$out/pool/"
apt_root install "${tools[@]}"

step "containerd and runc of $DEBIAN_CONTAINERD_SUITE, runit, busybox"
extra=$root/tmp/extra
mkdir -p "$extra"
# apt downloads as its own user.
chmod 777 "$extra"
in_root sh -c 'cd /tmp/extra && apt-get -q download runit busybox-static'
echo "deb $mirror $DEBIAN_CONTAINERD_SUITE main" >"$root/etc/apt/sources.list.d/containerd.list"
printf 'Package: *\nPin: release a=%s\nPin-Priority: 1\n' "$DEBIAN_CONTAINERD_SUITE" >"$root/etc/apt/preferences.d/containerd"
apt_root update
# They must install on the stock suite, without anything else of the newer one.
apt_root clean
apt_root install --download-only "containerd/$DEBIAN_CONTAINERD_SUITE" "runc/$DEBIAN_CONTAINERD_SUITE"
cp "$root"/var/cache/apt/archives/*.deb "$out/pool/"
version=$(dpkg-deb -f "$out"/pool/containerd_*.deb Version)
case $version in
  [01].*) die "containerd $version is too old for Kubernetes $KUBERNETES_VERSION" ;;
esac

dpkg-deb -x "$extra"/busybox-static_*.deb "$work/busybox"
install -m 755 "$work/busybox/usr/bin/busybox" "$out/busybox"
dpkg-deb -x "$extra"/runit_*.deb "$work/runit"
tar -C "$work/runit" -cf "$out/runit.tar" usr/bin/{runsv,runsvdir,sv,svlogd,chpst}

# The names of a Debian archive have no epoch.
for deb in "$out"/pool/*%3a*; do mv "$deb" "${deb//_*%3a/_}"; done

step "network tools for images"
programs=(/usr/sbin/nft /usr/sbin/xtables-nft-multi /usr/sbin/ipset /usr/sbin/conntrack /usr/bin/ip /usr/sbin/tc)
libraries() { in_root ldd "$@" | awk '$2 == "=>" { print $3 } $1 ~ /^\// && $1 !~ /:$/ { print $1 }'; }
{
  printf '%s\n' "${programs[@]}" /usr/sbin/ip
  libraries "${programs[@]}"
  cd "$root"
  # Every name of the nft variant of iptables, and the match and target modules.
  find usr/sbin -lname '*xtables-nft-multi' -printf '/%p\n'
  find usr/lib -path '*/xtables/*.so' -printf '/%p\n'
} | while read -r path; do
  # Through the symbolic links: both the link and what it points to.
  echo "${path#/}"
  real=$(in_root readlink -f "$path")
  echo "${real#/}"
done | sed 's,^\(lib\|lib64\|bin\|sbin\)/,usr/\1/,' | sort -u >"$work/nettools"
tar -C "$root" -cf "$work/nettools-plain.tar" --no-recursion -T "$work/nettools"
# iptables and ip6tables are links into /etc/alternatives on Debian: point them at the nft variant.
mkdir -p "$work/links/usr/sbin"
for name in {iptables,ip6tables}{,-save,-restore}; do
  ln -s xtables-nft-multi "$work/links/usr/sbin/$name"
done
(cd "$work/links" && tar -rf "$work/nettools-plain.tar" usr/sbin/*)
mv "$work/nettools-plain.tar" "$out/nettools.tar"

step "node.tar"
rm -f "$root/etc/apt/sources.list.d/containerd.list" "$root/etc/apt/preferences.d/containerd" "$root/etc/apt/sources.list"
install -m 644 debian/debian.sources "$root/etc/apt/sources.list.d/debian.sources"
install -m 644 -t "$root/etc/cloud/cloud.cfg.d" debian/cloud.cfg.d/*.cfg
# The file system belongs to nobody yet: every instance makes its own identity.
: >"$root/etc/machine-id"
: >"$root/etc/resolv.conf"
rm -f "$root/var/lib/dbus/machine-id" "$root"/etc/ssh/ssh_host_* "$root/etc/hostname" "$root/usr/sbin/policy-rc.d"
rm -rf "$extra" "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/log/*.log "$root"/var/log/apt "$root"/tmp/* \
  "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/*
mkdir -p "$root/var/cache/apt/archives/partial" "$root/var/log/apt"
in_root systemctl mask systemd-networkd-wait-online.service >/dev/null 2>&1 || true
umount "$root/proc"
tar -C "$root" --numeric-owner --sort=name --one-file-system -cf "$out/node.tar" .
step "done"
