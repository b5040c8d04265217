"""A tick, which is all inputs of the planner at one moment, and the planner's memory from tick to
tick. Both are written as JSON and read back without loss. Times are Unix seconds. What is stored is
checked against bounds, so that the rule can divide and take roots safely.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from controller.model.decision import Standing
from controller.model.ids import PoolKey, QueueName
from controller.model.intents import Intents
from controller.model.observation import Observation, TenantSpent
from controller.model.value import INT64_MAX, Counter, Failures, Replicas, Time, Value, within

_MOST: Final = 1e30
NotNegative: TypeAlias = Annotated[float, within(0.0, _MOST)]
Divisor: TypeAlias = Annotated[float, within(1e-9, _MOST)]
Count: TypeAlias = Annotated[int, within(0, INT64_MAX)]
Signed: TypeAlias = Annotated[float, within(-_MOST, _MOST)]

BINS: Final = 48  # in the histogram of demand changes
FIRST_SERVICE_S: Final = 30.0  # the assumed duration of a task until one has finished


class Forecast(Value):
    """A forecast of the demand one time to ready after `at`: `anchor` slots, with error `scale`."""

    at: NotNegative
    anchor: Signed
    scale: Divisor
    demand: NotNegative  # in slots, at `at`
    mean: Signed  # in slots, at `at`


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
    """What rule native has learned about one pool. Times are seconds of the caller's clock."""

    at: NotNegative  # the last update
    arrivals: Count  # the counters then
    completions: Count
    # a histogram: the number of arrivals by the change of demand that they found
    moves: Annotated[tuple[NotNegative, ...], Meta(min_length=BINS, max_length=BINS)]
    demand: NotNegative = 0.0  # the slots needed at `at`
    in_flight: Count = 0
    rate: ArrivalRate = ArrivalRate()
    mean: Signed = 0.0  # the mean demand in slots
    square_error: NotNegative = 0.0  # the mean square error of its forecasts
    # moved_together / moved: the part of a deviation from the mean that lasts one time to ready
    moved_together: Signed = 1.6
    moved: Divisor = 2.0
    worked_s: NotNegative = FIRST_SERVICE_S  # worked_s / worked: the mean seconds of a task
    worked: Divisor = 1.0
    wanted_at: NotNegative = 0.0  # when all replicas were last worth keeping
    worth: Divisor = 1.0  # the factor on the configured costs, by the arrivals that had to wait
    asked: Count = 0  # the replicas advised last
    forecasts: tuple[Forecast, ...] = ()


class NativeMemory(Value):
    """The memory of rule native about one pool: `learned`, and the queue when the rule learned."""

    learned: NativeState
    asked_at: NotNegative  # when it learned last
    pending: Count  # messages waiting then
    delivered: Count  # the consumer's and the stream's number of the last delivery then
    sequence: Count | None = None
    served: Count = 0  # finished tasks, counted only up to the number from which they are trusted
    ready_s: NotNegative | None = None  # the measured time to ready of one replica
    # how many such times pass until all replicas that were needed are ready: more than 1 where
    # replicas start one after the other
    starts: Count = 1
    base: Count = 0  # this and the next two: the advice given at `asked_at`, in replicas
    start: Count = 0
    keep: Count = 0
    in_flight: Count = 0  # messages in flight since `in_flight_at`
    in_flight_at: NotNegative = 0.0
    worked_s: NotNegative = 0.0  # the seconds of work from `asked_at` to `in_flight_at`
    quiet_since: NotNegative | None = None  # the queue is unchanged; None: since `asked_at`
    surplus_since: NotNegative | None = None  # more replicas run than are worth keeping


class AckMark(Value):
    """How far deliveries were acknowledged: all up to the delivery and the stream's sequence named
    here. `last_active` is the server's time of the last acknowledgement, empty if it told none.
    """

    consumer_seq: Counter
    stream_seq: Counter
    last_active: str = ""


class QueueMark(Value):
    """The last answer about a consumer that was believed; counts are in messages (QueueDepth)."""

    stream: str
    consumer: str
    created: str  # its creation time in the server's words
    at: Time
    pending: Counter
    in_flight: Counter
    redelivered: Counter = 0
    delivered: Counter | None = None
    sequence: Counter | None = None
    acks: AckMark | None = None  # None where the server told none
    max_deliver: int = -1  # how often the server delivers a message; 0 or less: no limit

    @property
    def queue(self) -> QueueName:
        """The queue that it is about."""
        return QueueName(self.stream, self.consumer)


