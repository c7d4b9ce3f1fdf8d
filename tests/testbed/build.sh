#!/usr/bin/env bash
# Builds the bundle: an apt repository, container images, the Calico manifest and
# a node root file system, from Go modules and Debian packages alone. Prints the
# bundle's path; progress goes to stderr. See README.md.
#
#   build.sh [--rebuild PART|all]... [--prune]
#
# --rebuild makes a part again although its inputs are the same (Debian's updates);
# --prune then removes every other bundle and part from the cache.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here"
. lib/versions.sh
. lib/common.sh

usage() {
  sed -n '2,/^set/{s/^# \{0,1\}//p}' "$here/build.sh" >&2
  exit 2
}

rebuild=() prune=
while [ $# -gt 0 ]; do
  case $1 in
    --rebuild) rebuild+=("${2:?--rebuild needs a part}") && shift 2 ;;
    --prune) prune=yes && shift ;;
    *) usage ;;
  esac
done

cache=${KUBESTRAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubestrap}/bundle
arch=$(debian_arch)
go_parts=(pause cni etcd coredns calico kubernetes)
all_parts=(debian "${go_parts[@]}" apt images)

# inputs PART lists the files that decide what the part is.
inputs() {
  case $1 in
    debian) find parts/debian.sh debian -type f ;;
    apt) find parts/apt.sh packages -type f ;;
    images) find parts/images.sh go/images -type f ;;
    *) find parts/go.sh "go/$1" -type f ;;
  esac
  echo lib/versions.sh
}

# needs PART lists the parts whose results it reads.
needs() {
  case $1 in
    apt) echo debian kubernetes cni ;;
    images) echo debian "${go_parts[@]}" ;;
  esac
}

# A part is named by the hash of its inputs and of the parts it needs.
declare -A key
for part in "${all_parts[@]}"; do
  mapfile -t files < <(inputs "$part" | sort)
  key[$part]=$({
    echo "$part $arch"
    hash_files "${files[@]}"
    for needed in $(needs "$part"); do echo "${key[$needed]}"; done
  } | sha256sum | cut -c 1-16)
done
id=$(for part in "${all_parts[@]}"; do echo "$part ${key[$part]}"; done | cat - build.sh lib/common.sh | sha256sum | cut -c 1-16)
bundle=$cache/$id

# One build at a time. The parts inherit the lock: what outlives a killed build still holds it.
take_lock() {
  mkdir -p "$cache/parts" "$cache/logs"
  exec 9>>"$cache/.lock"
  if ! flock -n 9; then
    say "another build of the bundle is running (pid $(cat "$cache/.builder" 2>/dev/null || echo unknown)): waiting for it"
    flock 9
  fi
  echo $$ >"$cache/.builder"
}

