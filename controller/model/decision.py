"""Decisions: numbers, the rule that limits them, reasons as codes with numbers; outcomes of writes,
how a pool stands, announcements. planning/explain.py fills the words' numbers in.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple, TypeAlias

import msgspec

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


# the bounds that never keep a target below the demand
_OTHERS: Final = {Bound.DEMAND, Bound.MIN, Bound.PIN, Bound.BASELINE, Bound.WARM}
CEILINGS: Final = frozenset(Bound) - _OTHERS
"""The bounds that can keep a target below the demand for as long as they stand."""


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


class Wording(NamedTuple):
    """A title for a column or a heading, and the template of a sentence.

    - `{name}` is a number of the reason, `{name:noun}` the number with its noun, `{value}` the
      replicas after the rule.
    - A name that ends in `_s` is shown as a duration. `{until}` and names that end in `_at` are
      shown as the time left, `{since}` as the time passed.
    - `{blindness}` is why a reading cannot be used, and for how long if known. `{outlook}` is when
      a budget will be spent, if that is before its reset. `{of_queue}` names the queue, where the
      pool has several. `{one_by_one}` says that replicas start so.
    """

    title: str
    sentence: str


class Code(StrEnum):
    """A rule that was applied in a decision. Each has its words in the table below."""

    QUEUE = "queue"
    WOKEN = "woken"
    LEFT_TO_STANDBYS = "left_to_standbys"
    STANDS_BY = "stands_by"
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
    ABOVE_QUOTA = "above_quota"
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

    @property
    def wording(self) -> Wording:
        """Its title and its sentence."""
        return WORDINGS[self]


# one entry for each code: its title and, after the bar, its sentence
_TABLE: Final = """
queue: Work waiting | {pending} pending + {in_flight} in flight, {target:task} per replica
    ({slots:slot}): {value:replica}
woken: Woken by a message | {value:replica} or more: a message was published {since} ago, before the
    queue was read
left_to_standbys: Left to standbys | those that stand by serve it: {busy:standby} at work for it and
    {free} free; replicas of its own from {share} standbys' work on (now {load})
stands_by: Stands by | {value:replica} stand by for {pools:pool}: {busy} at work, and {free} so that
    a first message finds one free ({arrivals_per_min} a minute, replaced in {ready_s})
queue_unknown: Queue unknown | the queue's depth is not known ({blindness}), so there is no demand
queue_paused: Consumer paused | the consumer is paused: its messages count, but none is delivered
learned_need: Needed now | these messages need {value:replica}: a task takes {service_s}, and a new
    replica is ready after {ready_s}{one_by_one}
worth_starting: Worth starting | {value:replica}: {base} for these messages, and {likely} more
    because about {arrivals_per_min} tasks arrive per minute and a new replica is ready only after
    {ready_s}{one_by_one}
worth_keeping: Worth keeping | {value:replica} run and stay: {start} would do now, but at
    {arrivals_per_min} tasks per minute it costs less to keep up to {keep} than to start them again
not_worth_keeping: Not worth keeping | down to {value:replica}: at {arrivals_per_min} tasks per
    minute, {service_s} each, more than that are not worth keeping
surplus_held: Surplus held | {value:replica}, although only {keep} are worth keeping: a surplus
    replica goes after {hold_s}, in {until}
redelivered: Redelivered | {redelivered:message} in flight came back after an earlier delivery: for
    these alone no more than {value:replica}
poison: Poison | {redelivered:message} in flight{of_queue} come back again and again and no others
    wait ({deliveries} deliveries in {since}, none acknowledged): they add no replicas
metric: Metric | {metric} is {measured}, its target is {target} {per}: {value:replica}
metric_unknown: Metric unknown | {metric} is not known ({blindness}), so it takes nothing away
fallback: Fallback | {metric} is not known ({blindness}): its fallback is used instead
inactive: Below activation | {messages:message} do not wake a pool whose activation is {activation}
activated: Activated | {messages:message}, more than the activation of {activation}: {value:replica}
    at once
activated_by_metric: Activated | {metric} is {measured}, more than its activation of {activation}:
    {value:replica} at once
activation_forced: Forced active | an annotation of the workload forces the pool to be active:
    {value:replica}
