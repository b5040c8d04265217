"""All that one tick has seen, as one value: the planner's only view of the world."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import msgspec

from controller.model.ids import PoolKey
from controller.model.metrics import MeasuredPod, MetricValue
from controller.model.readings import Absent, Reading, Why
from controller.model.scarcity import Resources, TaskUsage
from controller.model.value import Value


class QueueDepth(Value):
    """One JetStream consumer: `pending` not delivered yet, `in_flight` delivered and not
    acknowledged.

    `delivered` is how many deliveries there were since it was created, `sequence` the number in the
    stream of the last message delivered: one that is only delivered again does not move it.
    """

    pending: int
    in_flight: int
    redelivered: int = 0
    waiting_pulls: int = 0
    paused: bool = False
    delivered: int | None = None
    sequence: int | None = None

    @property
    def total(self) -> int:
        """Messages that still need work."""
        return self.pending + self.in_flight


class Workload(Value):
    """One Deployment: `replicas` is what its spec asks for, the counts after it are its status.

    `requests` is what its template asks for one replica, as the scheduler counts it (None where it
    says nothing); `annotations` are those of its annotations that tell an autoscaler what to do.
    """

    replicas: int
    current: int = 0
    ready: int = 0
    updated: int = 0
    available: int = 0
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    observed_generation: int = 0
    paused: bool = False
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    message: str = ""
    requests: Resources = Resources()
    annotations: dict[str, str] = msgspec.field(default_factory=dict)


class PodPhase(StrEnum):
    """Where a pod is on its way, finer than status.phase."""

    UNSCHEDULED = "unscheduled"
    STARTING = "starting"
    RUNNING = "running"
    READY = "ready"
    CRASHING = "crashing"
    FAILED = "failed"
    TERMINATING = "terminating"


class Pod(Value):
    """One pod; times are Unix seconds, `message` is the scheduler's or the container's own word for
    why it waits.
    """

    name: str
    phase: PodPhase
    node: str = ""
    created_at: float = 0.0
    scheduled_at: float | None = None
    ready_at: float | None = None
    restarts: int = 0
    reason: str = ""
    message: str = ""


class Pods(Value):
    """The pods of one pool, counted; `items` are sorted by name."""

    ready: int = 0
    starting: int = 0
    unscheduled: int = 0
    crashing: int = 0
    terminating: int = 0
    items: tuple[Pod, ...] = ()


class ClusterEvent(Value):
    """A warning of the cluster's own controllers about a pool's objects; `at` in Unix seconds,
    `count` how often it came.
    """

    at: float
    reason: str
    message: str
    object_name: str
    count: int = 1


class WakeWatch(StrEnum):
    """How a pool at zero would notice its first message."""

    OFF = "off"
    ARMED = "armed"
    POLLED = "polled"


class PoolObservation(Value):
    """What was seen of one pool. `woken_at`: at least one message was published since then (Unix
    seconds). `metrics` are what was read of its metrics and signals, under the names of
    planning/demand/metrics/names.py; `measured_pods` its pods as the HPA sees them. `task_usage` is
    what one task was measured to take, None until enough are known.
    """

    queue: Reading[QueueDepth] = Absent(why=Why.NEVER_READ)
    workload: Reading[Workload] = Absent(why=Why.NEVER_READ)
    pods: Reading[Pods] = Absent(why=Why.NEVER_READ)
    woken_at: float | None = None
    wake: WakeWatch = WakeWatch.OFF
    wake_detail: str = ""
    warnings: tuple[ClusterEvent, ...] = ()
    metrics: dict[str, Reading[MetricValue]] = msgspec.field(default_factory=dict)
    measured_pods: tuple[MeasuredPod, ...] = ()
    task_usage: TaskUsage | None = None


class TokenUsage(Value):
    """A tenant's tokens since its last reset, counted as its budget counts them.

    `reserved` is what running tasks are expected to use still; `burn_per_minute` the recent pace.
    """

    used: Decimal
    reserved: Decimal = Decimal(0)
    burn_per_minute: Decimal = Decimal(0)


class RefusedEvents(Value):
    """Usage events that were not counted since this process began, and why the last was not."""

    count: int = 0
    last: str = ""


class TenantObservation(Value):
    """What was seen of one tenant. `quota` is what the ResourceQuotas of its namespace leave to all
    of its pools together.
    """

    usage: Reading[TokenUsage] = Absent(why=Why.NEVER_READ)
    quota: Reading[Resources] = Absent(why=Why.NEVER_READ)


class ClusterRoom(Value):
    """What the nodes can hold in all, and those of each class; None where nobody can say. `nodes`
    has the class of each node by its name, empty for a node without one.
    """

    resources: Resources = Resources()
    classes: dict[str, Resources] = msgspec.field(default_factory=dict)
    nodes: dict[str, str] = msgspec.field(default_factory=dict)


class Observation(Value):
    """One tick's view. A scoped tick carries only the pools it concerns; `clock_step_s` is how far
    the wall clock jumped. `under_way`: pools that are being written, which are not decided until
    that has ended, and the most replicas they may have then.
    """

    pools: dict[PoolKey, PoolObservation] = msgspec.field(default_factory=dict)
    clock_step_s: float = 0.0
    tenants: dict[str, TenantObservation] = msgspec.field(default_factory=dict)
    capacity: Reading[ClusterRoom] = Absent(why=Why.NEVER_READ)
    refused_events: RefusedEvents = RefusedEvents()
    under_way: dict[PoolKey, int] = msgspec.field(default_factory=dict)
