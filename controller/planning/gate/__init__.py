"""Step 5: gates that hold a pool at its present size although its target differs."""
