node={{ node }}
version={{ version }}
kubernetes_repository={{ kubernetes_repository }}
runtime_repository={{ runtime_repository }}

# --- the machine -----------------------------------------------------------------------------
# Written in place: in a container these files are mounts, which cannot be replaced.
if [ "$(cat /proc/sys/kernel/hostname)" != "$node" ]; then
  echo "$node" >/proc/sys/kernel/hostname
fi
if [ "$(cat /etc/hostname 2>/dev/null)" != "$node" ]; then
  echo "$node" >/etc/hostname
fi
if ! grep -qE "[[:space:]]$node([[:space:]]|\$)" /etc/hosts; then
  echo "127.0.1.1 $node" >>/etc/hosts
fi
if [ -d /etc/cloud/cloud.cfg.d ]; then
  echo 'preserve_hostname: true' >/etc/cloud/cloud.cfg.d/99-kubestrap.cfg
fi

printf 'overlay\nbr_netfilter\nnf_conntrack\n' >/etc/modules-load.d/kubestrap.conf
for module in overlay br_netfilter nf_conntrack; do
  # In a container the host has them loaded, or nobody can load them: what counts is checked below.
  modprobe "$module" 2>/dev/null || true
done
grep -qw overlay /proc/filesystems || die "the kernel has no overlay file system (module overlay)"

setting() { # KEY VALUE: sets a kernel parameter that is not so yet
  local path=/proc/sys/${1//.//}
  echo "$1 = $2" >>/etc/sysctl.d/99-kubestrap.conf
  [ "$(cat "$path" 2>/dev/null)" = "$2" ] || echo "$2" >"$path"
}
: >/etc/sysctl.d/99-kubestrap.conf
setting net.ipv4.ip_forward 1
if [ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]; then
  setting net.bridge.bridge-nf-call-iptables 1
fi

# Swap inside a container is the host's, and not ours to turn off.
if [ "$(wc -l </proc/swaps)" -gt 1 ] && ! systemd-detect-virt --quiet --container; then
  swapoff --all
  sed -i '/^[^#].*[[:space:]]swap[[:space:]]/s/^/# kubestrap: /' /etc/fstab
fi

# --- packages --------------------------------------------------------------------------------
apt=(-q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=180 -o Acquire::Retries=3 -o Acquire::http::Timeout=20
  -o Acquire::https::Timeout=20)
sources=/etc/apt/sources.list.d/kubestrap.list

key() { # URL NAME: a repository's signing key
  local file=/etc/apt/keyrings/kubestrap-$2.asc
  if [ ! -s "$file" ]; then
    mkdir -p /etc/apt/keyrings
    /usr/lib/apt/apt-helper download-file "$1" "$file.new" >/dev/null || die "cannot fetch $1"
    mv "$file.new" "$file"
  fi
}

has_versions() {
  local package
  for package in kubelet kubeadm kubectl; do
    # shellcheck disable=SC2016 # dpkg expands it
    [[ "$(dpkg-query -W -f '${db:Status-Status} ${Version}' "$package" 2>/dev/null)" == "installed $version-"* ]] ||
      return 1
  done
  command -v containerd >/dev/null && command -v runc >/dev/null
}

has_candidates() { # PACKAGE...: all are installed or can be
  local package candidates
  candidates=$(apt-cache policy "$@")
  for package in "$@"; do
    grep -qx "$package:" <<<"$candidates" || return 1
  done
  ! grep -q 'Candidate: (none)' <<<"$candidates"
}

if ! has_versions; then
  progress "reading package lists"
  {
    if [ -n "$kubernetes_repository" ]; then
      echo "deb [trusted=yes] $kubernetes_repository stable main"
    else
      minor=${version%.*}
      key "https://pkgs.k8s.io/core:/stable:/v$minor/deb/Release.key" kubernetes
      echo "deb [signed-by=/etc/apt/keyrings/kubestrap-kubernetes.asc] https://pkgs.k8s.io/core:/stable:/v$minor/deb/ /"
    fi
    if [ -n "$runtime_repository" ] && [ "$runtime_repository" != "$kubernetes_repository" ]; then
      echo "deb [trusted=yes] $runtime_repository stable main"
    elif [ -z "$runtime_repository" ]; then
      # shellcheck source=/dev/null
      . /etc/os-release
      key "https://download.docker.com/linux/$ID/gpg" docker
      echo "deb [signed-by=/etc/apt/keyrings/kubestrap-docker.asc] https://download.docker.com/linux/$ID $VERSION_CODENAME stable"
    fi
  } >"$sources.new"
  mv "$sources.new" "$sources"

  # First only these lists: a site with its own repositories may reach no other.
  only=(-o Dir::Etc::sourcelist="$sources" -o Dir::Etc::sourceparts=/dev/null -o APT::Get::List-Cleanup=0)
  apt-get "${apt[@]}" "${only[@]}" -o APT::Update::Error-Mode=any update
  base=(conntrack iptables ipset ethtool socat)
  if ! has_candidates "${base[@]}"; then
    apt-get "${apt[@]}" -o APT::Update::Error-Mode=any update
  fi
  if has_candidates containerd.io; then runtime=(containerd.io); else runtime=(containerd runc); fi

  progress "installing ${runtime[0]} and Kubernetes $version"
  apt-get "${apt[@]}" --no-install-recommends --allow-change-held-packages \
    -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io install \
    "${base[@]}" "${runtime[@]}" kubernetes-cni "kubelet=$version-*" "kubeadm=$version-*" "kubectl=$version-*"
  apt-mark hold "${runtime[@]}" kubernetes-cni kubelet kubeadm kubectl >/dev/null
fi
runtime_version=$(containerd --version | awk '{ sub(/^v/, "", $3); print $3 }')
case $runtime_version in
  0.* | 1.*) die "containerd $runtime_version is too old for Kubernetes $version: 2.0 or newer is needed" ;;
