"""The planner's memory from tick to tick. It is written as JSON and read back without loss."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from controller.model.decision import Standing
from controller.model.ids import PoolKey, QueueName
from controller.model.value import Counter, Failures, Replicas, Time, Value

# Stored memory is checked against these bounds, so that the rule can divide and take roots safely.
_MOST: Final = 1e30
NotNegative: TypeAlias = Annotated[float, Meta(ge=0.0, le=_MOST)]
Divisor: TypeAlias = Annotated[float, Meta(ge=1e-9, le=_MOST)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Signed: TypeAlias = Annotated[float, Meta(ge=-_MOST, le=_MOST)]

BINS: Final = 48
"""The number of bins in the histogram of demand changes."""
FIRST_SERVICE_S: Final = 30.0
"""The assumed duration of a task until one has finished."""


class Forecast(Value):
    """A forecast of the demand one time to ready after `at`: `anchor` slots, with error `scale`.

    `demand` and `mean` (slots) are those at `at`.
    """

    at: NotNegative
    anchor: Signed
    scale: Divisor
    demand: NotNegative
    mean: Signed


class ArrivalRate(Value):
    """Two running means of the arrival rate (1/s), a fast and a slow one, and how well each
    predicts.

    `…_predicted` are the arrivals that each mean alone would have predicted, `…_observed` those
    attributed to it. Each arrival is divided between the two in proportion to their predictions
    (expectation maximisation, one arrival at a time).
    """

    fast: NotNegative = 0.0
    slow: NotNegative = 0.0
    fast_predicted: Divisor = 20.0
    fast_observed: NotNegative = 10.0
    slow_predicted: Divisor = 20.0
    slow_observed: NotNegative = 10.0

    @property
    def expected(self) -> float:
        """The expected arrivals per second from now on."""
        fast = self.fast * self.fast_observed / self.fast_predicted
        return fast + self.slow * self.slow_observed / self.slow_predicted


class NativeState(Value):
    """What rule native has learned about one pool. Times are seconds of the caller's clock.

    - `at`: the time of the last update.
    - `arrivals`, `completions`: the counters then. `demand`: the slots needed then.
    - `mean`: the mean demand in slots. `square_error`: the mean square error of its forecasts.
    - `moved_together / moved`: the part of a deviation from the mean that lasts one time to ready.
    - `moves`: a histogram: the number of arrivals by the change of demand that they found.
    - `worked_s / worked`: the mean seconds of a task.
    - `wanted_at`: when all replicas were last worth keeping.
    - `worth`: the factor on the configured costs, learned from the arrivals that had to wait.
    - `asked`: the replicas advised last.
    """

    at: NotNegative
    arrivals: Count
    completions: Count
    moves: Annotated[tuple[NotNegative, ...], Meta(min_length=BINS, max_length=BINS)]
    demand: NotNegative = 0.0
    in_flight: Count = 0
    rate: ArrivalRate = ArrivalRate()
    mean: Signed = 0.0
    square_error: NotNegative = 0.0
    moved_together: Signed = 1.6
    moved: Divisor = 2.0
    worked_s: NotNegative = FIRST_SERVICE_S
    worked: Divisor = 1.0
    wanted_at: NotNegative = 0.0
    worth: Divisor = 1.0
    asked: Count = 0
    forecasts: tuple[Forecast, ...] = ()


class NativeMemory(Value):
    """The memory of rule native about one pool: `learned`, and the queue when the rule learned.

    - `asked_at`: when it learned last. `quiet_since`: since when the queue is unchanged; None means
      since `asked_at`.
    - `pending`: messages waiting at `asked_at`. `delivered`, `sequence`: the consumer's and the
      stream's number of the last delivery then.
    - `in_flight`: messages in flight since `in_flight_at`; `worked_s`: the seconds of work from
      `asked_at` to `in_flight_at`.
    - `served`: finished tasks, counted only up to the number from which they are trusted.
    - `ready_s`: the measured time to ready of one replica; None before one was measured.
    - `starts`: how many such times pass until all replicas that were needed are ready: more than 1
      where replicas start one after the other.
    - `base`, `start`, `keep`: the advice given at `asked_at`, in replicas.
    - `surplus_since`: since when more replicas run than are worth keeping; None without surplus.
    """

    learned: NativeState
    asked_at: NotNegative
    pending: Count
    delivered: Count
    sequence: Count | None = None
    served: Count = 0
    ready_s: NotNegative | None = None
    starts: Count = 1
    base: Count = 0
    start: Count = 0
    keep: Count = 0
    in_flight: Count = 0
    in_flight_at: NotNegative = 0.0
    worked_s: NotNegative = 0.0
    quiet_since: NotNegative | None = None
    surplus_since: NotNegative | None = None


class AckMark(Value):
    """How far deliveries were acknowledged: all up to the delivery and the stream's sequence named
    here. `last_active` is the server's time of the last acknowledgement, empty if it told none.
    """

    consumer_seq: Counter
    stream_seq: Counter
    last_active: str = ""


class QueueMark(Value):
    """The last answer about a consumer that was believed, at `at` (Unix seconds).

    `created` is its creation time in the server's words. The counts are in messages, as in
    QueueDepth. `acks` is None where the server told none. `max_deliver`: how often the server
    delivers a message, 0 or less for no limit.
    """

    stream: str
    consumer: str
    created: str
    at: Time
    pending: Counter
    in_flight: Counter
    redelivered: Counter = 0
    delivered: Counter | None = None
    sequence: Counter | None = None
    acks: AckMark | None = None
    max_deliver: int = -1

    @property
    def queue(self) -> QueueName:
        """The queue that it is about."""
        return QueueName(self.stream, self.consumer)


class RecommendationRun(Value):
    """One raw recommendation that stayed the same from `first_at` to `last_at` (Unix seconds).

    `last_at` is None for the newest run while its recommendation is still the current one. So the
    memory of a pool with an unchanged recommendation stays the same at every plan.
    """

    replicas: Replicas
    first_at: Time
    last_at: Time | None = None


class ScaleChange(Value):
    """A confirmed change: the replicas added or removed (above 0), and when (Unix seconds)."""

    change: Replicas
    at: Time


class PendingWrite(Value):
    """A write that was requested at `at` and is not confirmed by an observation yet.

    `before` and `after` are sizes in replicas. `earlier` are other sizes requested from the same
    `before`: each may still appear as applied, if its answer was lost. `generation` is the
    Deployment's at the last request, and `version` its resourceVersion: while it has that one, the
    request may still be applied. `repeated`: `after` was requested more than once.
    """

    before: Replicas
    after: Replicas
    at: Time
    earlier: tuple[Replicas, ...] = ()
    generation: int = 0
    repeated: bool = False
    version: str = ""


class SetBack(Value):
    """A size that the plan had set (`ours`) and that another writer replaced with `theirs`. `by` is
    that writer's field manager, empty if it is not known.
    """

    ours: Replicas
    theirs: Replicas
    at: Time
    by: str = ""


class Repeats(Value):
    """The number of redelivered messages in flight, and since when the queue has had nothing else
    (Unix seconds); with the consumer's counters at that time.
    """

    messages: Counter
    since: Time
    delivered: Counter | None = None
    sequence: Counter | None = None


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

    since: Time
    last_active_at: Time | None = None
    recommendations: tuple[RecommendationRun, ...] = ()
    scaled_up: tuple[ScaleChange, ...] = ()
    scaled_down: tuple[ScaleChange, ...] = ()
    asked: PendingWrite | None = None
    own_zero: bool = False
    ours: Replicas | None = None
    replaced: SetBack | None = None
    set_back: tuple[SetBack, ...] = ()
    blind_since: Time | None = None
    repeats: Repeats | None = None
    queue_repeats: tuple[Repeats | None, ...] = ()
    failures: dict[str, Failures] = msgspec.field(default_factory=dict)
    native: NativeMemory | None = None
    active_since: Time | None = None
    standing: Standing | None = None
    queues: tuple[QueueMark, ...] = ()


class Memory(Value):
    """The memory of all pools. `planned_at` (Unix seconds) is the time of the last plan, None
    before the first; everything open-ended in memory was still true then.
    """

    pools: dict[PoolKey, PoolMemory] = msgspec.field(default_factory=dict)
    planned_at: Time | None = None
