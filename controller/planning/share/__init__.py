"""Step 3: everything that several pools draw on, divided over all of them: the targets."""
