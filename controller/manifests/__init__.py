"""What `agentdash manifests` prints: the objects that run agentdash in a cluster, for one fleet."""
