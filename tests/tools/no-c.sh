#!/bin/sh
# Proves that nothing in the services' dependency trees compiles or links C: that is what lets one
# machine build both platforms with the linker that ships with Rust.
# Usage: tests/tools/no-c.sh   (exit 0: none; exit 1: names the crates and who brings them)
set -eu
cd "$(dirname "$0")/../.."
failed=0
for package in marketplace recommendations; do
    for target in x86_64-unknown-linux-musl aarch64-unknown-linux-musl; do
        # Build scripts reach C through these; a prebuilt C library is a -sys crate.
        # linux-raw-sys holds constants alone.
        found=$(cargo tree --quiet --locked --package "$package" --target "$target" \
            --edges normal,build --prefix none --format '{p}' | cut -d' ' -f1 | sort -u |
            grep -E '^(cc|cmake|autotools|bindgen|pkg-config|vcpkg|nasm-rs|ring|openssl|native-tls|.*-sys|aws-lc.*)$' |
            grep -vx 'linux-raw-sys' || true)
        for name in $found; do
            echo "no-c: $package for $target depends on $name:" >&2
            cargo tree --quiet --locked --package "$package" --target "$target" \
                --edges normal,build --invert "$name" >&2
            failed=1
        done
    done
done
[ "$failed" -eq 0 ] && echo "no-c: the services' dependency trees hold no C"
exit "$failed"
