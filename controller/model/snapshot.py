"""Everything a watcher sees after a tick, as one immutable value."""

from __future__ import annotations

from enum import StrEnum

from controller.model.decision import Decision, Reason
from controller.model.ids import PoolKey
from controller.model.observation import PoolObservation
from controller.model.outcome import Outcome
from controller.model.value import Value


class Role(StrEnum):
    """What this process may do."""

    LEADER = "leader"
    FOLLOWER = "follower"
    READ_ONLY = "read_only"


class LinkState(StrEnum):
    """How a connection is."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"


class Link(Value):
    """One thing we depend on: `name` is `nats` or `kubernetes`; times are Unix seconds."""

    name: str
    state: LinkState
    since: float
    detail: str = ""
    last_good_at: float | None = None


class PoolView(Value):
    """One pool: what was seen, what was decided, what became of it."""

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
    """One change that was written: whose, from where to where, and the rule that bound it."""

    at: float
    pool: PoolKey
    before: int
    after: int
    bound: str
    reason: Reason
    outcome: Outcome


class Severity(StrEnum):
    """How soon somebody should look."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Finding(Value):
    """What deserves attention: `subject` is a pool's key or a link's name, `kind` what of it."""

    severity: Severity
    subject: str
    kind: str
    text: str
    since: float


class LoopStats(Value):
    """The loop about itself."""

    ticks: int = 0
    late_ticks: int = 0
    last_tick_s: float = 0.0
    decisions: int = 0
    writes: int = 0
    failed_writes: int = 0
    failed_readings: int = 0


class Snapshot(Value):
    """The fleet after tick `sequence` of the process that began at `epoch` (Unix seconds)."""

    epoch: float
    sequence: int
    at: float
    interval_s: float
    fleet: str
    context: str
    role: Role
    links: tuple[Link, ...] = ()
    pools: tuple[PoolView, ...] = ()
    events: tuple[ScaleEvent, ...] = ()
    findings: tuple[Finding, ...] = ()
    loop: LoopStats = LoopStats()
