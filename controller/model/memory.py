"""The planner's memory from tick to tick. It can be written as JSON and read back without loss."""

from __future__ import annotations

import msgspec

from controller.model.ids import PoolKey
from controller.model.native import NativeMemory
from controller.model.queue_mark import QueueMark
from controller.model.standing import Standing
from controller.model.value import Value


class RecommendationRun(Value):
    """One raw recommendation that stayed the same from `first_at` to `last_at` (Unix seconds).

    `last_at` is None for the newest run while its recommendation is still the current one. So the
    memory of a pool with an unchanged recommendation stays the same at every plan.
    """

    replicas: int
    first_at: float
    last_at: float | None = None


class ScaleChange(Value):
    """A confirmed change: the replicas added or removed (above 0), and when (Unix seconds)."""

    change: int
    at: float


class PendingWrite(Value):
    """A write that was requested at `at` and is not confirmed by an observation yet.

    `before` and `after` are sizes in replicas. `earlier` are other sizes requested from the same
    `before`: each may still appear as applied, if its answer was lost. `generation` is the
    Deployment's at the last request, and `version` its resourceVersion: while it has that one, the
    request may still be applied. `repeated`: `after` was requested more than once.
    """

    before: int
    after: int
    at: float
    earlier: tuple[int, ...] = ()
    generation: int = 0
    repeated: bool = False
    version: str = ""


class SetBack(Value):
    """A size that the plan had set (`ours`) and that another writer replaced with `theirs`. `by` is
    that writer's field manager, empty if it is not known.
    """

    ours: int
    theirs: int
    at: float
    by: str = ""


class Repeats(Value):
    """The number of redelivered messages in flight, and since when the queue has had nothing else
    (Unix seconds); with the consumer's counters at that time.
    """

    messages: int
    since: float
    delivered: int | None = None
    sequence: int | None = None


class PoolMemory(Value):
    """What is remembered of one pool. Times are Unix seconds.

    - `since`: when this memory began. The pool does not scale down before one downward window has
      passed.
    - `active_since`: since when the pool has been active, None while it is not; `last_active_at`:
      when it was active last before that.
    - `recommendations`: what the rule asked for, oldest first.
    - `scaled_up`, `scaled_down`: confirmed changes, for the rate policies.
    - `asked`: a write that is not confirmed yet. `own_zero`: the plan itself scaled to zero.
    - `ours`: the size that the plan set, until another writer replaces it. `replaced`: the last
      such change, until the plan agrees or disagrees with it. `set_back`: the changes with which it
      disagreed, the newest last.
    - `blind_since`: when the pool's work was last known, None while it is known.
    - `repeats`: the messages in flight, while they are nothing but redeliveries. `queue_repeats`:
      of several queues, those of each in place of it.
    - `failures`: by metric with a fallback, how many plans in a row could not read it, counted up
      to one more than the fallback's threshold.
    - `native`: what rule native has learned.
    - `standing`: how the pool stood when this was saved, and `queues`: where its queues stood in
      their histories, for the next process to go on from; None and empty in the memory to plan
      with.
    """

    since: float
    last_active_at: float | None = None
    recommendations: tuple[RecommendationRun, ...] = ()
    scaled_up: tuple[ScaleChange, ...] = ()
    scaled_down: tuple[ScaleChange, ...] = ()
    asked: PendingWrite | None = None
    own_zero: bool = False
    ours: int | None = None
    replaced: SetBack | None = None
    set_back: tuple[SetBack, ...] = ()
    blind_since: float | None = None
    repeats: Repeats | None = None
    queue_repeats: tuple[Repeats | None, ...] = ()
    failures: dict[str, int] = msgspec.field(default_factory=dict)
    native: NativeMemory | None = None
    active_since: float | None = None
    standing: Standing | None = None
    queues: tuple[QueueMark, ...] = ()


class Memory(Value):
    """The memory of all pools. `planned_at` (Unix seconds) is the time of the last plan, None
    before the first; everything open-ended in memory was still true then.
    """

    pools: dict[PoolKey, PoolMemory] = msgspec.field(default_factory=dict)
    planned_at: float | None = None
