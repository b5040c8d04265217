"""Exports of what was decided, as data for other programs."""
