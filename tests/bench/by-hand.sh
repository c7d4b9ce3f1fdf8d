#!/usr/bin/env bash
# What a careful person would type to get the same cluster on the same lab: the AWS CLI's calls one by one,
# then each node in turn over ssh. No overlap, no batching, the CLI's own waiters. It ends when every node is
# Ready and a pod on every node resolves a name.
#
# Needs a running lab: kubestrap lab start. Needs `aws` in the PATH.
set -euo pipefail

export AWS_ACCESS_KEY_ID=lab AWS_SECRET_ACCESS_KEY=lab AWS_REGION=ap-northeast-1 AWS_PAGER=
export AWS_DEFAULT_REGION=$AWS_REGION AWS_DEFAULT_OUTPUT=text
ec2() { aws --endpoint-url http://127.0.0.1:4566 ec2 "$@"; }

version=1.36.3
sources=http://198.18.0.2:8080
registry=http://198.18.0.2:5000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say() { printf 'by hand: %5d s  %s\n' "$SECONDS" "$*" >&2; }

say network
vpc=$(ec2 create-vpc --cidr-block 10.0.0.0/16 --query Vpc.VpcId)
gateway=$(ec2 create-internet-gateway --query InternetGateway.InternetGatewayId)
ec2 attach-internet-gateway --internet-gateway-id "$gateway" --vpc-id "$vpc"
subnet=$(ec2 create-subnet --vpc-id "$vpc" --cidr-block 10.0.0.0/20 --query Subnet.SubnetId)
ec2 modify-subnet-attribute --subnet-id "$subnet" --map-public-ip-on-launch
table=$(ec2 create-route-table --vpc-id "$vpc" --query RouteTable.RouteTableId)
ec2 create-route --route-table-id "$table" --destination-cidr-block 0.0.0.0/0 --gateway-id "$gateway" > /dev/null
ec2 associate-route-table --route-table-id "$table" --subnet-id "$subnet" > /dev/null

say groups
group=$(ec2 create-security-group --group-name by-hand --description "by hand" --vpc-id "$vpc" --query GroupId)
allow() { ec2 authorize-security-group-ingress --group-id "$group" "$@" > /dev/null; }
allow --protocol tcp --port 22 --cidr 198.18.0.0/24
allow --protocol tcp --port 6443 --cidr 198.18.0.0/24
allow --protocol tcp --port 30997 --cidr 198.18.0.0/24
allow --protocol -1 --source-group "$group"

say instances
ssh-keygen -q -t ed25519 -N '' -f "$work/key"
ec2 import-key-pair --key-name by-hand --public-key-material "fileb://$work/key.pub" > /dev/null
image=$(aws --endpoint-url http://127.0.0.1:4566 ssm get-parameter \
  --name /aws/service/debian/release/13/latest/amd64 --query Parameter.Value)
nodes=()
for _ in 1 2 3; do
  id=$(ec2 run-instances --image-id "$image" --instance-type t3.medium --key-name by-hand \
    --subnet-id "$subnet" --security-group-ids "$group" --query 'Instances[0].InstanceId')
  ec2 wait instance-running --instance-ids "$id"
  nodes+=("$(ec2 describe-instances --instance-ids "$id" --query 'Reservations[0].Instances[0].PublicIpAddress')")
done

on() {
  ssh -q -F /dev/null -i "$work/key" -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile="$work/known" \
    -o ConnectTimeout=5 "admin@$1" sudo bash -euo pipefail
}

number=0
for address in "${nodes[@]}"; do
  number=$((number + 1))
  say "install on node $number"
  until echo true | on "$address" 2> /dev/null; do sleep 2; done
  on "$address" > "$work/install-$number.log" 2>&1 << INSTALL
hostname node-$number; echo node-$number > /etc/hostname; echo "127.0.1.1 node-$number" >> /etc/hosts
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 'deb [trusted=yes] $sources/apt stable main' > /etc/apt/sources.list.d/bundle.list
only="-o Dir::Etc::sourcelist=/etc/apt/sources.list.d/bundle.list -o Dir::Etc::sourceparts=/dev/null"
apt-get -q \$only update
DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \$only install containerd runc conntrack kubelet kubeadm kubectl
mkdir -p /etc/containerd
containerd config default |
  sed -e 's|pause:[0-9.]*|pause:3.10.2|' -e 's|SystemdCgroup = false|SystemdCgroup = true|' \
    -e "s|config_path = ''|config_path = '/etc/containerd/certs.d'|" \
    -e 's|restrict_oom_score_adj = false|restrict_oom_score_adj = true|' \
    -e "s|/usr/lib/cni|/opt/cni/bin|" > /etc/containerd/config.toml
grep -q 'SystemdCgroup = true' /etc/containerd/config.toml ||
  sed -i "/runtimes.runc.options\]/a SystemdCgroup = true" /etc/containerd/config.toml
for host in registry.k8s.io quay.io docker.io; do
  mkdir -p /etc/containerd/certs.d/\$host
  printf 'server = "$registry"\n[host."$registry"]\n' > /etc/containerd/certs.d/\$host/hosts.toml
done
systemctl restart containerd
INSTALL
done

say "kubeadm init"
on "${nodes[0]}" > "$work/init.log" 2>&1 << INIT
cat > /etc/kubeadm.yaml << CONFIG
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration: {ignorePreflightErrors: [SystemVerification, Swap]}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v$version
networking: {podSubnet: 192.168.0.0/16}
apiServer: {certSANs: [${nodes[0]}]}
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
failSwapOn: false
failCgroupV1: false
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
conntrack: {maxPerCore: 0, min: 0}
CONFIG
kubeadm init --config /etc/kubeadm.yaml
INIT

say calico
on "${nodes[0]}" > "$work/calico.log" 2>&1 << CALICO
export KUBECONFIG=/etc/kubernetes/admin.conf
curl -sSf $sources/calico.yaml | sed 's/CrossSubnet/Always/' | kubectl apply --server-side -f -
CALICO

join=$(echo 'KUBECONFIG=/etc/kubernetes/admin.conf kubeadm token create --print-join-command' | on "${nodes[0]}")
for address in "${nodes[@]:1}"; do
  say "join $address"
  echo "$join --ignore-preflight-errors=SystemVerification,Swap" | on "$address" > "$work/join.log" 2>&1
done

say "waiting for Ready and DNS"
on "${nodes[0]}" << READY
export KUBECONFIG=/etc/kubernetes/admin.conf
kubectl wait --for=condition=Ready node --all --timeout=300s > /dev/null
kubectl -n kube-system rollout status ds/calico-node deploy/calico-kube-controllers deploy/coredns --timeout=300s > /dev/null
for node in node-1 node-2 node-3; do
  kubectl run "dns-\$node" --image=busybox:1.37 --restart=Never --overrides='{"spec":{"nodeName":"'\$node'"}}' \
    --command -- sh -c 'until nslookup kubernetes.default.svc.cluster.local; do sleep 1; done' > /dev/null
done
kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod --all --timeout=120s > /dev/null
READY
say "the cluster answers"
