"""Whether writes to the cluster succeed at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from controller.engine.findings import Found, listed
from controller.model.decision import Outcome, OutcomeKind
from controller.model.ids import PoolKey
from controller.model.snapshot import NO_WRITE, OVERTAKEN, Severity

LEAST_PATIENCE_S: Final = 10.0
INTERVALS_OF_PATIENCE: Final = 5

_FAILURES: Final = frozenset(
    {
        OutcomeKind.UNAUTHORIZED,
        OutcomeKind.FORBIDDEN,
        OutcomeKind.THROTTLED,
        OutcomeKind.FAILED,
        OutcomeKind.UNREACHABLE,
        OutcomeKind.UNKNOWN,
    }
)
"""The outcomes that a write to another workload would probably have too."""
_ADVICE: Final[Mapping[OutcomeKind, str]] = {
    OutcomeKind.UNAUTHORIZED: "; see that the ServiceAccount or user of this process still exists",
    OutcomeKind.FORBIDDEN: "; grant this process `patch` on deployments/scale or "
    "statefulsets/scale",
}


class WriteHealth:
    """Since when every write fails. Times are monotonic seconds."""

    def __init__(self, interval_s: float) -> None:
        self._patience_s = max(LEAST_PATIENCE_S, INTERVALS_OF_PATIENCE * interval_s)
        self._failing_since: float | None = None
        self._last = Outcome(kind=OutcomeKind.APPLIED)

    def ended(self, outcome: Outcome, now: float) -> None:
        """Take the outcome of a write."""
        if outcome.kind not in _FAILURES:
            self._failing_since = None
            return
        self._last = outcome
        if self._failing_since is None:
            self._failing_since = now

    def nothing_to_write(self) -> None:
        """No pool is to be changed, so no write can succeed."""
        self._failing_since = None

    def findings(self, now: float) -> Iterator[Found]:
        """One, if no write has succeeded for several intervals although some were tried."""
        if self._failing_since is not None and now - self._failing_since > self._patience_s:
            words = self._last.detail or self._last.kind.value
            text = f"no write succeeds: {words}{_ADVICE.get(self._last.kind, '')}"
            yield Severity.CRITICAL, "kubernetes", NO_WRITE, text


def overtaken_findings(pools: Sequence[PoolKey]) -> Iterator[Found]:
    """One about all pools whose writes lose against changes that no watch reports."""
    if pools:
        text = (
            f"{listed(pools)}: writes lose against changes that no watch reports, so each "
            "workload is read by itself; does a proxy before the API server hold watches back?"
        )
        yield Severity.WARNING, "kubernetes", OVERTAKEN, text
