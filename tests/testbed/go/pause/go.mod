module kubestrap.invalid/testbed/pause

go 1.24.0
