"""How a write ended: each answer of the API server, or no answer, is one of these outcomes."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from controller.model.value import Value


class OutcomeKind(StrEnum):
    """The kind of an outcome: only APPLIED certainly changed the cluster, only UNKNOWN may have."""

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
    """The outcome of one write. `status` is the HTTP status, 0 without an answer; `detail` is the
    server's message, cleaned and shortened; `retry_after_s` is its Retry-After.
    """

    kind: OutcomeKind
    status: int = 0
    detail: str = ""
    retry_after_s: float | None = None
