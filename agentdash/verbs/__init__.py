"""The verbs `plan` and `why`, which answer once and end: what would be done, and why."""
