"""The snapshot that dashboards and exporters get after a tick, as one immutable value: pools,
queues in motion, tenants, models, nodes and their history; and what else people ask for: what
`agentdash doctor` found, and the last lines of a pod.

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
from controller.model.ids import PoolKey, QueueName, WorkloadName, workload_name
from controller.model.intents import Intent
from controller.model.lease import LeaseView
from controller.model.observation import PoolObservation, TierUsage, TokensByModel, Workload
from controller.model.readings import Absent, Stale, last_known
from controller.model.scarcity import Resources
from controller.model.value import Interval, Moment, Time, Value


class QueueRates(Value):
    """How a pool's queue moved lately, from its consumer's counters; None where that is unknown.
    `number` is its place among the pool's queues, 0 for the highest priority.

    - `arrivals_per_minute`, `completions_per_minute`: over the last minute, or as much of it as was
      seen. A completion is a message that is in flight no longer.
    - `waited_p50_s`, `waited_p95_s`: how long the messages that were delivered for the first time
      in the last five minutes had waited, to the second or to the polling interval if that is
      longer. Unknown while any of them had arrived before it could be seen.
    - `oldest_at`: when the oldest message that waits was seen first (Unix seconds).
      `oldest_is_older`: it was there already when the queue was read first.
    - `since`: when it began to hold work, to be empty, or to be paused in NATS, whichever it is
      now; no earlier than it was read first (Unix seconds).
    """

    pool: PoolKey
    arrivals_per_minute: float | None = None
    completions_per_minute: float | None = None
    waited_p50_s: float | None = None
    waited_p95_s: float | None = None
    oldest_at: Time | None = None
    oldest_is_older: bool = False
    number: int = 0
    since: Time | None = None


class TokenState(StrEnum):
    """How a tenant stands to its daily tokens: enough is left; the warning is reached; held to the
    pace that lasts until the reset; stopped; its use is not known.
    """

    OK = "ok"
    WARNED = "warned"
    PACED = "paced"
    HARD = "hard"
    UNKNOWN = "unknown"


class TenantTokens(Value):
    """A tenant's daily tokens, as its budget counts them. `since`: when its state began (Unix
    seconds).

    - `used`: since the last reset; `reserved`: what running tasks are expected to use still. None
      where the ledger is not known; `is_old`: only its last word is.
    - `burn_per_minute`: the recent pace; `pace_per_minute`: what the tenant is held to, None while
      it is not.
    - `runs_out_at`: when nothing is left at the recent pace, None if that lasts until `resets_at`
      (both Unix seconds).
    """

    cap: int
    state: TokenState
    resets_at: Time
    used: int | None = None
    reserved: int | None = None
    is_old: bool = False
    burn_per_minute: float | None = None
    pace_per_minute: float | None = None
    runs_out_at: Time | None = None
    since: Time | None = None


class TenantView(Value):
    """One tenant: its budgets, its quota, its pools, and what operators asked for all of it.

    - `tokens`: None without a daily budget.
    - `usd_per_hour`: what the targets of its pools cost at work, None where no pool's cost is
      known. `unpriced`: pools that are not in it, because their model has no price or what their
      tasks take is not known.
    - `quota`: the least of the fleet file's and the cluster's; `is_quota_old`: only the cluster's
      last word is known. `used`: what the replicas there are request, None where a pool's requests
      are not known.
    - `pause`, `freeze`, `no_growth`: the first in force that is for the whole tenant or the fleet.
      `pause_since`: since when a pause of this author is on it (Unix seconds). `day_budget`: in
      place of the fleet file's. `paused_pools`: pools that a pause binds, the tenant's own or
      another.
    - `tiers`, `by_model`: what it used today of each class of models, and of each model; None
      before that is known.
    """

    name: str
    tier: str
    namespace: str
    pools: int
    tokens: TenantTokens | None = None
    usd_per_hour: float | None = None
    usd_limit: float | None = None
    unpriced: int = 0
    quota: Resources = Resources()
    is_quota_old: bool = False
    used: Resources = Resources()
    pause: Intent | None = None
    pause_since: Time | None = None
    freeze: Intent | None = None
    no_growth: Intent | None = None
    day_budget: Intent | None = None
    paused_pools: int = 0
    tiers: TierUsage | None = None
    by_model: TokensByModel | None = None


class ModelLimit(Value):
    """One of a provider's limits: `name` is `requests`, `tokens`, `input tokens`, `output
    tokens` (per minute) or `parallel calls`.

    `usable` is the limit without its headroom. `drawn` is what the targets draw with all their
    slots at work, as far as that is known. `refused` are replicas that it keeps from being started.
    """

    name: str
    limit: int
    usable: float
    drawn: float
    refused: int = 0


class ModelDraw(Value):
    """What one pool's target draws of its model, per minute; `is_known` is False where what its
    tasks take is neither measured nor declared. `refused` are replicas that a limit of the model
    keeps from being started.
    """

    pool: PoolKey
    replicas: int
    is_known: bool = True
    requests_per_minute: float = 0.0
    input_tokens_per_minute: float = 0.0
    output_tokens_per_minute: float = 0.0
    parallel: int = 0
    refused: int = 0


class ModelView(Value):
    """One model, or a tenant's own part of it where its limits are not shared; `key` names it.

    `limits` is empty where the fleet file says nothing of them. `draws` has one entry for each pool
    that uses it. `calls_per_minute` are those that workers report, and `refused_calls_per_minute`
    those of them that the provider refused for its rate (429); None while no worker reports any.
    """

    key: str
    model: str
    tenant: str = ""
    limits: tuple[ModelLimit, ...] = ()
    draws: tuple[ModelDraw, ...] = ()
    calls_per_minute: float | None = None
    refused_calls_per_minute: float | None = None


class ClusterNode(Value):
    """One node of the cluster.

    - `node_class`: the class that it counts as, empty for none. `holds`: what its pods may request
      together, those of other fleets too; None for what was never readable.
    - `taints`: the first of them, as `key=value:effect`. `closed`: why it takes no pods, empty
      while it takes them.
    """

    name: str
    node_class: str = ""
    holds: Resources = Resources()
    taints: tuple[str, ...] = ()
    closed: str = ""


class NodeClassView(Value):
    """The room of one class of nodes, or of all nodes (`name` is empty).

    - `nodes`: their names. `most_nodes`: as many as its autoscaler may make, None where it makes
      none.
    - `room`: what they hold, those that may still be made too, and of all nodes no more than the
      fleet file's capacity; `used`: what this fleet's pods on
      them request. Other pods are not counted.
    - `typical`: the pool with most pods there, else the first that may run there; `fits`: how many
      more of its replicas the room holds. None where its requests or the room are not known.
    """

    name: str
    nodes: tuple[str, ...] = ()
    most_nodes: int | None = None
    room: Resources = Resources()
    used: Resources = Resources()
    pods: int = 0
    typical: PoolKey | None = None
    fits: int | None = None


class RoomView(Value):
    """The room of the cluster. `why` says why it is not known, or with `is_old` why only the last
    known room is; it is empty while the nodes are read.
    """

    classes: tuple[NodeClassView, ...] = ()
    is_old: bool = False
    why: str = ""


NOT_KNOWN: Final = -1
"""Stands in a series where the value was not known, or nothing was recorded."""


class Timeline(Value):
    """Numbers over time, the oldest first; the last one is of the slot that ended last. A series
    that is not kept is empty.

    Of a pool: `pending` is the most messages that waited in each slot, and `wait_s` the longest
    that a message had waited in it, in seconds. `ready` and `target` are the replicas that were
    ready and that the pool should have had at the end of it. Of a tenant: `tokens` is the fastest
    pace of the slot, in tokens a minute: as its budget counts them, without one all of them.
    """

    pending: tuple[int, ...] = ()
    ready: tuple[int, ...] = ()
    target: tuple[int, ...] = ()
    wait_s: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()


class History(Value):
    """One pool or one tenant: `recent` is the last 15 minutes in slots of 15 s, `day` the last 24
    hours in slots of 15 minutes.
    """

    recent: Timeline = Timeline()
    day: Timeline = Timeline()


class Role(StrEnum):
    """What this process may do.

    ACTIVE writes and holds no lease: another active process would write too. LEADER holds the lease
    and writes. FOLLOWER writes nothing while another process holds the lease. READ_ONLY never
    writes.
    """

    ACTIVE = "active"
    LEADER = "leader"
    FOLLOWER = "follower"
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
    """One connection: `name` is `nats` or `kubernetes`; times are Unix seconds."""

    name: str
    state: LinkState
    since: Moment
    detail: str = ""
    last_good_at: Moment | None = None


class PoolView(Value):
    """One pool: its settings, what was observed, what was decided, the outcome of the write, and
    since when it stands as it does. `requests` are those of one replica by the fleet file; None
    where those of the Deployment's pod template count.
    """

    key: PoolKey
    tenant: str
    tier: str
    namespace: str
    stream: str
    consumer: str
    slots: int
    target_per_replica: int
    min: int
    max: int
    observation: PoolObservation
    deployment: str = ""
    statefulset: str = ""
    decision: Decision | None = None
    outcome: Outcome | None = None
    standing: Standing | None = None
    lower_queues: tuple[QueueName, ...] = ()
    requests: Resources | None = None

    @property
    def workload(self) -> WorkloadName:
        """The object whose replicas the pool is."""
        return workload_name(self.deployment, self.statefulset)

    @property
    def queues(self) -> tuple[QueueName, ...]:
        """All its queues, the one of the highest priority first."""
        return (QueueName(self.stream, self.consumer), *self.lower_queues)


class ScaleEvent(Value):
    """One write of a pool's replica count: its time (Unix seconds), the counts before and after,
    the bound, the deciding reason, the outcome, and the whole decision of that moment.
    """

    at: Time
    pool: PoolKey
    before: int
    after: int
    bound: str
    reason: Reason
    outcome: Outcome
    decision: Decision | None = None


class Severity(StrEnum):
    """How urgent a finding is, the least urgent first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


BY_SIGNAL: Final = "SIGUSR1"
BY_JOURNAL: Final = "journal"
"""Two kill switches of a process: a person's signal, and a journal that cannot be written."""
NO_WRITE: Final = "no write"
"""The kind of the finding that no write to the cluster succeeds."""
FROZEN: Final = "frozen"
"""The kind of the finding that a kill switch or an annotation freezes pools."""
JOURNAL_DOWN: Final = "journal_down"
"""The kind of the finding that the journal cannot be written, so nothing is written at all."""
INVALID_FILE: Final = "invalid"
"""The kind of the finding that the fleet file has faults, so that an earlier one is in force."""
OVERTAKEN: Final = "overtaken"
"""The kind of the finding that writes lose against changes that no watch reports."""


class Finding(Value):
    """One thing that needs attention.

    `subject` names what it is about, for example a pool's key or a link; `kind` says what is wrong
    with it. `since` is in Unix seconds.
    """

    severity: Severity
    subject: str
    kind: str
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
    """The fleet at `at`, after a tick of the process that began at `epoch` (both Unix seconds).

    `sequence` numbers the snapshots of that process; `process` names it, as `host/4711`.
    `attached`: another process decided it than the one that shows it. `recalled`: no controller
    that runs has published it; it is the last that one has kept. `lease` is None where this
    process takes part in no election. An epoch begins with a process, and again when it becomes the
    leader or takes over another fleet file: so the newest epoch is that of the leader. `queues` has
    one entry for each queue, in the order of `pools`, and of a pool the highest priority first.
    `nodes` are those of `room`, sorted by name.
    `histories` are of its time, by pool, and `tenant_histories` by tenant; they are the same
    objects until they change. `journal` is the file in which that process keeps its snapshots, if
    it does. `frozen_by` are its kill switches that are on, each with its reason: while there is
    one, it writes nothing to the cluster. `version` is that of the process's program.
    """

    epoch: Moment
    sequence: int
    at: Moment
    interval_s: Interval
    fleet: str
    context: str
    role: Role
    links: tuple[Link, ...] = ()
    pools: tuple[PoolView, ...] = ()
    queues: tuple[QueueRates, ...] = ()
    tenants: tuple[TenantView, ...] = ()
    models: tuple[ModelView, ...] = ()
    room: RoomView = RoomView()
    nodes: tuple[ClusterNode, ...] = ()
    events: tuple[ScaleEvent, ...] = ()
    findings: tuple[Finding, ...] = ()
    process: str = ""
    attached: bool = False
    recalled: bool = False
    lease: LeaseView | None = None
    histories: Mapping[PoolKey, History] = {}
    tenant_histories: Mapping[str, History] = {}
    journal: str = ""
    frozen_by: tuple[str, ...] = ()
    version: str = ""
    loop: LoopStats = LoopStats()

    @property
    def speaks(self) -> bool:
        """Whether dashboards elsewhere should see it. A follower is silent while another process is
        known to lead, because they show one view of the fleet.
        """
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
    if decision.bound in CEILINGS and _is_below_demand(decision):
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


def _is_below_demand(decision: Decision) -> bool:
    if decision.target is None or decision.demand is None:
        return False
    return decision.target < decision.demand


REPORT_VERSION: Final = 1


class Level(StrEnum):
    """How bad it is. `fail`: something does not work; `warn`: something works worse than it could;
    `skip`: it could not be looked at.
    """

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


class Diagnosis(Value):
    """One line: what was looked at (`check`), of what (`subject`, such as a pool; empty for all),
    what was found, and what to do about it (empty where nothing is to be done).
    """

    check: str
    level: Level
    text: str
    subject: str = ""
    todo: str = ""


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

    `is_cut`: there were more bytes than are read, so the newest lines may be missing.
    """

    container: str = ""
    lines: tuple[str, ...] = ()
    is_cut: bool = False
