"""Everything that one tick has observed, as one value: the planner's only view of the world."""

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
    """The state of one JetStream consumer, in messages.

    - `pending`: not delivered yet (num_pending). `in_flight`: delivered and not acknowledged
      (num_ack_pending).
    - `delivered`: the number of deliveries since the consumer was created. `sequence`: the stream's
      sequence of the last message delivered; a redelivery does not change it.
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
    """One Deployment: `replicas` is spec.replicas, the counts after it are from its status.

    `requests` are those of one replica by the pod template, as the scheduler counts them (None for
    a resource without a request). `annotations` are only those that control autoscalers.
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
    """The state of a pod, with more detail than status.phase."""

    UNSCHEDULED = "unscheduled"
    STARTING = "starting"
    RUNNING = "running"
    READY = "ready"
    CRASHING = "crashing"
    FAILED = "failed"
    TERMINATING = "terminating"


class Pod(Value):
    """One pod; times are Unix seconds. `reason` and `message` are from the scheduler or a container
    and say why the pod waits.
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
    """The pods of one pool: how many are in which state, and `items`, sorted by name."""

    ready: int = 0
    starting: int = 0
    unscheduled: int = 0
    crashing: int = 0
    terminating: int = 0
    items: tuple[Pod, ...] = ()


class ClusterEvent(Value):
    """A Kubernetes warning event about a pool's objects. `at` is in Unix seconds, `count` is how
    often the event occurred.
    """

    at: float
    reason: str
    message: str
    object_name: str
    count: int = 1


class WakeWatch(StrEnum):
    """How the first message for a pool at zero is noticed.

    OFF: it is not watched. ARMED: by a subscription. POLLED: only by reading the queue.
    """

    OFF = "off"
    ARMED = "armed"
    POLLED = "polled"


class PoolObservation(Value):
    """The observation of one pool.

    - `woken_at`: at this time (Unix seconds) at least one message was published.
    - `metrics`: the readings of its metrics and signals, with names of
      planning/demand/metrics/names.py. `measured_pods`: its pods as the HPA sees them.
    - `task_usage`: the measured usage of one task; None until enough tasks are known.
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
    """A tenant's tokens since the last reset, with the weights of its budget.

    `reserved` are the tokens that running tasks are still expected to use; `burn_per_minute` is the
    recent rate.
    """

    used: Decimal
    reserved: Decimal = Decimal(0)
    burn_per_minute: Decimal = Decimal(0)


class RefusedEvents(Value):
    """The number of usage events not counted since this process began, and the last one's fault."""

    count: int = 0
    last: str = ""


class TenantObservation(Value):
    """The observation of one tenant. `quota` is what the ResourceQuotas of its namespace leave for
    all its pools together.
    """

    usage: Reading[TokenUsage] = Absent(why=Why.NEVER_READ)
    quota: Reading[Resources] = Absent(why=Why.NEVER_READ)


class ClusterRoom(Value):
    """What all nodes can hold for the fleet, and the nodes of each class; None if not known.
    `nodes` has the class of each node by its name, empty for a node without one.
    """

    resources: Resources = Resources()
    classes: dict[str, Resources] = msgspec.field(default_factory=dict)
    nodes: dict[str, str] = msgspec.field(default_factory=dict)


class Observation(Value):
    """The observation of one tick, of all pools or only of some.

    - `clock_step_s`: how far the wall clock was stepped since the last tick.
    - `under_way`: the pools whose write has not ended, with the most replicas each may have after
      it. They are not decided until it has ended.
    """

    pools: dict[PoolKey, PoolObservation] = msgspec.field(default_factory=dict)
    clock_step_s: float = 0.0
    tenants: dict[str, TenantObservation] = msgspec.field(default_factory=dict)
    capacity: Reading[ClusterRoom] = Absent(why=Why.NEVER_READ)
    refused_events: RefusedEvents = RefusedEvents()
    under_way: dict[PoolKey, int] = msgspec.field(default_factory=dict)
