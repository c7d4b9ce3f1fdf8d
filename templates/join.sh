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
