admin=/etc/kubernetes/admin.conf
# Written when kubeadm init is through: from then on nothing here ever resets the control plane.
marker=/etc/kubernetes/kubestrap-initialised
config=/run/kubestrap/kubeadm.yaml
trap 'rm -f "$config"' EXIT

query() { kubectl --kubeconfig "$admin" --request-timeout=5s "$@"; }
ready() { [ "$(query get --raw=/readyz 2>/dev/null)" = ok ]; }
# The last phases of kubeadm init are the add-ons.
complete() { query --namespace kube-system get deployment/coredns daemonset/kube-proxy configmap/kubeadm-config >/dev/null 2>&1; }

# The files hold the bootstrap token: only root may read them, and they go when this ends.
(
  umask 077
  cat >"$config" <<'CLUSTER'
{{ cluster | safe -}}
---
{{ kubelet | safe -}}
CLUSTER
)
# What only this machine can tell of the kubelets and proxies that it sets up.
if [ "$(stat -f -c %T /sys/fs/cgroup)" != cgroup2fs ]; then
  echo 'failCgroupV1: false' >>"$config"
fi
if [ "$(wc -l </proc/swaps)" -gt 1 ]; then
  echo 'failSwapOn: false' >>"$config"
fi
cat >>"$config" <<'PROXY'
---
{{ proxy | safe -}}
PROXY
# The size of the connection table is not ours to set where the kernel is shared.
conntrack=/proc/sys/net/netfilter/nf_conntrack_max
if [ -e "$conntrack" ] && ! { echo "$(<"$conntrack")" >"$conntrack"; } 2>/dev/null; then
  printf 'conntrack:\n  maxPerCore: 0\n  min: 0\n' >>"$config"
fi

if [ -e "$marker" ] && { [ -e "$admin" ] || [ -e /var/lib/etcd/member ]; }; then
  progress "already initialised"
  systemctl start kubelet
  waited=0
  until ready; do
    waited=$((waited + 1))
    [ "$waited" -le 120 ] || die "this control plane was initialised before, but its API server does not become ready"
    sleep 1
  done
elif [ -e "$admin" ] && ready && complete; then
  touch "$marker"
else
  rm -f "$marker"
  if [ -e /etc/kubernetes/manifests/kube-apiserver.yaml ] || [ -e /var/lib/etcd/member ] || [ -e "$admin" ]; then
    progress "undoing an unfinished kubeadm init"
    kubeadm reset --force
  fi
  progress "kubeadm init"
  kubeadm init --config "$config" --skip-token-print 2>&1 | while IFS= read -r line; do
    printf '%s\n' "$line"
    case $line in
      "[wait-control-plane]"*) progress "starting the control plane" ;;
      "[addons]"*) progress "installing CoreDNS and kube-proxy" ;;
    esac
  done || {
    kubelet_says
    die "kubeadm init failed"
  }
  touch "$marker"
fi

# A later run brings a token of its own.
if ! query --namespace kube-system get secret {{ token_secret }} >/dev/null 2>&1; then
  kubeadm token create --kubeconfig "$admin" --config "$config" >/dev/null
fi

fact ca_hash "sha256:$(openssl x509 -in /etc/kubernetes/pki/ca.crt -noout -pubkey | openssl pkey -pubin -outform der | sha256sum | cut -d ' ' -f 1)"
fact api_endpoint "$(sed -n 's,^ *server: https://,,p' "$admin" | head -n 1)"
