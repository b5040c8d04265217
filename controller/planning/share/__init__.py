"""Step 3: divides what several pools use together over all of them; the result is the targets."""