class RecommendationRun(Value):
    """One raw recommendation that stayed the same from `first_at` to `last_at`.

    `last_at` is None for the newest run while its recommendation is still the current one. So the
    memory of a pool with an unchanged recommendation stays the same at every plan.
    """

    replicas: Replicas
    first_at: Time
    last_at: Time | None = None


class ScaleChange(Value):
    """A confirmed change: the replicas added or removed (above 0), and when."""

    change: Replicas
    at: Time


class PendingWrite(Value):
    """A write that was requested and is not confirmed by an observation yet; sizes in replicas.

    While the Deployment has the resourceVersion `version`, the request may still be applied.
    """

    before: Replicas
    after: Replicas
    at: Time
    # other sizes requested from `before`: each may still appear as applied, its answer being lost
    earlier: tuple[Replicas, ...] = ()
    generation: int = 0  # the Deployment's at the last request
    repeated: bool = False  # `after` was requested more than once
    version: str = ""


class SetBack(Value):
    """A size (`ours`) that the field manager `by`, if known, replaced with `theirs`."""

    ours: Replicas
    theirs: Replicas
    at: Time
    by: str = ""


class Repeats(Value):
    """Redelivered messages in flight, since when there are no others, and counters then."""

    messages: Counter
    since: Time
    delivered: Counter | None = None
    sequence: Counter | None = None


class PoolMemory(Value):
    """What is remembered of one pool.

    `queues` is where its queues stood in their histories when this was saved, for the next process
    to go on from; it is empty in the memory to plan with.
    """

    # when this memory began: the pool does not scale down before one downward window has passed
    since: Time
    last_active_at: Time | None = None  # when it was active last before `active_since`
    recommendations: tuple[RecommendationRun, ...] = ()  # what the rule asked for, oldest first
    scaled_up: tuple[ScaleChange, ...] = ()  # confirmed changes, for the rate policies
    scaled_down: tuple[ScaleChange, ...] = ()
    asked: PendingWrite | None = None
    own_zero: bool = False  # the plan itself scaled to zero
    ours: Replicas | None = None  # the size that the plan set, until another writer replaces it
    replaced: SetBack | None = None  # the last such change, until the plan agrees or disagrees
    set_back: tuple[SetBack, ...] = ()  # the changes with which it disagreed, the newest last
    blind_since: Time | None = None  # when the pool's work was last known, None while it is known
    repeats: Repeats | None = None  # while nothing but redeliveries is in flight
    queue_repeats: tuple[Repeats | None, ...] = ()  # of several queues, each in place of `repeats`
    # by metric with a fallback, how many plans in a row could not read it, counted up to one more
    # than the fallback's threshold
    failures: dict[str, Failures] = msgspec.field(default_factory=dict)
    native: NativeMemory | None = None
    active_since: Time | None = None  # None while it is not active
    left_since: Time | None = None  # when a message was left to those that stand by, while it waits
    queues: tuple[QueueMark, ...] = ()
    standing: Standing | None = None  # an earlier version stored it here


class Memory(Value):
    """The memory of all pools. `planned_at` is the time of the last plan, None before the first;
    everything open-ended in memory was still true then. `spent`, by tenant, is for the next process
    to go on from; it is empty in the memory to plan with.
    """

    pools: dict[PoolKey, PoolMemory] = msgspec.field(default_factory=dict)
    planned_at: Time | None = None
    spent: dict[str, TenantSpent] = msgspec.field(default_factory=dict)


class SavedMemory(Value):
    """A memory, and when it was saved by the clock of the process that saved it."""

    memory: Memory
    saved_at: Time
    age_s: float | None = None  # how long ago by the store's clock; None if it does not tell
    # how long ago its process said last that it has seen nothing else that matters; None: never
    seen_s: float | None = None
    is_partial: bool = False  # it said that it has, and did not save it any more

    def unseen_s(self, now: float) -> float:
        """The time up to `now` (Unix seconds) of which this memory knows nothing, in seconds."""
        age_s = now - self.saved_at if self.age_s is None else self.age_s
        return max(0.0, age_s if self.seen_s is None else min(age_s, self.seen_s))


TICK_VERSION: Final = 1


class Tick(Value):
    """The observation at `now` (Unix seconds), the intents in force then, and the memory before it.

    Without `intents` there are none. Without `memory` the memory after the previous tick is used.
    """

    version: Literal[1]
    now: float
    observation: Observation
    intents: Intents | None = None
    memory: Memory | None = None
