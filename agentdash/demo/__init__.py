"""What `agentdash demo` runs: a message bus, a simulated Kubernetes API and a load."""
