"""The snapshot that dashboards and exporters get after a tick, as one immutable value."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from controller.model.decision import Decision, Reason
from controller.model.fleet_views import (
    ClusterNode,
    ModelView,
    QueueRates,
    RoomView,
    TenantView,
)
from controller.model.history import History
from controller.model.ids import PoolKey, QueueName, WorkloadName, workload_name
from controller.model.lease import LeaseView
from controller.model.observation import PoolObservation
from controller.model.outcome import Outcome
from controller.model.scarcity import Resources
from controller.model.standing import Standing
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
    since: float


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
