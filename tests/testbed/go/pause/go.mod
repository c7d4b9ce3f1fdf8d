module kubestrap.invalid/testbed/pause

go 1.24.0

tool kubestrap.invalid/testbed/pause
