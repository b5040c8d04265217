"""A pool's metrics: what was read of them, and the replicas that each proposes."""
