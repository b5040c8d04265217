"""What people run: the command line, the dashboard, the demo and the worker runtime."""

__version__ = "0.1.0"
