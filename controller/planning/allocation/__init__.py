"""Divides scarce resources fairly over many pools and tenants at once.

This package knows only the pools' numbers, what they ask for and what their replicas use.
"""
