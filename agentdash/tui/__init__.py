"""The terminal dashboard: it draws snapshots and sends intents, and never decides anything."""
