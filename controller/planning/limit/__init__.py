"""Step 2: the limits of one pool, before sharing: bounds, spares, pauses."""
