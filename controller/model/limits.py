"""Numbers that Kubernetes fixes for every field of their kind. Each has its one home here."""

from __future__ import annotations

from typing import Final

INT32_MAX: Final = 2**31 - 1
"""The most replicas that `spec.replicas` can hold."""
INT64_MAX: Final = 2**63 - 1
"""The largest quantity, in whatever unit it is counted."""
MILLI: Final = 1000
"""Thousandths in one unit: Kubernetes counts metrics and CPU in them."""
CPU: Final = "cpu"
MEMORY: Final = "memory"
