"""How a write ended. Every answer of an API server, and every silence, is one of these."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from controller.model.value import Value


class OutcomeKind(StrEnum):
    """What to make of it: only APPLIED changed the cluster for certain, only UNKNOWN may have."""

    APPLIED = "applied"
    CONFLICT = "conflict"
    FORBIDDEN = "forbidden"
    UNAUTHORIZED = "unauthorized"
    GONE = "gone"
    INVALID = "invalid"
    THROTTLED = "throttled"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    UNKNOWN = "unknown"
    READ_ONLY = "read_only"


# a conflict needs no attention: the next tick decides again, on the newer object
HARMLESS: Final = frozenset({OutcomeKind.APPLIED, OutcomeKind.CONFLICT, OutcomeKind.READ_ONLY})
"""The outcomes that need no attention."""


class Outcome(Value):
    """One write's end. `retry_after_s` is the server's own wish; `detail` is its cleaned, shortened
    message.
    """

    kind: OutcomeKind
    status: int = 0
    detail: str = ""
    retry_after_s: float | None = None
