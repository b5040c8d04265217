"""Step 1, second half: what the pool's own rule makes of its demand over time."""
