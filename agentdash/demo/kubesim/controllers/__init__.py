"""The loops around the API: what kube-controller-manager, kube-scheduler and the kubelets do."""