finish() {
  ln -sfn "$id" "$cache/.current.$$"
  mv -T "$cache/.current.$$" "$cache/current"
  if [ -n "$prune" ]; then
    take_lock
    local kept=("! -name $id" "! -name parts" "! -name logs") part
    for part in "${all_parts[@]}"; do kept+=("! -name $part-${key[$part]}"); done
    # shellcheck disable=SC2048,SC2086 # each element is two or three words
    find "$cache" "$cache/parts" -mindepth 1 -maxdepth 1 -type d ${kept[*]} -exec rm -rf {} +
  fi
  echo "$bundle"
  exit 0
}
if [ ${#rebuild[@]} -eq 0 ] && [ -f "$bundle/bundle.json" ]; then
  finish
fi

take_lock
if [ ${#rebuild[@]} -eq 0 ] && [ -f "$bundle/bundle.json" ]; then
  finish
fi
# drop PART forgets it and the parts made from it.
drop() {
  local part
  rm -rf "$cache/parts/$1-${key[$1]}"
  for part in "${all_parts[@]}"; do
    if [[ " $(needs "$part") " == *" $1 "* ]]; then drop "$part"; fi
  done
}
for part in ${rebuild[@]+"${rebuild[@]}"}; do
  if [ "$part" = all ]; then
    for each in "${all_parts[@]}"; do drop "$each"; done
  else
    [ -n "${key[$part]:-}" ] || die "no such part: $part (there are: ${all_parts[*]})"
    drop "$part"
  fi
  rm -rf "$bundle"
done
# What an interrupted build left.
rm -rf "$cache"/parts/.tmp.* "$cache"/.tmp.* 2>/dev/null || as_root rm -rf --one-file-system "$cache"/parts/.tmp.*

# build PART makes it in a temporary directory; only a whole one gets its name.
build() {
  local part=$1 made=$cache/parts/$1-${key[$1]} log=$cache/logs/$1.log start=$SECONDS tmp
  [ -d "$made" ] && return
  tmp=$cache/parts/.tmp.$part
  mkdir "$tmp"
  : >"$log"
  if ! (
    case $part in
      debian)
        # In a mount namespace of its own, so that nothing stays mounted whatever happens.
        mirror=$(debian_mirror) && security=$(debian_mirror -security) &&
          as_root unshare --mount bash parts/debian.sh "$mirror" "$security" "$tmp" &&
          as_root chown -R "$(id -u):$(id -g)" "$tmp"
        ;;
      apt | images) bash "parts/$part.sh" "$view" "$tmp" ;;
      *) bash parts/go.sh "$part" "$tmp" ;;
    esac
  ) >>"$log" 2>&1; then
    say "$(printf '  %-11s failed after %d s; the end of %s:' "$part" $((SECONDS - start)) "$log")"
    tail -n 20 "$log" | sed 's/^/    /' >&2
    return 1
  fi
  mv -T "$tmp" "$made"
  say "$(printf '  %-11s %4d s' "$part" $((SECONDS - start)))"
}

say "building the bundle in $bundle (about 12 minutes on 2 cores from nothing)"
need_go
need flock util-linux
need wget wget
need debootstrap debootstrap
need dpkg-scanpackages dpkg-dev
if ! [ -e "/usr/share/keyrings/debian-archive-$DEBIAN_SUITE-stable.gpg" ]; then
  say "  the keys of Debian $DEBIAN_SUITE are missing: installing a newer debian-archive-keyring"
  as_root apt-get install -y -q debian-archive-keyring >&2
fi
free=$(df -Pk "$cache" | awk 'NR == 2 { print int($4 / 1024) }')
[ "$free" -ge 4096 ] || die "$cache has $free MB free: a bundle needs 4096 while it is made"
total=$SECONDS

# A directory where every part is found by its name.
view=$cache/.tmp.view
mkdir "$view"
for part in "${all_parts[@]}"; do ln -s "$cache/parts/$part-${key[$part]}" "$view/$part"; done

# Each part is a process group of its own, so that a signal to this script ends them.
running=()
start() {
  set -m
  build "$1" &
  running+=($!)
  set +m
}
# shellcheck disable=SC2317 # the trap calls it
stop() {
  local group
  for group in "${running[@]}"; do kill -- "-$group" 2>/dev/null || true; done
  say "interrupted: the finished parts are kept"
  exit 130
}
trap stop INT TERM HUP

# Debian's part waits for the network and dpkg, so it goes beside the compilers.
as_root true # a password is asked for here, not behind the parts' back
start debian
failed=
for part in "${go_parts[@]}"; do
  start "$part"
  wait $! || failed="$failed $part"
done
wait "${running[0]}" || failed="$failed debian"
[ -z "$failed" ] || die "could not build:$failed"
for part in apt images; do
  start "$part"
  wait $! || exit 1
done

# The bundle shares its files with the parts (hard links), and is whole when bundle.json is there.
tmp=$cache/.tmp.bundle
mkdir "$tmp"
cp -al "$view/apt/." "$tmp/apt"
cp -al "$view/images/images" "$tmp/images"
cp -l "$view/calico/calico-vxlan.yaml" "$tmp/calico.yaml"
cp -l "$view/debian/node.tar" "$tmp/node.tar"
version_of() { dpkg-deb -f "$tmp/apt/pool/$1"_*.deb Version; }
quoted() { sed 's/.*/"&"/' | paste -sd ,; }
cat >"$tmp/bundle.json" <<JSON
{
  "schema": 1,
  "arch": "$arch",
  "kubernetes": "$KUBERNETES_VERSION",
  "calico": "$CALICO_VERSION",
  "etcd": "$ETCD_VERSION",
  "coredns": "$COREDNS_VERSION",
  "cni": "$CNI_VERSION",
  "containerd": "$(version_of containerd)",
  "runc": "$(version_of runc)",
  "images": [$(quoted <"$view/images/images.txt")],
  "parts": {$(for part in "${all_parts[@]}"; do echo "\"$part\":\"${key[$part]}\""; done | paste -sd ,)}
}
JSON
mv -T "$tmp" "$bundle"
rm -rf "$view"
say "$(printf '  %-11s %4d s' "all" $((SECONDS - total)))"
finish
