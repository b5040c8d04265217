"""Step 5: what holds a pool at its present size although its target differs."""
