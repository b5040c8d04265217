"""Frozen values that every floor above may speak of: no behaviour beyond what a value knows of
itself.
"""
