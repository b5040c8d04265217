"""What the planner remembers of each pool from one plan to the next."""
