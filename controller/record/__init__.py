"""Snapshots over time: what changes between two, and the journal that keeps them in files."""
