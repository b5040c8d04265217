"""The controller: observes a fleet, decides for all of it at once, and writes the changes. It does
not depend on any user interface.
"""
