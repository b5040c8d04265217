"""The Kubernetes cluster: watches, metrics APIs, and the only write, which sets spec.replicas."""