cooldown: Cooling down | idle, but kept at {value:replica} until the cooldown ends in {until}
asleep: Asleep | idle for longer than the cooldown of {cooldown_s}: to zero
resting: Resting | idle for longer than the cooldown of {cooldown_s}: to its idle size,
    {value:replica}
stabilized_up: Stabilised upwards | {value:replica}, the lowest recommendation of the last
    {window_s}; more in {until}
stabilized_down: Stabilised downwards | {value:replica}, the highest recommendation of the last
    {window_s}; fewer in {until}
rate_limited_up: Growth limited | policy {policy}: no more than {value:replica} now
rate_limited_down: Shrinking limited | policy {policy}: no fewer than {value:replica} now
tolerated: Within tolerance | {ratio} of the target is within the tolerance: it stays at
    {value:replica}
at_min: At min | at least {min:replica} (min)
at_max: At max | at most {max:replica} (max)
scaled_to_zero_by_hand: Zero by hand | it was scaled to zero by hand although min is {min}: it stays
    at zero until it is scaled up by hand
workload_unknown: Workload unknown | the workload is not known ({blindness}): nothing is written
pods_unknown: Pods unknown | the pods are not known ({blindness}): it stays at {value:replica},
    nothing is written
held_blind: Held blind | held at {value:replica}: the queue is not known ({blindness}), and missing
    data takes nothing away
held_unmeasured: Held blind | held at {value:replica}: {metric} is not known ({blindness}), and
    missing data takes nothing away
blind_for_long: Blind for long | its work has not been known for {since}, longer than {after_s}: at
    least {value:replica}
held_warm_up: Held, warming up | held at {value:replica}: nothing is taken away before {window_s}
    have been observed, {until} to go
scheduled: Schedule | an open schedule sets min {min} and max {max}
paused: Paused | paused by {who}{given}: nothing new starts
kept_while_paused: Paused | paused by {who}{given}: kept at {value:replica}
pause_unreadable: Pause unreadable | the pause by {who} asks for {keep} replicas, which cannot be:
    kept at {value:replica}
kept_by_annotation: Paused | the workload's annotation {annotation} keeps it at {value:replica}
no_shrinking: Shrinking paused | the workload's annotation {annotation} lets no replica go:
    {value:replica}
no_growth: Growth paused | the workload's annotation {annotation} lets no replica be added:
    {value:replica}
annotation_unreadable: Annotation unreadable | the workload's annotation {annotation} is not a
    number of replicas ({text}): kept at {value:replica}
capped: Capped | capped by {who}{given}: at most {value:replica}
not_growing: Not growing | no growth, asked for by {who}{given}: no more than {value:replica}
pinned: Pinned | {spares:spare} pinned by {who}{given}: {value:replica}
warm_spares: Warm spares | {spares:spare} for tasks that may arrive: {value:replica}
baseline: Baseline | a tenant with work has at least {value:replica}
quota: Quota | the tenant's quota ({row}: {capacity}) leaves {value:replica} to this pool
above_quota: Above quota | it holds {value:replica}, more than the tenant's quota
    ({row}: {capacity}) has room for: the tenant's other pools pay first, then pools of its tier
    or below
budget: Budget | {used_percent} % of the day's tokens are used, and a pace of {pace_per_minute}
    tokens/min feeds {value:replica}{outlook}
budget_set: Budget set | {who} set the day's budget to {tokens:token}{given}
budget_spent: Budget spent | the day's tokens are spent: down to {value:replica} until the reset
usage_unknown: Usage unknown | what is left of the budget is not known: no more than {value:replica}
    until it is
limit_unreadable: Limit unreadable | the {limit} that was read cannot be one: no more than
    {value:replica} until it can
cost: Cost | the limit in USD per hour ({row}: {capacity}) pays for {value:replica} of this pool
cost_alert: Cost alert | the tenant's pools cost {usd_per_hour} USD per hour, at or above its alert
    of {usd_alert}
rate: Rate limit | the provider's limit ({row}: {capacity}) feeds {value:replica}
capacity: Capacity | the cluster's {row} ({capacity}) leaves {value:replica} to this pool
unshareable: Not shareable | {subject} cannot be calculated with, so nothing can be shared: it stays
    at {value:replica}
busy: Busy | {busy:replica} at work finish their tasks first: {value:replica} now
draining: Draining | {drained} of {going:replica} that go are drained, {busy} finish their tasks
    first: {value:replica} now
