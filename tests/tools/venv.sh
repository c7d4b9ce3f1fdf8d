#!/bin/sh
# Makes the Python environment of the lab's outside judges and prints its path.
# Idempotent and safe to run in parallel: one folder for each set of pins, moved in place when whole.
set -eu

pins="boto3==1.44.5 moto[server]==5.2.5"
cache="${KUBESTRAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubestrap}"
key=$(printf '%s' "$pins" | sha256sum | cut -c1-12)
venv="$cache/venv-$key"

if [ ! -e "$venv/whole" ]; then
    mkdir -p "$cache"
    # A virtual environment knows its own path, so it is built where it stays, under a lock.
    exec 9>"$cache/venv-$key.lock"
    flock 9
    if [ ! -e "$venv/whole" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv" >&2
        # shellcheck disable=SC2086  # the pins are words
        "$venv/bin/pip" install --quiet --disable-pip-version-check $pins >&2
        touch "$venv/whole"
    fi
fi
printf '%s\n' "$venv"
