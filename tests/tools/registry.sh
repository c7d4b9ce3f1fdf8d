#!/bin/sh
# Prints the path of a real image registry (CNCF distribution, from Debian) for the tests, and
# fetches it first where it is missing. No root and no service: the package is unpacked, not installed.
# Usage: tests/tools/registry.sh
set -eu
if command -v docker-registry >/dev/null 2>&1; then
    command -v docker-registry
    exit 0
fi
cache=${KUBESTRAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubestrap}/tools/registry
if [ ! -x "$cache/docker-registry" ]; then
    mkdir -p "$cache"
    work=$(mktemp -d "$cache/.get.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    if command -v apt-get >/dev/null 2>&1 && (cd "$work" && apt-get download -qq docker-registry >&2); then
        dpkg-deb --extract "$work"/docker-registry_*.deb "$work/files"
        # A rename is atomic: two runs at a time cannot see half a file.
        mv "$work/files/usr/bin/docker-registry" "$cache/docker-registry"
    else
        echo "registry.sh: cannot get docker-registry; run 'apt-get update' (or install a package that holds it)" >&2
        exit 1
    fi
fi
echo "$cache/docker-registry"
