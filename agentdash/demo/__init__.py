"""What `agentdash demo` runs: a NATS server, a simulated Kubernetes API, workers and a load."""
