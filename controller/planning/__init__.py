"""The planner: pure functions without clock, I/O or randomness. Equal inputs give equal plans."""
