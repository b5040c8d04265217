"""What the planner carries from tick to tick. Round-trips through JSON without loss."""

from __future__ import annotations

import msgspec

from controller.model.ids import PoolKey
from controller.model.native import NativeMemory
from controller.model.value import Value


class RecommendationRun(Value):
    """The same raw recommendation, given from `first_at` to `last_at` (Unix seconds)."""

    replicas: int
    first_at: float
    last_at: float


class ScaleChange(Value):
    """A change that was written and seen: replicas added or removed (always positive), and when."""

    change: int
    at: float


class Ask(Value):
    """A write that was asked for and is not confirmed yet by what the cluster shows.

    `earlier` are other sizes asked for from the same `before`: each may still turn out to have been
    applied, its answer lost. `generation` is the Deployment's when it was last asked.
    """

    before: int
    after: int
    at: float
    earlier: tuple[int, ...] = ()
    generation: int = 0


class SetBack(Value):
    """A size that the plan had set (`ours`) and that somebody else replaced (by `theirs`)."""

    ours: int
    theirs: int
    at: float


class Repeats(Value):
    """Nothing but so many messages in flight that were all delivered before, and since when; with
    the consumer's counters at that time.
    """

    messages: int
    since: float
    delivered: int | None = None
    sequence: int | None = None


class PoolMemory(Value):
    """One pool's past. `since` is when this memory began: before one window has passed nothing is
    taken away. `failures`: how many plans in a row found a metric with a fallback unreadable,
    counted as far as the fallback's threshold goes.

    `ours` is the size that the plan set, as long as it stands; `replaced` what somebody made of it,
    while the plan lets that stand; `set_back` those it wanted otherwise, the newest last.
    `blind_since`: when its work was last known, None while it is. `repeats`: all that it works on,
    where that only comes back. `native`: what the rule has learned of it.
    """

    since: float
    last_active_at: float | None = None
    recommendations: tuple[RecommendationRun, ...] = ()
    scaled_up: tuple[ScaleChange, ...] = ()
    scaled_down: tuple[ScaleChange, ...] = ()
    asked: Ask | None = None
    own_zero: bool = False
    ours: int | None = None
    replaced: SetBack | None = None
    set_back: tuple[SetBack, ...] = ()
    blind_since: float | None = None
    repeats: Repeats | None = None
    failures: dict[str, int] = msgspec.field(default_factory=dict)
    native: NativeMemory | None = None


class Memory(Value):
    """The past of every pool."""

    pools: dict[PoolKey, PoolMemory] = msgspec.field(default_factory=dict)
