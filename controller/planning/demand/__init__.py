"""Step 1, first half: what a pool's work asks for."""
