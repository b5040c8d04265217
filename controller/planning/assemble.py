"""The results of a plan, and what is kept of it."""
