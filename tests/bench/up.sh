#!/usr/bin/env bash
# `kubestrap up` against a plain shell script that does the same steps in order, on the same lab.
# Prints both times and their ratio; neither passes nor fails.
#
# The script is what a careful person would write: the AWS CLI's calls one by one, then ssh into each
# node in turn. It uses kubestrap's own rendered node scripts, so that both install the same things.
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

"$kubestrap" lab stop > /dev/null
"$kubestrap" lab start > /dev/null
start=$(seconds)
"$kubestrap" up --yes > /dev/null 2>&1
ours=$(echo "$(seconds) - $start" | bc)
"$kubestrap" lab stop > /dev/null
"$kubestrap" lab start > /dev/null

start=$(seconds)
"$here/by-hand.sh" "$kubestrap"
theirs=$(echo "$(seconds) - $start" | bc)

printf 'kubestrap up   %6.1f s\nby hand        %6.1f s\nratio          %6.2f\n' "$ours" "$theirs" "$(echo "$ours / $theirs" | bc -l)"
"$kubestrap" lab stop > /dev/null
