"""What the planner carries from tick to tick. Round-trips through JSON without loss."""

from __future__ import annotations

import msgspec

from controller.model.ids import PoolKey
from controller.model.native import NativeMemory
from controller.model.value import Value


class RecommendationRun(Value):
    """The same raw recommendation, given from `first_at` to `last_at` (Unix seconds).

    `last_at` is None for the newest run while its recommendation is still given: so a pool whose
    recommendation does not change keeps the same memory, however often it is planned.
    """

    replicas: int
    first_at: float
    last_at: float | None = None


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
    """A size that the plan had set (`ours`) and that another writer replaced (by `theirs`)."""

    ours: int
    theirs: int
    at: float


class Repeats(Value):
    """Since when a queue has held nothing but the same redelivered messages in flight, and how
    many; with the consumer's counters at that time.
    """

    messages: int
    since: float
    delivered: int | None = None
    sequence: int | None = None


class PoolMemory(Value):
    """What is remembered of one pool. Times are Unix seconds.

    - `since`: when this memory began. Nothing is taken away before one downward window has passed.
    - `active_since`: since when the pool has been active, None while it is not; `last_active_at`:
      when it was active last before that.
    - `recommendations`: what the rule asked for, oldest first.
    - `scaled_up`, `scaled_down`: confirmed changes, for the rate policies.
    - `asked`: a write that is not confirmed yet. `own_zero`: the plan itself scaled to zero.
    - `ours`: the size that the plan set, while it stands. `replaced`: what another writer made of
      it, while the plan accepts that. `set_back`: those changes that the plan wanted to undo, the
      newest last.
    - `blind_since`: when the pool's work was last known, None while it is known.
    - `repeats`: the messages in flight, while they are nothing but redeliveries.
    - `failures`: by metric with a fallback, how many plans in a row could not read it, counted up
      to one more than the fallback's threshold.
    - `native`: what rule native has learned.
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
    active_since: float | None = None


class Memory(Value):
    """The memory of every pool; `planned_at` (Unix seconds) is when the whole fleet was planned
    last, None where it never was: what is still so counts until then.
    """

    pools: dict[PoolKey, PoolMemory] = msgspec.field(default_factory=dict)
    planned_at: float | None = None
