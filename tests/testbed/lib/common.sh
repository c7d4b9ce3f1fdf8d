# Helpers for build.sh and the parts. Progress goes to stderr, results to stdout.
# shellcheck shell=bash

say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# as_root COMMAND... runs it as root, through sudo where needed.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -- "$@"
  else
    die "this needs root, and there is no sudo: $*"
  fi
}

# What dpkg says of its work is noise; what goes wrong it says on stderr.
apt_install() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }

# need COMMAND PACKAGE... installs the Debian packages if the command is missing.
need() {
  local command=$1
  shift
  PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null && return
  command -v apt-get >/dev/null || die "$command is missing, and there is no apt-get to install it with ($*)"
  say "  installing $* (for $command)"
  apt_install "$@" || { as_root apt-get update -qq >&2 && apt_install "$@"; } ||
    die "cannot install $*: run 'apt-get install $*' and try again"
}

# version_at_least HAVE WANTED
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# need_go finds a Go toolchain, or has an older one fetch it from the module proxy.
need_go() {
  local have toolchain
  need go golang-go
  have=$(GOTOOLCHAIN=local go env GOVERSION)
  have=${have#go}
  have=${have%% *}
  if version_at_least "$have" "$GO_NEEDED"; then
    export GOTOOLCHAIN=local
  elif version_at_least "$have" 1.21; then
    export GOTOOLCHAIN=auto
  else
    # Before 1.21 (Debian 12) go does not fetch a newer one by itself. But a toolchain is a module, and modules it
    # fetches and verifies; only the files' x bits are lost.
    say "  fetching go $GO_NEEDED: this machine's is $have"
    toolchain=$(go mod download -json "golang.org/toolchain@v0.0.1-go$GO_NEEDED.linux-$(debian_arch)" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    [ -n "$toolchain" ] || die "go $have is too old, and go $GO_NEEDED could not be fetched"
    find "$toolchain/bin" "$toolchain/pkg/tool" -type f -exec chmod a+x {} +
    export PATH=$toolchain/bin:$PATH GOTOOLCHAIN=local
  fi
}

# debian_arch prints Debian's (and Go's) name of this machine's architecture.
debian_arch() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) die "unsupported architecture: $(uname -m)" ;;
  esac
}

# debian_mirror [-security] prints the Debian mirror that this machine's own apt uses.
debian_mirror() {
  local mirror=${KUBESTRAP_DEBIAN_MIRROR:-} codename
  if [ -n "$mirror" ]; then
    [ -z "${1:-}" ] || mirror=${mirror%/debian}/debian-security
  elif grep -q '^ID=debian$' /etc/os-release; then
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    # shellcheck disable=SC2016 # apt expands these, not the shell
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Release: $codename${1:-}" 'Component: main' | head -n 1)
  fi
  # Some machines have no security mirror; there is always an archive.
  [ -n "$mirror" ] || [ -n "${1:-}" ] || die "no Debian mirror in this machine's apt configuration: set KUBESTRAP_DEBIAN_MIRROR"
  echo "${mirror%/}"
}

# hash_files FILE... prints one digest of the names and contents.
hash_files() {
  sha256sum -- "$@" | sha256sum | cut -c 1-16
}
