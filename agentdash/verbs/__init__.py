"""The verbs that answer once and end: what would be done, and why."""
