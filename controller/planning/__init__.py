"""Pure arithmetic without clock, I/O or randomness: the same input gives the same plan anywhere."""
