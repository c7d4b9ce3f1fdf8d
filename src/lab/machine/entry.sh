# The first process of an instance, until systemd takes over: what firmware, hypervisor and DHCP
# do on EC2. Arguments: instance id, resolver, search domain.
set -eu
id=$1 resolver=$2 domain=$3

# The lab says so when ens5 is connected and configured.
read -r attached
ip link show dev ens5 >/dev/null

# The engine gives these read-only where the container is not privileged.
mount -o remount,rw /sys || mount -o remount,bind,rw /sys
while read -r _ target type _; do
  case $type in
    cgroup | cgroup2) mount -o remount,bind,rw "$target" ;;
  esac
done </proc/self/mounts

# cloud-init and others ask the firmware whether this is EC2.
dmi=/run/firmware
mkdir -p $dmi
mount -t tmpfs -o mode=0755,size=64k tmpfs $dmi
uuid=ec2$(printf %s "$id" | sha256sum | cut -c4-32)
uuid=$(echo "$uuid" | sed 's/\(.\{8\}\)\(.\{4\}\)\(.\{4\}\)\(.\{4\}\)/\1-\2-\3-\4-/' | cut -c1-36)
for name in product_uuid product_serial; do echo "$uuid" >$dmi/$name; done
for name in sys_vendor board_vendor bios_vendor chassis_vendor chassis_asset_tag; do
  echo "Amazon EC2" >$dmi/$name
done
echo "$id" >$dmi/board_asset_tag
if [ -d /sys/class/dmi/id ]; then
  mount --bind $dmi /sys/class/dmi/id
else
  # A kernel without firmware tables: the class directory again, with one class more. The links
  # in it are relative and still lead into /sys/devices; net changes over time, so it is bound.
  mkdir -p /run/class/dmi
  cp -dR /sys/class/. /run/class/ 2>/dev/null || true
  rm -rf /run/class/net
  mkdir -p /run/class/net /run/class/dmi/id
  mount --bind /sys/class/net /run/class/net
  cp $dmi/* /run/class/dmi/id/
  mount --rbind /run/class /sys/class
fi

# cloud-init does not ask a container's firmware, and without the answer it never asks the metadata
# service for a token. To it alone, this is a machine. It then wants a lease before it asks; ens5 is
# configured already, and nobody answers its DHCP clients, for which it would wait 30 s.
mkdir -p /run/lab/bin
for tool in systemd-detect-virt dhcpcd dhclient udhcpc; do ln -sf /bin/false /run/lab/bin/$tool; done
for unit in cloud-init.service cloud-init-.service; do
  mkdir -p "/run/systemd/system/$unit.d"
  printf '[Service]\nEnvironment=PATH=/run/lab/bin:%s\n' "$PATH" >"/run/systemd/system/$unit.d/lab.conf"
done

[ -e /dev/kmsg ] || mknod /dev/kmsg c 1 11
mount --make-rshared /
mkdir -p /run/sshd

# Both are mounts of the engine, hence written and not replaced.
printf 'search %s\nnameserver %s\n' "$domain" "$resolver" >/etc/resolv.conf

exec /sbin/init