rolling_out: Rolling out | its pods are of {generations} pod templates: none is taken away before
    the rollout has ended, {value:replica} now
rollout_paused: Rollout paused | its pods are of {generations} pod templates and its Deployment is
    paused: none is taken away before the rollout goes on and has ended, {value:replica} now
busy_at_the_top: Busy at the top | the highest ordinals of a StatefulSet go first, and {pod} is not
    drained yet ({busy} of {going:replica} that go at work): {value:replica} now
busy_somewhere: Busy somewhere | {busy:replica} at work, and nothing says whether these are the
    highest ordinals, which a StatefulSet removes first: {value:replica} until all are idle
room: No room yet | replicas that are leaving still take the room it may have ({row}):
    {value:replica} now
minimum_runtime: Minimum runtime | replicas that just began are not taken back yet: {value:replica}
    now
workers_unknown: Workers unknown | what its workers do is not known ({blindness}), so none is taken
    away: {value:replica}
frozen: Frozen | frozen by {who}{given}: it stays at {value:replica}
contested: Contested | {writer} keeps setting it back, {times} times, last from {ours} to {theirs}:
    left at {value:replica} until that has not happened for {window_s}, {until} to go
set_back: Set back | set back from {ours} to {theirs} by {writer}: left at {value:replica} until
    that has not happened for {window_s}, {until} to go
other_autoscaler: Other autoscaler | {autoscaler} scales it too: left at {value:replica} until that
    is gone
not_becoming_ready: Not becoming ready | {stuck:pod} crash, cannot start or fit nowhere: no more
    than {value:replica} until they are ready
follower: Follower | {holder} leads: this process would set {wanted:replica}, and writes nothing
"""


def _read(table: str) -> dict[Code, Wording]:
    """The wordings by code; an entry begins with its code, and its other lines are indented."""
    wordings: dict[Code, Wording] = {}
    for entry in re.split(r"\n(?=\S)", table.strip()):
        code, _, wording = " ".join(entry.split()).partition(": ")
        heading, _, text = wording.partition(" | ")
        wordings[Code(code)] = Wording(heading, text)
    return wordings


WORDINGS: Final[dict[Code, Wording]] = _read(_TABLE)


class Reason(Value):
    """One applied rule, and the numbers that it used, with units in their names. Times (`since`,
    `until`, `…_at`) are Unix seconds, so that a reason stays equal while nothing happens.
    """

    code: Code
    value: int | None = None  # the replicas after it
    numbers: dict[str, Number] = msgspec.field(default_factory=dict)


class Drain(Value):
    """What the workers of a pool are told, and the pods that must go first when it shrinks."""

    orders: PoolOrders = PoolOrders()
    removable: tuple[str, ...] = ()  # they have obeyed, pull no longer and have no task


class Decision(Value):
    """The decision about one pool; all numbers are replicas, None where they are not known."""

    pool: PoolKey
    current: int | None  # the observed spec.replicas
    demand: int | None
    recommendation: int | None
    target: int | None
    next: int | None  # the size to set now; nothing is written if it is None or equals `current`
    bound: Bound = Bound.DEMAND
    gate: Gate | None = None  # why `next` differs from the target
    wake: bool = False  # it starts the first replica for waiting work: it is written first
    resource_version: str = ""
    reasons: tuple[Reason, ...] = ()
    drain: Drain | None = None  # None: its workers are told nothing new, and its pods stay

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


HARMLESS: Final = frozenset({OutcomeKind.APPLIED, OutcomeKind.CONFLICT, OutcomeKind.READ_ONLY})
"""They need no attention: after a conflict the next tick decides again, on the newer object."""


class Outcome(Value):
    """The outcome of one write."""

    kind: OutcomeKind
    status: int = 0  # of HTTP, 0 without an answer
    detail: str = ""  # the server's message, cleaned and shortened
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
    """A pool's condition, and its decision's bound and gate; times are Unix seconds."""

    condition: Condition
    since: Time
    bound: Bound | None = None
    gate: Gate | None = None
    bound_since: Time | None = None  # of the bound and the gate together; None without a decision


class Announcement(Value):
    """`reason` is one CamelCase word for the kind of news; `note` says it to people."""

    reason: str
    note: str
    is_warning: bool = False
