"""The official Kubernetes client, lean: reflectors, scale, and the few fields we read."""
