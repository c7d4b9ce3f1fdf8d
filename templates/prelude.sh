#!/usr/bin/env bash
# kubestrap: {{ phase | safe }}. Runs as root and may be run again: every block looks before it changes.
set -Eeuo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
umask 022

# What the other side reads: `::progress TEXT` is worth showing, `::fact KEY VALUE` is needed later.
# shellcheck disable=SC2317
progress() { printf '::progress %s\n' "$*"; }
# shellcheck disable=SC2317
fact() { printf '::fact %s %s\n' "$1" "$2"; }
# shellcheck disable=SC2317
die() {
  trap - ERR
  printf 'error: %s\n' "$*" >&2
  exit 1
}
# kubeadm only knows that something did not come up; its reason is in the kubelet's journal.
# shellcheck disable=SC2317
kubelet_says() {
  printf 'the last errors of the kubelet:\n'
  journalctl --unit kubelet --no-pager --output cat --lines 400 | grep -E '^E[0-9]{4} ' | tail -n 4 | cut -c 1-400 || true
}
trap 'printf "error: line %s: %s: exit status %s\n" "$LINENO" "$BASH_COMMAND" "$?" >&2' ERR

# One phase at a time: one whose connection was lost may still be at work.
mkdir -p /run/kubestrap
exec 9>/run/kubestrap/lock
flock -w 300 9 || die "another phase is still at work on this node"
