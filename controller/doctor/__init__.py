"""What `agentdash doctor` looks at: whether a fleet can be run as its file says."""
