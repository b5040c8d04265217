"""Where readings come from that is neither NATS nor the cluster: a Prometheus server."""
