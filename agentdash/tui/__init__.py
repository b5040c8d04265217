"""The terminal dashboard: it draws snapshots and decides nothing."""
