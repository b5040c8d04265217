"""Step 2: what one pool alone may have: bounds, spares, pauses."""
