"""Exports: what was decided, as data that others build on."""
