"""What the steps start from: the time, the fleet's terms, what holds for each pool now."""
