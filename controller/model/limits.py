"""Limits and units of the Kubernetes API. Each is defined only here."""

from __future__ import annotations

from typing import Final

INT32_MAX: Final = 2**31 - 1
"""The most replicas that `spec.replicas` can hold."""
INT64_MAX: Final = 2**63 - 1
"""The largest quantity, in any unit."""
MILLI: Final = 1000
"""Thousandths in one unit: Kubernetes states metrics and CPU in thousandths."""
CPU: Final = "cpu"
MEMORY: Final = "memory"
