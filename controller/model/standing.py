"""How a pool stands, in one word, and since when."""

from __future__ import annotations

from enum import StrEnum

from msgspec.structs import replace

from controller.model.decision import Bound, Gate
from controller.model.value import Value


class Condition(StrEnum):
    """The worst that is true of a pool, the worst first."""

    BLIND = "blind"
    CRASH = "crash"
    ERROR = "error"
    STUCK = "stuck"
    STALE = "stale"
    FROZEN = "frozen"
    HELD = "held"
    PAUSED = "paused"
    CAPPED = "capped"
    UP = "up"
    DOWN = "down"
    PINNED = "pinned"
    OK = "ok"
    ZERO = "zero"


class Standing(Value):
    """A pool's condition, and its decision's bound and gate; times are Unix seconds.

    `since` is when the condition began. `bound_since` is when the bound and the gate began to be
    these two; None without a decision.
    """

    condition: Condition
    since: float
    bound: Bound | None = None
    gate: Gate | None = None
    bound_since: float | None = None

    def shifted(self, by_s: float) -> Standing:
        """The same with its times moved by so many seconds."""
        bound_since = self.bound_since
        return replace(
            self,
            since=self.since + by_s,
            bound_since=None if bound_since is None else bound_since + by_s,
        )
