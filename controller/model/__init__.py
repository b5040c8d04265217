"""Frozen values that all other packages may use. They have no behaviour beyond their own data."""
