"""Decisions: the numbers, the rule that limits them, and the reasons as codes with numbers; the
outcome of their writes; how a pool stands since when, and what is announced of it at its workload.
The sentences for the codes are in planning/explain.py.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from controller.model.ids import PoolKey
from controller.model.value import Time, Value
from controller.model.worker_messages import PoolOrders

Number: TypeAlias = int | float | str


class Bound(StrEnum):
    """The rule that decided a target."""

    DEMAND = "demand"
    MIN = "min"
    MAX = "max"
    SCHEDULE = "schedule"
    PIN = "pin"
    BASELINE = "baseline"
    WARM = "warm"
    PAUSE = "pause"
    CAP = "cap"
    NO_GROWTH = "no_growth"
    QUOTA = "quota"
    BUDGET = "budget"
    COST = "cost"
    RATE = "rate"
    CAPACITY = "capacity"


# the bounds that can keep a target below the demand for as long as they stand
CEILINGS: Final = frozenset(
    {
        Bound.MAX,
        Bound.SCHEDULE,
        Bound.PAUSE,
        Bound.CAP,
        Bound.NO_GROWTH,
        Bound.QUOTA,
        Bound.BUDGET,
        Bound.COST,
        Bound.RATE,
        Bound.CAPACITY,
    }
)


class Gate(StrEnum):
    """Why `next` differs from the target."""

    BUSY = "busy"
    ROOM = "room"
    MINIMUM_RUNTIME = "minimum_runtime"
    FREEZE = "freeze"
    BLIND = "blind"
    WARM_UP = "warm_up"
    CONTESTED = "contested"
    NOT_BECOMING_READY = "not_becoming_ready"
    FOLLOWER = "follower"


class Code(StrEnum):
    """A rule that was applied in a decision. Each has one sentence in planning/explain.py."""

    QUEUE = "queue"
    WOKEN = "woken"
    QUEUE_UNKNOWN = "queue_unknown"
    QUEUE_PAUSED = "queue_paused"
    LEARNED_NEED = "learned_need"
    WORTH_STARTING = "worth_starting"
    WORTH_KEEPING = "worth_keeping"
    NOT_WORTH_KEEPING = "not_worth_keeping"
    SURPLUS_HELD = "surplus_held"
    REDELIVERED = "redelivered"
    POISON = "poison"
    METRIC = "metric"
    METRIC_UNKNOWN = "metric_unknown"
    FALLBACK = "fallback"
    INACTIVE = "inactive"
    ACTIVATED = "activated"
    ACTIVATED_BY_METRIC = "activated_by_metric"
    ACTIVATION_FORCED = "activation_forced"
    COOLDOWN = "cooldown"
    ASLEEP = "asleep"
    RESTING = "resting"
    STABILIZED_UP = "stabilized_up"
    STABILIZED_DOWN = "stabilized_down"
    RATE_LIMITED_UP = "rate_limited_up"
    RATE_LIMITED_DOWN = "rate_limited_down"
    TOLERATED = "tolerated"
    AT_MIN = "at_min"
    AT_MAX = "at_max"
    SCALED_TO_ZERO_BY_HAND = "scaled_to_zero_by_hand"
    WORKLOAD_UNKNOWN = "workload_unknown"
    PODS_UNKNOWN = "pods_unknown"
    HELD_BLIND = "held_blind"
    HELD_UNMEASURED = "held_unmeasured"
    BLIND_FOR_LONG = "blind_for_long"
    HELD_WARM_UP = "held_warm_up"
    SCHEDULED = "scheduled"
    PAUSED = "paused"
    KEPT_WHILE_PAUSED = "kept_while_paused"
    PAUSE_UNREADABLE = "pause_unreadable"
    KEPT_BY_ANNOTATION = "kept_by_annotation"
    NO_SHRINKING = "no_shrinking"
    NO_GROWTH = "no_growth"
    ANNOTATION_UNREADABLE = "annotation_unreadable"
    CAPPED = "capped"
    NOT_GROWING = "not_growing"
    PINNED = "pinned"
    WARM_SPARES = "warm_spares"
    BASELINE = "baseline"
    QUOTA = "quota"
    BUDGET = "budget"
    BUDGET_SET = "budget_set"
    BUDGET_SPENT = "budget_spent"
    USAGE_UNKNOWN = "usage_unknown"
    LIMIT_UNREADABLE = "limit_unreadable"
    COST = "cost"
    COST_ALERT = "cost_alert"
    RATE = "rate"
    CAPACITY = "capacity"
    UNSHAREABLE = "unshareable"
    BUSY = "busy"
    DRAINING = "draining"
    ROLLING_OUT = "rolling_out"
    ROLLOUT_PAUSED = "rollout_paused"
    BUSY_AT_THE_TOP = "busy_at_the_top"
    BUSY_SOMEWHERE = "busy_somewhere"
    ROOM = "room"
    MINIMUM_RUNTIME = "minimum_runtime"
    WORKERS_UNKNOWN = "workers_unknown"
    FROZEN = "frozen"
    CONTESTED = "contested"
    SET_BACK = "set_back"
    OTHER_AUTOSCALER = "other_autoscaler"
    NOT_BECOMING_READY = "not_becoming_ready"
    FOLLOWER = "follower"


class Reason(Value):
    """One applied rule: `value` is the replicas after it, `numbers` are those that it used, with
    units in their names.

    Times (`since`, `until` and names that end in `_at`) are absolute, in Unix seconds. So a reason
    stays equal while nothing happens.
    """

    code: Code
    value: int | None = None
    numbers: dict[str, Number] = msgspec.field(default_factory=dict)


class Drain(Value):
    """What the workers of a pool are told, and the pods that must go first when it shrinks:
    `removable` have obeyed, pull no longer and have no task.
    """

    orders: PoolOrders = PoolOrders()
    removable: tuple[str, ...] = ()


class Decision(Value):
    """The decision about one pool; all numbers are replicas.

    - `current`: the observed spec.replicas; None if the Deployment is not known.
    - `demand`, `recommendation`, `target`: None if they cannot be known.
    - `next`: the size to set now; nothing is written if it is None or equals `current`. `gate` is
      why it differs from the target.
    - `wake`: it starts the first replica for waiting work, so it is written before other changes.
    - `drain`: None if its workers are told nothing new, and its pods stay as they are.
    """

    pool: PoolKey
    current: int | None
    demand: int | None
    recommendation: int | None
    target: int | None
    next: int | None
    bound: Bound = Bound.DEMAND
    gate: Gate | None = None
    wake: bool = False
    resource_version: str = ""
    reasons: tuple[Reason, ...] = ()
    drain: Drain | None = None

    @property
    def changes(self) -> bool:
        """Whether `next` has to be written."""
        return self.next is not None and self.current is not None and self.next != self.current


class Plan(Value):
    """The decisions of one tick, made at `at` (Unix seconds)."""

    at: float
    decisions: dict[PoolKey, Decision] = msgspec.field(default_factory=dict)


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
    since: Time
    bound: Bound | None = None
    gate: Gate | None = None
    bound_since: Time | None = None

    def shifted(self, by_s: float) -> Standing:
        """The same with its times moved by so many seconds."""
        bound_since = self.bound_since
        return replace(
            self,
            since=self.since + by_s,
            bound_since=None if bound_since is None else bound_since + by_s,
        )


class Announcement(Value):
    """`reason` is one CamelCase word for the kind of news; `note` says it to people."""

    reason: str
    note: str
    is_warning: bool = False
