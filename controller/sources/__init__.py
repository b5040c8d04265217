"""Sources of readings besides NATS and the cluster: a Prometheus server."""