esac

# --- the container runtime -------------------------------------------------------------------
mapfile -t images < <(kubeadm config images list --kubernetes-version "v$version" 2>/dev/null)
pause=$(printf '%s\n' "${images[@]}" | grep '/pause:') || die "kubeadm names no pause image for $version"
bin_dir='bin_dir = "/opt/cni/bin"'
if grep -q 'bin_dirs =' <<<"$(containerd config default)"; then
  bin_dir='bin_dirs = ["/opt/cni/bin"]'
fi
# Without CAP_SYS_RESOURCE nobody can lower an oom_score_adj; containerd then must not try.
restrict=false
if ((!(0x$(awk '/^CapBnd/ { print $2 }' /proc/self/status) >> 24 & 1))); then
  restrict=true
fi

changed=
put() { # FILE: replaces it by standard input, if that differs
  mkdir -p "$(dirname "$1")"
  cat >"$1.new"
  if cmp -s "$1.new" "$1"; then
    rm "$1.new"
  else
    mv "$1.new" "$1"
    changed=yes
  fi
}
put /etc/containerd/config.toml <<CONTAINERD
version = 3

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "$pause"

[plugins.'io.containerd.cri.v1.images'.registry]
config_path = "/etc/containerd/certs.d"

[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = $restrict

[plugins.'io.containerd.cri.v1.runtime'.cni]
$bin_dir
conf_dir = "/etc/cni/net.d"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = true
CONTAINERD
if [ -n "$changed" ] || ! systemctl --quiet is-active containerd; then
  systemctl --quiet enable containerd kubelet
  systemctl restart containerd
fi
# A mirror is where its images come from, not a try before the upstream registry.
{% for mirror in mirrors %}
put /etc/containerd/certs.d/{{ mirror.registry }}/hosts.toml <<'HOSTS'
{{ mirror.hosts | safe -}}
HOSTS
{% endfor %}

# --- images ----------------------------------------------------------------------------------
put /run/kubestrap/pull.sh <<'PULL'
#!/usr/bin/env bash
# pull.sh IMAGE...: pulls all that are not here yet, at once; says which ones failed.
set -uo pipefail
exec 8>/run/kubestrap/pull.lock
flock 8
log=$(mktemp -d /run/kubestrap/pull.XXXXXX)
declare -A image output
number=0
for reference in "$@"; do
  [ -z "$(ctr --namespace k8s.io images list --quiet "name==$reference")" ] || continue
  number=$((number + 1))
  # A registry that takes the connection and says nothing more is not waited for without end.
  timeout 600 ctr --namespace k8s.io images pull --hosts-dir /etc/containerd/certs.d "$reference" >"$log/$number" 2>&1 8>&- &
  image[$!]=$reference
  output[$!]=$log/$number
done
failed=0
left=$number
while [ "$left" -gt 0 ]; do
  status=0
  wait -n -p pid || status=$?
  left=$((left - 1))
  if [ "$status" -eq 0 ]; then
    echo "::progress images: $((number - left)) of $number"
  else
    failed=1
    echo "error: cannot pull ${image[$pid]}: $(tail -n 1 "${output[$pid]}")"
  fi
done
rm -rf "$log"
exit "$failed"
PULL

progress "pulling images"
network=({{ network_images }})
{% if control_plane %}
bash /run/kubestrap/pull.sh "${images[@]}"
# The network's images come while kubeadm works; kubelet waits for them where it must.
systemd-run --quiet --collect --unit=kubestrap-pull bash /run/kubestrap/pull.sh "${network[@]}" || true
{% else %}
mapfile -t images < <(printf '%s\n' "${images[@]}" | grep -vE '/(etcd|kube-apiserver|kube-controller-manager|kube-scheduler):')
bash /run/kubestrap/pull.sh "${images[@]}" "${network[@]}"
# A worker that joins for the first time takes the place of what had its name before.
if [ -e /etc/kubernetes/kubestrap-joined ] && [ -s /etc/kubernetes/kubelet.conf ]; then
  fact joined yes
else
  fact joined no
fi
{% endif %}

# The temporary host key of the first boot is replaced by now: what cloud-init kept of it is waste.
if [ -e /var/lib/cloud/instance/boot-finished ]; then
  { grep -rlF 'BEGIN OPENSSH PRIVATE KEY' /var/lib/cloud/instances /run/cloud-init 2>/dev/null || true; } | xargs -r rm -f
fi
