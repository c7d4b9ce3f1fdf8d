# Two commands do everything on a fresh Debian machine: `make up` and `make test`.
#
# What is slow to build is kept outside the checkout, so that a second clone pays nothing for it:
# the bundle (Kubernetes, Calico, a machine image) and cargo's target folder.

CACHE            ?= $(or $(KUBESTRAP_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kubestrap)
export KUBESTRAP_CACHE    := $(CACHE)
export CARGO_TARGET_DIR   ?= $(CACHE)/target
# Not what the environment says: these targets are for this machine, whatever cluster its user works on.
SPEC             ?= examples/lab.toml
export KUBESTRAP_FILE     := $(SPEC)
# Where rustup puts cargo when Debian did not.
export PATH                := $(PATH):$(HOME)/.cargo/bin
KUBESTRAP        := $(CARGO_TARGET_DIR)/release/kubestrap
SHELL            := /bin/bash
.SHELLFLAGS      := -euo pipefail -c

.PHONY: help up down test no-lab lint unit e2e build bundle setup setup-test bench

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):[^#]*## /  make \1	/' | expand -t 20

up: build bundle ## a three-node cluster with both services, on this machine
	$(KUBESTRAP) up --yes
	$(KUBESTRAP) deploy

down: build ## remove the cluster and the lab
	$(KUBESTRAP) down --yes || true
	$(KUBESTRAP) lab stop

test: setup-test no-lab bundle lint unit e2e ## everything: lints, unit, golden, protocol, packets, end to end

# The CLI and the services are built by calls of their own: together, cargo would unite the features of what they
# share and build the AWS SDK a second time.
SERVICES := -p chassis -p marketplace -p recommendations

lint: setup-test
	cargo fmt --all --check
	cargo clippy -p kubestrap --all-targets --locked -- -D warnings
	cargo clippy $(SERVICES) --all-targets --locked -- -D warnings
	shellcheck -x --source-path=SCRIPTDIR scripts/*.sh tests/tools/*.sh tests/testbed/*.sh tests/bench/*.sh .ci/run
	tests/tools/no-c.sh

# These tests make namespaces, which takes root.
ROOT_RUNNER := $(if $(filter-out 0,$(shell id -u)),--config "target.'cfg(unix)'.runner='sudo -E'")

unit: setup-test bundle
	cargo test $(SERVICES) --locked --no-fail-fast
	cargo test -p kubestrap --locked --no-fail-fast
	cargo test -p kubestrap --locked --no-fail-fast $(ROOT_RUNNER) --test lab_packets --test lab_host -- --ignored

# One lab at a time: told at once, and not after the other tests.
no-lab: setup-test
	@[ -z "$$(docker ps -q --filter name=^kubestrap-lab$$)" ] || { echo "a lab runs on this machine, and the tests need one of their own: make down" >&2; exit 1; }

e2e: setup-test no-lab bundle
	cargo test -p kubestrap --locked --test e2e -- --ignored --nocapture

bench: setup-test no-lab build bundle ## kubestrap against a plain shell script doing the same steps in order
	tests/bench/up.sh $(KUBESTRAP)

build: setup
	cargo build --release --locked

bundle: setup ## real kubeadm, kubelet, etcd, CoreDNS, Calico and a Debian machine image
	@tests/testbed/build.sh > /dev/null

setup: ## install what is missing and start a container engine where none runs
	@scripts/setup.sh run

setup-test:
	@scripts/setup.sh test
