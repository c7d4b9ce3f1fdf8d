# Written when kubeadm join is through.
marker=/etc/kubernetes/kubestrap-joined
config=/run/kubestrap/kubeadm.yaml
trap 'rm -f "$config"' EXIT

healthy() { systemctl --quiet is-active kubelet && [ -s /etc/kubernetes/kubelet.conf ]; }

if [ -e "$marker" ] && [ -s /etc/kubernetes/kubelet.conf ]; then
  progress "already joined"
  systemctl start kubelet
  healthy || die "this node has joined before, but its kubelet does not run"
  exit 0
fi
rm -f "$marker"
# The file holds the bootstrap token: only root may read it, and it goes when this ends.
(
  umask 077
  cat >"$config" <<'JOIN'
{{ join | safe -}}
JOIN
)

# The API server answers before the token has signed the cluster's address; kubeadm would look again
# 5 seconds later. What is read here only tells the time: kubeadm checks signature and CA by itself.
progress "waiting for the token's signature"
signed() {
  printf 'GET /api/v1/namespaces/kube-public/configmaps/cluster-info HTTP/1.0\r\n\r\n' |
    timeout 5 openssl s_client -quiet -connect {{ api_endpoint }} 2>/dev/null | grep -qF {{ signature }}
}
for _ in {1..200}; do
  if signed; then break; fi
  sleep 0.3
done

attempt=1
while true; do
  if [ -e /etc/kubernetes/kubelet.conf ] || [ -e /etc/kubernetes/bootstrap-kubelet.conf ] || [ -e /etc/kubernetes/pki/ca.crt ]; then
    progress "undoing an unfinished kubeadm join"
    kubeadm reset --force
  fi
  progress "kubeadm join"
  if kubeadm join --config "$config"; then
    break
  fi
  # An API server that has just come up may refuse what it grants a moment later.
  kubelet_says
  [ "$attempt" -lt 3 ] || die "kubeadm join failed $attempt times"
  attempt=$((attempt + 1))
done
touch "$marker"
