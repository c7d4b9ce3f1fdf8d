#!/usr/bin/env bash
# Proves the bundle: boots its node in Docker, installs from its repository, makes a
# one-node cluster from its images and asks a service by name. smoke.sh [BUNDLE]
# KEEP=1 leaves the node running.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib/versions.sh"
. "$here/lib/common.sh"

bundle=$(realpath "${1:-$("$here/build.sh")}")
node=kubestrap-smoke-$$
image=kubestrap-smoke:$$
finish() {
  status=$?
  if [ -n "${KEEP:-}" ]; then
    say "kept: docker exec -it $node bash; docker rm -fv $node; docker rmi $image"
  else
    docker rm -fv "$node" >/dev/null 2>&1 || true
    docker rmi "$image" >/dev/null 2>&1 || true
  fi
  exit "$status"
}
trap finish EXIT

step() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
on() { docker exec -i -e KUBECONFIG=/etc/kubernetes/admin.conf "$node" "$@"; }
# wait_for SECONDS WHAT COMMAND...
wait_for() {
  local limit=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $limit ] || die "timed out: $what"
    sleep 0.5
  done
  step "$what"
}
state() { [ "$(on systemctl is-system-running 2>/dev/null)" = running ]; }

docker import "$bundle/node.tar" "$image" >/dev/null
step "node.tar imported"
docker run -d --name "$node" --hostname node --cap-add=ALL --cap-drop=SYS_RESOURCE --cap-drop=SYS_TIME \
  --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined \
  --device-cgroup-rule='a *:* rwm' --cgroupns=private --tmpfs /run --tmpfs /tmp \
  -v /var/lib/containerd -v /var/lib/kubelet -v /var/lib/etcd -v /lib/modules:/lib/modules:ro \
  -v "$bundle:/bundle:ro" -v "$here/smoke:/smoke:ro" "$image" sh /smoke/entry.sh >/dev/null
wait_for 60 "the node is running" state

on sh -e <<'NODE'
# Only the bundle's repository: nothing else is there for an air-gapped site.
echo 'deb [trusted=yes] file:///bundle/apt stable main' >/run/bundle.list
apt="apt-get -q -y --no-install-recommends -o Dir::Etc::SourceList=/run/bundle.list -o Dir::Etc::SourceParts=/dev/null"
{
  $apt update
  DEBIAN_FRONTEND=noninteractive $apt install containerd runc kubeadm kubelet kubectl
  apt-mark hold kubeadm kubelet kubectl
} >/var/log/bundle-install.log 2>&1 || { tail -n 20 /var/log/bundle-install.log; exit 1; }
mkdir -p /etc/containerd
pause=$(sed -n 's,.*"\(registry.k8s.io/pause:[^"]*\)".*,\1,p' /bundle/bundle.json)
containerd config default | sed -e "s,sandbox = .*,sandbox = '$pause'," \
  -e 's/SystemdCgroup = false/SystemdCgroup = true/' -e 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' >/etc/containerd/config.toml
systemctl restart containerd
NODE
step "packages installed from the bundle"

on sh -ec 'tar -C /bundle/images -cf - . | ctr -n k8s.io images import - >/dev/null'
step "images imported"

sed "s/@KUBERNETES@/$KUBERNETES_VERSION/" "$here/smoke/config.yaml" | on sh -ec 'cat >/run/kubeadm.yaml
kubeadm init --config /run/kubeadm.yaml --ignore-preflight-errors=SystemVerification >/var/log/kubeadm.log 2>&1 ||
  { tail -n 40 /var/log/kubeadm.log; exit 1; }'
step "kubeadm init"
on kubectl apply -f /bundle/calico.yaml >/dev/null
wait_for 180 "the node is Ready" on kubectl wait --for=condition=Ready node --all --timeout=1s
wait_for 180 "every pod of the system is Ready" on kubectl wait -n kube-system --for=condition=Ready pod --all --timeout=1s
on kubectl apply -f /smoke/pods.yaml >/dev/null
wait_for 90 "pods are Ready" on kubectl wait --for=condition=Ready pod --all --timeout=1s
wait_for 30 "a service answers by its name" on kubectl exec client -- wget -q -T 2 -O - http://server.default.svc.cluster.local
step "passed"
