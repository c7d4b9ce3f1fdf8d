#!/usr/bin/env bash
# Builds every tool of one Go module: go.sh NAME OUT
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. lib/versions.sh
. lib/common.sh

name=$1 out=$2
need_go

flags=(-s -w)
case $name in
  kubernetes)
    major=${KUBERNETES_VERSION%%.*} rest=${KUBERNETES_VERSION#*.}
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
      flags+=(-X "$package.gitVersion=v$KUBERNETES_VERSION" -X "$package.gitMajor=$major" -X "$package.gitMinor=${rest%%.*}"
        -X "$package.gitTreeState=clean" -X "$package.gitCommit=" -X "$package.buildDate=$KUBERNETES_DATE")
    done
    ;;
  etcd) flags+=(-X "go.etcd.io/etcd/api/v3/version.GitSHA=v$ETCD_VERSION") ;;
  coredns) flags+=(-X "github.com/coredns/coredns/coremain.GitCommit=v$COREDNS_VERSION") ;;
  cni) flags+=(-X "github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion=v$CNI_VERSION") ;;
  calico)
    flags+=(-X "github.com/projectcalico/calico/pkg/buildinfo.Version=v$CALICO_VERSION")
    # The tagged commit is in no checksum database; go.sum pins it all the same.
    export GONOSUMDB='github.com/projectcalico/*'
    ;;
esac

mkdir -p "$out"
cd "go/$name"
CGO_ENABLED=0 go build -mod=readonly -trimpath -buildvcs=false -ldflags "${flags[*]}" -o "$out/" tool

if [ "$name" = calico ]; then
  source=$(go list -m -f '{{.Dir}}' github.com/projectcalico/calico)
  install -m 644 "$source/manifests/calico-vxlan.yaml" "$out/calico-vxlan.yaml"
  cp -R "$source/node/filesystem" "$out/filesystem"
  chmod -R u+w "$out/filesystem"
fi
