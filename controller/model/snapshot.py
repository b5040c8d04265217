"""The snapshot that dashboards and exporters get after a tick, as one immutable value: pools,
queues in motion, tenants, models, nodes and their history; and what else people ask for: what
`agentdash doctor` found, and the last lines of a pod. Times are Unix seconds.

Amounts per minute and USD are for people to read: they are floats, and nothing is decided by them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Final

from controller.model.decision import (
    CEILINGS,
    HARMLESS,
    Bound,
    Code,
    Condition,
    Decision,
    Gate,
    Outcome,
    Reason,
    Standing,
)
from controller.model.fleet import PoolPlace
from controller.model.ids import PoolKey
from controller.model.intents import Intent
from controller.model.observation import PoolObservation, TierUsage, TokensByModel, Workload
from controller.model.readings import Absent, Stale, last_known
from controller.model.scarcity import Resources
from controller.model.settings import LeaseView
from controller.model.value import Interval, Moment, Time, Value


class QueueRates(Value):
    """How a pool's queue moved lately, from its consumer's counters; None where that is unknown.

    Rates are over the last minute, or as much of it as was seen. `waited_…`: how long the messages
    that were delivered for the first time in the last five minutes had waited, to the second or to
    the polling interval if that is longer; unknown while any of them had arrived before it could be
    seen.
    """

    pool: PoolKey
    arrivals_per_minute: float | None = None
    completions_per_minute: float | None = None  # messages that are in flight no longer
    waited_p50_s: float | None = None
    waited_p95_s: float | None = None
    oldest_at: Time | None = None  # when the oldest message that waits was seen first
    oldest_is_older: bool = False  # it was there already when the queue was read first
    number: int = 0  # its place among the pool's queues, 0 for the highest priority
    # when it began to hold work, to be empty, or to be paused in NATS, whichever it is now; no
    # earlier than it was read first
    since: Time | None = None


class TokenState(StrEnum):
    """How a tenant stands to its daily tokens."""

    OK = "ok"  # enough is left
    WARNED = "warned"
    PACED = "paced"  # held to the pace that lasts until the reset
    HARD = "hard"  # stopped
    UNKNOWN = "unknown"


class TenantTokens(Value):
    """A tenant's daily tokens, as its budget counts them."""

    cap: int
    state: TokenState
    resets_at: Time
    used: int | None = None  # since the last reset; None where the ledger is not known
    reserved: int | None = None  # what running tasks are expected to use still
    is_old: bool = False  # only the ledger's last word is known
    burn_per_minute: float | None = None  # the recent pace
    pace_per_minute: float | None = None  # what the tenant is held to, None while it is not
    # when nothing is left at the recent pace; None if that lasts until the reset
    runs_out_at: Time | None = None
    since: Time | None = None  # when its state began


class TenantView(Value):
    """One tenant: its budgets, its quota, its pools, and what operators asked for all of it.

    `pause`, `freeze` and `no_growth` are the first in force that is for the whole tenant or the
    fleet.
    """

    name: str
    tier: str
    namespace: str
    pools: int
    tokens: TenantTokens | None = None  # None without a daily budget
    # what the targets of its pools cost at work; None where no pool's cost is known
    usd_per_hour: float | None = None
    usd_limit: float | None = None
    unpriced: int = 0  # pools that are not in it: no price, or what their tasks take is not known
    quota: Resources = Resources()  # the least of the fleet file's and the cluster's
    is_quota_old: bool = False  # only the cluster's last word is known
    used: Resources = Resources()  # requests of the replicas there, None where not known
    pause: Intent | None = None
    pause_since: Time | None = None  # since when a pause of this author is on it
    freeze: Intent | None = None
    no_growth: Intent | None = None
    day_budget: Intent | None = None  # in place of the fleet file's
    paused_pools: int = 0  # pools that a pause binds, the tenant's own or another
    tiers: TierUsage | None = None  # today's use of each class of models; None before it is known
    by_model: TokensByModel | None = None  # and of each model


class ModelLimit(Value):
    """One of a provider's limits."""

    name: (
        str  # `requests`, `tokens`, `input tokens`, `output tokens` (per minute), `parallel calls`
    )
    limit: int
    usable: float  # without its headroom
    drawn: float  # what the targets draw with all slots at work, as far as that is known
    refused: int = 0  # replicas that it keeps from being started


