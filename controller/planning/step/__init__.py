"""Step 4: how far each pool may move towards its target now."""
