"""What the planner remembers about each pool from one plan to the next."""