class ModelDraw(Value):
    """What one pool's target draws of its model, per minute."""

    pool: PoolKey
    replicas: int
    is_known: bool = True  # False where what its tasks take is neither measured nor declared
    requests_per_minute: float = 0.0
    input_tokens_per_minute: float = 0.0
    output_tokens_per_minute: float = 0.0
    parallel: int = 0
    refused: int = 0  # replicas that a limit of the model keeps from being started


class ModelView(Value):
    """One model, or a tenant's own part of it where its limits are not shared; `key` names it."""

    key: str
    model: str
    tenant: str = ""
    limits: tuple[ModelLimit, ...] = ()  # empty where the fleet file says nothing of them
    draws: tuple[ModelDraw, ...] = ()  # one for each pool that uses it
    calls_per_minute: float | None = None  # as workers report; None while no worker does
    refused_calls_per_minute: float | None = None  # of those: refused for their rate (429)
    # what workers report to use of each limit, by the limit's name
    made: Mapping[str, float] = {}


class ClusterNode(Value):
    """One node of the cluster."""

    name: str
    node_class: str = ""  # the class that it counts as, empty for none
    # what its pods may request, those of other fleets too; None for what was never readable
    holds: Resources = Resources()
    taints: tuple[str, ...] = ()  # the first of them, as `key=value:effect`
    closed: str = ""  # why it takes no pods, empty while it takes them


class NodeClassView(Value):
    """The room of one class of nodes, or of all nodes (`name` is empty)."""

    name: str
    nodes: tuple[str, ...] = ()
    most_nodes: int | None = None  # as many as its autoscaler may make; None where it makes none
    # what they hold, those that may still be made too, and of all nodes no more than the capacity
    room: Resources = Resources()
    used: Resources = Resources()  # what this fleet's pods there request; others are not counted
    pods: int = 0
    typical: PoolKey | None = None  # the pool with most pods there, or the first that may run there
    fits: int | None = None  # more of its replicas; None where requests or room are not known


class RoomView(Value):
    """The cluster's room; `why` it is not known, or with `is_old` only the last is."""

    classes: tuple[NodeClassView, ...] = ()
    is_old: bool = False
    why: str = ""


NOT_KNOWN: Final = -1
"""Stands in a series where the value was not known, or nothing was recorded."""


class Timeline(Value):
    """Numbers over time, the oldest first; the last one is of the slot that ended last. A series
    that is not kept is empty: the first four are a pool's, the last is a tenant's.
    """

    pending: tuple[int, ...] = ()  # the most messages that waited in each slot
    ready: tuple[int, ...] = ()  # the replicas that were ready at its end
    target: tuple[int, ...] = ()  # the replicas that there should have been at its end
    wait_s: tuple[int, ...] = ()  # the longest that a message had waited in it
    # the fastest pace in tokens a minute: as its budget counts them, without one all of them
    tokens: tuple[int, ...] = ()


class History(Value):
    """One pool or one tenant."""

    recent: Timeline = Timeline()  # the last 15 minutes in slots of 15 s
    day: Timeline = Timeline()  # the last 24 hours in slots of 15 minutes


class Role(StrEnum):
    """What this process may do."""

    ACTIVE = "active"  # writes and holds no lease: another active process would write too
    LEADER = "leader"  # holds the lease and writes
    FOLLOWER = "follower"  # writes nothing while another process holds the lease
    READ_ONLY = "read_only"

    @property
    def writes(self) -> bool:
        """Whether this process may write to the cluster."""
        return self in {Role.ACTIVE, Role.LEADER}


class LinkState(StrEnum):
    """The state of a connection."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"


class Link(Value):
    """One connection: `name` is `nats` or `kubernetes`."""

    name: str
    state: LinkState
    since: Moment
    detail: str = ""
    last_good_at: Moment | None = None


class PoolView(PoolPlace, kw_only=True):
    """One pool: settings, what was observed, decided and written, since when it stands so."""

    tier: str
    slots: int
    target_per_replica: int
    min: int
    max: int
    observation: PoolObservation
    decision: Decision | None = None
    outcome: Outcome | None = None
    standing: Standing | None = None


class ScaleEvent(Value):
    """One write of a pool's replica count, and the whole decision of that moment."""

    at: Time
    pool: PoolKey
    before: int
    after: int
    bound: str
    reason: Reason  # the deciding one
    outcome: Outcome
    decision: Decision | None = None


