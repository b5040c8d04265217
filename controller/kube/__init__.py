"""The Kubernetes cluster: what is watched of it, and the one write to it."""
