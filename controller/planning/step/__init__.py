"""Step 4: how far towards its target each pool may go now."""
