"""The snapshot that dashboards and exporters get after a tick, as one immutable value."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from controller.model.decision import Decision, Reason
from controller.model.fleet_views import ModelView, QueueRates, RoomView, TenantView
from controller.model.history import History
from controller.model.ids import PoolKey
from controller.model.observation import PoolObservation
from controller.model.outcome import Outcome
from controller.model.value import Value


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
    since: float
    detail: str = ""
    last_good_at: float | None = None


class PoolView(Value):
    """One pool: its settings, what was observed, what was decided, and the outcome of the write."""

    key: PoolKey
    tenant: str
    tier: str
    namespace: str
    deployment: str
    stream: str
    consumer: str
    slots: int
    target_per_replica: int
    min: int
    max: int
    observation: PoolObservation
    decision: Decision | None = None
    outcome: Outcome | None = None


class ScaleEvent(Value):
    """One write of a pool's replica count: its time (Unix seconds), the counts before and after,
    the bound, the deciding reason, the outcome, and the whole decision of that moment.
    """

    at: float
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


class Finding(Value):
    """One thing that needs attention.

    `subject` names what it is about, for example a pool's key or a link; `kind` says what is wrong
    with it. `since` is in Unix seconds.
    """

    severity: Severity
    subject: str
    kind: str
    text: str
    since: float


class LoopStats(Value):
    """Counts of the engine's loop since its process began."""

    ticks: int = 0
    late_ticks: int = 0
    last_tick_s: float = 0.0
    decisions: int = 0
    writes: int = 0
    failed_writes: int = 0
    failed_readings: int = 0


class Snapshot(Value):
    """The fleet at `at`, after a tick of the process that began at `epoch` (both Unix seconds).

    `sequence` numbers the snapshots of that process; `process` names it, as `host/4711`.
    `attached`: another process decided it than the one that shows it. `queues` has one entry for
    each pool, in the order of `pools`. `histories` are of its time, by pool; they are the same
    object until they change.
    """

    epoch: float
    sequence: int
    at: float
    interval_s: float
    fleet: str
    context: str
    role: Role
    links: tuple[Link, ...] = ()
    pools: tuple[PoolView, ...] = ()
    queues: tuple[QueueRates, ...] = ()
    tenants: tuple[TenantView, ...] = ()
    models: tuple[ModelView, ...] = ()
    room: RoomView = RoomView()
    events: tuple[ScaleEvent, ...] = ()
    findings: tuple[Finding, ...] = ()
    process: str = ""
    attached: bool = False
    histories: Mapping[PoolKey, History] = {}
    loop: LoopStats = LoopStats()
