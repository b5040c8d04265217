"""Pure arithmetic: no clock, no I/O, no randomness. The same input gives the same plan, everywhere."""