class Severity(StrEnum):
    """How urgent a finding is, the least urgent first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


# two kill switches of a process
BY_SIGNAL: Final = "SIGUSR1"
BY_JOURNAL: Final = "journal"  # it cannot be written
# kinds of findings
NO_WRITE: Final = "no write"  # no write to the cluster succeeds
FROZEN: Final = "frozen"  # a kill switch or an annotation freezes pools
JOURNAL_DOWN: Final = "journal_down"  # the journal cannot be written, so nothing is written at all
INVALID_FILE: Final = "invalid"  # the fleet file has faults: an earlier one is in force
OVERTAKEN: Final = "overtaken"  # writes lose against changes that no watch reports


class Finding(Value):
    """One thing that needs attention."""

    severity: Severity
    subject: str  # what it is about, for example a pool's key or a link
    kind: str  # what is wrong with it
    text: str
    since: Time


class LoopStats(Value):
    """Counts of the engine's loop since its process began. `failures` has each source with how many
    of its readings failed: of NATS those of a queue, of Kubernetes requests without an answer or
    with a 401 or 5xx, of each other source those of a metric.
    """

    ticks: int = 0
    late_ticks: int = 0
    last_tick_s: float = 0.0
    decisions: int = 0
    writes: int = 0
    failed_writes: int = 0
    failures: tuple[tuple[str, int], ...] = ()


class Snapshot(Value):
    """The fleet at `at`, after a tick of the process that began at `epoch`.

    An epoch begins with a process, and again when it becomes the leader or takes over another fleet
    file: so the newest epoch is that of the leader. While `frozen_by` has a switch, that process
    writes nothing to the cluster. Histories are the same objects until they change.
    """

    epoch: Moment
    sequence: int  # numbers the snapshots of that process
    at: Moment
    interval_s: Interval
    fleet: str
    context: str
    role: Role
    links: tuple[Link, ...] = ()
    pools: tuple[PoolView, ...] = ()
    queues: tuple[QueueRates, ...] = ()  # in the order of pools, then the highest priority first
    tenants: tuple[TenantView, ...] = ()
    models: tuple[ModelView, ...] = ()
    room: RoomView = RoomView()
    nodes: tuple[ClusterNode, ...] = ()  # those of `room`, sorted by name
    events: tuple[ScaleEvent, ...] = ()
    findings: tuple[Finding, ...] = ()
    process: str = ""  # its name, as `host/4711`
    attached: bool = False  # another process decided it than the one that shows it
    recalled: bool = False  # no controller that runs has published it: it is the last that was kept
    lease: LeaseView | None = None  # None where this process takes part in no election
    histories: Mapping[PoolKey, History] = {}  # those of its time
    tenant_histories: Mapping[str, History] = {}
    journal: str = ""  # the file in which that process keeps its snapshots, if it does
    frozen_by: tuple[str, ...] = ()  # its kill switches that are on, each with its reason
    version: str = ""  # that of the process's program
    loop: LoopStats = LoopStats()

    @property
    def speaks(self) -> bool:
        """Whether others should see it: followers are silent while a leader is known."""
        lease = self.lease
        is_led = lease is not None and bool(lease.holder) and not lease.is_ours
        return self.role is not Role.FOLLOWER or not is_led


_SHRINKS: Final = frozenset({Gate.BUSY, Gate.MINIMUM_RUNTIME})
"""With these a pool goes down as it should: only not at once."""


def condition_of(view: PoolView) -> Condition:
    """The worst condition that applies to the pool."""
    return next(_conditions(view))


def _conditions(view: PoolView) -> Iterator[Condition]:
    """The conditions that apply to the pool, the worst first."""
    seen = view.observation
    kinds = {type(seen.queue), type(seen.workload), type(seen.pods)}
    pods = last_known(seen.pods)
    if Absent in kinds:
        yield Condition.BLIND
    if pods is not None and pods.crashing:
        yield Condition.CRASH
    if view.outcome is not None and view.outcome.kind not in HARMLESS:
        yield Condition.ERROR
    if pods is not None and pods.unscheduled:
        yield Condition.STUCK
    if Stale in kinds:
        yield Condition.STALE
    if view.decision is not None:
        yield from _of_decision(view.decision, last_known(seen.workload))
    yield Condition.OK


def _of_decision(decision: Decision, workload: Workload | None) -> Iterator[Condition]:
    if decision.gate is Gate.FREEZE:
        yield Condition.FROZEN
    if decision.gate is not None and decision.gate not in _SHRINKS:
        yield Condition.HELD
    if decision.bound is Bound.PAUSE:
        yield Condition.PAUSED
    demand, target = decision.demand, decision.target
    is_below = demand is not None and target is not None and target < demand
    if decision.bound in CEILINGS and is_below:
        yield Condition.CAPPED
    if decision.gate in _SHRINKS:
        yield Condition.DOWN
    if workload is None or decision.next is None:
        return
    # in a rollout, pods that begin and surge pods say nothing of where its size goes
    ready = workload.replicas if workload.is_rolling_out else workload.ready
    if decision.next > min(workload.replicas, ready):
        yield Condition.UP
    elif decision.next < max(workload.replicas, ready):
        yield Condition.DOWN
    elif any(reason.code is Code.PINNED for reason in decision.reasons):
        yield Condition.PINNED
    elif decision.next == 0:
        yield Condition.ZERO


REPORT_VERSION: Final = 1


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"  # something works worse than it could
    FAIL = "fail"  # something does not work
    SKIP = "skip"  # it could not be looked at


class Diagnosis(Value):
    """One line of a report."""

    check: str  # what was looked at
    level: Level
    text: str  # what was found
    subject: str = ""  # of what, such as a pool; empty for all
    todo: str = ""  # empty where nothing is to be done


class Report(Value):
    """The lines of all checks, in the order of the table of checks."""

    lines: tuple[Diagnosis, ...]
    version: int = REPORT_VERSION

    @property
    def has_failure(self) -> bool:
        """Whether something does not work, or could not be looked at."""
        return any(line.level in {Level.FAIL, Level.SKIP} for line in self.lines)


class Progress(Value):
    """What a run of the checks has found so far: `ended` of `checks` checks, and their lines."""

    checks: int
    ended: int = 0
    lines: tuple[Diagnosis, ...] = ()


class PodLog(Value):
    """The newest lines of one container, the oldest first, each cleaned and of limited length.

    `times` are those of the lines, in Unix nanoseconds; a mark between lines has that of the line
    before it. `ended_at` is when the run before the present one ended, where that is marked.
    `containers` are the names of all that the pod has. `first` is the number of the first line,
    counted from the first that was ever read. `is_cut`: there were more bytes than are read, so the
    newest lines may be missing.
    """

    container: str = ""
    lines: tuple[str, ...] = ()
    times: tuple[int, ...] = ()
    ended_at: float | None = None
    is_cut: bool = False
    containers: tuple[str, ...] = ()
    first: int = 1


class ContainerState(Value):
    """What a container does since `at` (Unix seconds): it waits, runs or has ended, and why."""

    word: str = "waiting"
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    at: float | None = None

    @property
    def exit_words(self) -> str:
        """`exit 137 (OOMKilled)`."""
        code = "an unknown exit" if self.exit_code is None else f"exit {self.exit_code}"
        return f"{code} ({self.reason})" if self.reason else code


class Container(Value):
    """One container of a pod; `last` is how it ended before it was started again."""

    name: str
    image: str = ""
    is_init: bool = False
    is_ready: bool = False
    restarts: int = 0
    state: ContainerState = ContainerState()
    last: ContainerState | None = None


class PodEvent(Value):
    """What the cluster has said of a pod, so many times, last at this time (Unix seconds)."""

    at: float | None
    count: int
    reason: str
    message: str
    is_warning: bool


class PodInFull(Value):
    """What no list of pods brings of one: its containers and its `events`, the newest first; a text
    says why they are not known.
    """

    containers: tuple[Container, ...] = ()
    events: tuple[PodEvent, ...] | str = ()
