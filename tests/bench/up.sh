#!/usr/bin/env bash
# `kubestrap up` against a plain shell script that does the same steps in order, on the same lab.
# Prints both times and their ratio; neither passes nor fails.
#
# The script is what a careful person would write: the AWS CLI's calls one by one, then ssh into each
# node in turn, until the same things are true: all nodes Ready, Calico healthy, names resolve on every node.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kubestrap=${1:?usage: up.sh KUBESTRAP}
export KUBESTRAP_FILE=${KUBESTRAP_FILE:-$here/../../examples/lab.toml}

# The AWS CLI, from the Python packages, kept with the other caches.
cache=${KUBESTRAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubestrap}
if [ ! -x "$cache/venv-aws/bin/aws" ]; then
    python3 -m venv "$cache/venv-aws"
    "$cache/venv-aws/bin/pip" install --quiet awscli==1.44.5
fi
PATH=$cache/venv-aws/bin:$PATH

seconds() { date +%s.%N; }

if "$kubestrap" lab status -o json | grep -q '"running"'; then
    echo "a lab is running; stop it first: make down" >&2
    exit 1
fi
"$kubestrap" lab start > /dev/null
start=$(seconds)
"$kubestrap" up --yes > /dev/null 2>&1
ours=$(awk "BEGIN { print $(seconds) - $start }")
"$kubestrap" lab stop > /dev/null
"$kubestrap" lab start > /dev/null

start=$(seconds)
"$here/by-hand.sh" "$kubestrap"
theirs=$(awk "BEGIN { print $(seconds) - $start }")

printf 'kubestrap up   %6.1f s\nby hand        %6.1f s\nratio          %6.2f\n' "$ours" "$theirs" "$(awk "BEGIN { print $ours / $theirs }")"
"$kubestrap" lab stop > /dev/null
