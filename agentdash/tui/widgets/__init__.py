"""Widgets drawn line by line: they refresh the cells that changed and nothing else."""
