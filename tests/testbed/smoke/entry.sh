#!/bin/sh
# Makes a container fit for systemd, kubelet and containerd, then becomes its init.
set -e
mount -o remount,rw /sys
# Read-only is a property of each mount here, so it takes a bind remount; on
# cgroup v1 that includes the name=systemd hierarchy.
awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts | while read -r mounted; do
  mount -o remount,bind,rw "$mounted"
done
[ -e /dev/kmsg ] || mknod -m 600 /dev/kmsg c 1 11
mount --make-rshared /
mkdir -p /run/sshd
ls /etc/ssh/ssh_host_*_key >/dev/null 2>&1 || ssh-keygen -A >/dev/null
# No metadata service here; with one, cloud-init does the rest.
touch /etc/cloud/cloud-init.disabled
exec /sbin/init
