#!/usr/bin/env bash
# Runs make targets from nothing: on a Debian with nothing but git, make and sudo, as a user who may only sudo.
#   tests/tools/fresh-machine.sh [-s SUITE] [-d DIRECTORY] [TARGET]...      (default: trixie, test)
# The machine is a root file system of its own in namespaces of its own; kernel and network are this machine's, whose
# container engine must not run. Needs root, debootstrap and 30 GB. DIRECTORY is kept, so that a second run on it is a
# run with warm caches; remove it when done.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
suite=trixie
directory=
while getopts s:d: option; do
    case $option in
        s) suite=$OPTARG ;;
        d) directory=$OPTARG ;;
        *) exit 64 ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- test
directory=${directory:-/var/tmp/kubestrap-fresh-$suite}
mirror=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null | grep '/debian/*$' | head -n 1)
[ -n "$mirror" ] || { echo "no Debian mirror in this machine's apt configuration" >&2; exit 1; }

if [ ! -e "$directory/whole" ]; then
    rm -rf --one-file-system "$directory"
    mkdir -p "$directory"
    debootstrap --variant=minbase --include=sudo,git,make,ca-certificates,iproute2,procps "$suite" "$directory/root" "$mirror" >&2
    root=$directory/root
    for part in "" -updates; do echo "deb $mirror $suite$part main"; done > "$root/etc/apt/sources.list"
    echo "deb ${mirror%/debian*}/debian-security $suite-security main" >> "$root/etc/apt/sources.list"
    # How this machine reaches its registries: names, certificates, pip's settings.
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    if [ -e /etc/pip.conf ]; then cp /etc/pip.conf "$root/etc/"; fi
    find /usr/local/share/ca-certificates -name '*.crt' -exec cp {} "$root/usr/local/share/ca-certificates/" \;
    chroot "$root" update-ca-certificates > /dev/null
    chroot "$root" useradd --create-home --shell /bin/bash ada
    echo 'ada ALL=(ALL) NOPASSWD:ALL' > "$root/etc/sudoers.d/ada"
    touch "$directory/whole"
fi
root=$directory/root
rm -rf "$root/srv/kubestrap.git" "$root/home/ada/kubestrap"
git clone --quiet --bare "$repository" "$root/srv/kubestrap.git"
chroot "$root" chown -R ada /srv/kubestrap.git

# shellcheck disable=SC2016 # expanded inside
exec unshare --mount --pid --fork --kill-child bash -c '
    root=$1
    shift
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/run"
    mkdir "$root/run/old"
    cd "$root"
    pivot_root . run/old
    umount -l /run/old
    rmdir /run/old
    exec sudo -u ada -H env -i HOME=/home/ada USER=ada PATH=/usr/local/bin:/usr/bin:/bin TERM=dumb bash -euc "
        cd
        git clone --quiet /srv/kubestrap.git
        cd kubestrap
        for target; do
            echo \"fresh: make \$target\"
            SECONDS=0
            make \"\$target\"
            echo \"fresh: make \$target: \$SECONDS s\"
        done
    " fresh "$@"
' fresh "$root" "$@"
