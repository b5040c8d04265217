"""Virtual time: pools that live by events, policies to compare in them, and the score."""
