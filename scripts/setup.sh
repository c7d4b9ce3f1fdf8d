#!/usr/bin/env bash
# Installs what is missing on a Debian machine and starts a container engine where none runs.
# `setup.sh run` is for `make up`; `setup.sh test` adds what only the tests need.
set -euo pipefail

purpose=${1:-run}
# Where rustup puts cargo when Debian did not.
PATH=$PATH:$HOME/.cargo/bin

say() { printf '%s\n' "setup: $*" >&2; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# command:package pairs; a package is installed only when its command is missing.
wanted=(ssh:openssh-client dockerd:docker.io ip:iproute2 cc:build-essential curl:curl)
if [ "$purpose" = test ]; then
    wanted+=(sshd:openssh-server shellcheck:shellcheck nft:nftables conntrack:conntrack jq:jq python3:python3-venv)
fi
# Somebody who is not in the engine's group is let in by name, below.
[ "$(id -u)" = 0 ] || wanted+=(setfacl:acl)

missing=()
for pair in "${wanted[@]}"; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" > /dev/null || missing+=("${pair##*:}")
done
install() {
    command -v apt-get > /dev/null || die "install these with your package manager: $*"
    say "installing $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" > /dev/null
}
if [ ${#missing[@]} -gt 0 ]; then install "${missing[@]}"; fi
# Debian 13 has the engine's client in a package of its own; before, it came with the engine.
command -v docker > /dev/null || install docker-cli

# Debian has rustup since 13; before, it comes from the Rust project.
rustup_init() {
    local url work
    url=${RUSTUP_UPDATE_ROOT:-https://static.rust-lang.org/rustup}/dist/$(uname -m)-unknown-linux-gnu/rustup-init
    say "installing rustup from the Rust project"
    work=$(mktemp -d)
    curl --proto '=https' -fsSL "$url" -o "$work/rustup-init" || die "cannot fetch $url"
    chmod +x "$work/rustup-init"
    "$work/rustup-init" -y -q --no-modify-path --default-toolchain none > /dev/null
    rm -r "$work"
}
if ! command -v cargo > /dev/null; then
    case $(apt-cache policy rustup 2> /dev/null) in
        *'Candidate: '[0-9]*) install rustup ;;
        *) rustup_init ;;
    esac
fi

# The toolchain and targets that rust-toolchain.toml names.
rustup show active-toolchain > /dev/null 2>&1 || { say "installing the Rust toolchain"; rustup toolchain install; }
for target in x86_64-unknown-linux-musl aarch64-unknown-linux-musl; do
    rustup target list --installed | grep -qx "$target" || rustup target add "$target"
done

# A container engine: the service manager's where there is one, by hand where there is none.
engine_answers() { docker info > /dev/null 2>&1 || as_root docker info > /dev/null 2>&1; }
if ! engine_answers; then
    if [ -d /run/systemd/system ]; then
        say "starting docker"
        as_root systemctl start docker
    else
        say "starting dockerd by hand: no service manager runs here"
        log=/var/log/kubestrap-dockerd.log
        as_root sh -c "PATH=\$PATH:/usr/sbin:/sbin setsid nohup dockerd > $log 2>&1 < /dev/null &"
    fi
    for _ in $(seq 60); do
        engine_answers && break
        sleep 0.5
    done
    engine_answers || die "the container engine does not answer within 30 s; see 'docker info'"
fi

# Somebody who can sudo but is not in the engine's group: join it, and be let in until the next login.
if ! docker info > /dev/null 2>&1; then
    say "letting $(id -un) use the container engine"
    as_root usermod -aG docker "$(id -un)"
    as_root setfacl -m "u:$(id -un):rw" /var/run/docker.sock
fi
