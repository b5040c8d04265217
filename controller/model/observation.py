"""Everything that one tick has observed, as one value: the planner's only view of the world. Times
are Unix seconds; amounts of metrics are integers in thousandths.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from controller.model.fleet import MetricSpec
from controller.model.ids import PoolKey
from controller.model.readings import Absent, Reading, Why
from controller.model.scarcity import ModelTier, Resources, TaskUsage
from controller.model.value import Amount, Counter, Replicas, Time, Value
from controller.model.worker_messages import PoolOrders, WorkerState

DELETED_FIRST: Final = -(2**31)
"""The deletion cost of the pods that must go first: the lowest that Kubernetes allows."""


class Series(Value, tag="series"):
    """An answer of the external metrics API: the value of each series."""

    values_milli: tuple[int, ...]


class Figure(Value, tag="figure"):
    """An answer of the custom metrics API about one object."""

    value_milli: int


class PodFigure(Value):
    """One pod in an answer of the custom metrics API."""

    pod: str
    value_milli: int
    at: Time  # the end of the window
    window_s: float


class PodFigures(Value, tag="pod_figures"):
    """An answer of the custom metrics API about the target's pods."""

    items: tuple[PodFigure, ...]


class PodUsage(Value):
    """One pod in an answer of the resource metrics API."""

    pod: str
    containers: dict[str, Amount | None]  # the use of each, None if the resource is missing
    at: Time  # the end of the window
    window_s: float


class PodUsages(Value, tag="pod_usages"):
    """An answer of the resource metrics API about one resource of the target's pods."""

    items: tuple[PodUsage, ...]


MetricValue: TypeAlias = Series | Figure | PodFigures | PodUsages


class MeasuredMetric(Value):
    """One metric of a pool and its last reading."""

    spec: MetricSpec
    reading: Reading[MetricValue]


class StatusPhase(StrEnum):
    """status.phase of a pod, as the HPA reads it."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class ConditionStatus(StrEnum):
    """status of a Kubernetes condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class PodReadiness(Value):
    """The Ready condition of a pod, and since when it has this status (lastTransitionTime)."""

    status: ConditionStatus
    since: Time


class ContainerRequest(Value):
    """One container's requests; of init containers only restartable ones (sidecars) are listed."""

    name: str
    requests_milli: dict[str, int]


class MeasuredPod(Value):
    """One pod of the target as the HPA sees it."""

    name: str
    phase: StatusPhase
    deleting: bool = False
    started_at: Time | None = None
    readiness: PodReadiness | None = None
    containers: tuple[ContainerRequest, ...] = ()
    sidecars: tuple[ContainerRequest, ...] = ()  # restartable init containers
    requests_milli: dict[str, int] = msgspec.field(
        default_factory=dict
    )  # of the pod as a whole, by resource

    @property
    def is_serving(self) -> bool:
        """Whether the pod is Running and Ready, even if it is being deleted."""
        return (
            self.phase is StatusPhase.RUNNING
            and self.readiness is not None
            and self.readiness.status is ConditionStatus.TRUE
        )


class QueueDepth(Value):
    """The state of one JetStream consumer, in messages."""

    pending: int  # not delivered yet (num_pending)
    in_flight: int  # delivered and not acknowledged (num_ack_pending)
    redelivered: int = 0
    waiting_pulls: int = 0
    paused: bool = False
    delivered: Counter | None = None  # deliveries since the consumer was created
    # the stream's sequence of the last message delivered; a redelivery does not change it
    sequence: Counter | None = None

    @property
    def total(self) -> int:
        """Messages that still need work."""
        return self.pending + self.in_flight


class Workload(Value):
    """One Deployment or StatefulSet."""

    replicas: int  # spec.replicas; the counts after it are from the status
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
    # of one replica by the pod template, as the scheduler counts; None: a resource without one
    requests: Resources = Resources()
    annotations: dict[str, str] = msgspec.field(
        default_factory=dict
    )  # only those that control autoscalers
    autoscaler: str = ""  # another autoscaler of it, as kind and name; empty if none is known
    namespace_freeze: str | None = None  # the freeze annotation of its namespace
    sized_by: str = ""  # the field manager that set `replicas` last; empty if that is not known
    first_ordinal: int | None = None  # of a StatefulSet's pods; None for a Deployment
    # each pod is created once the one before it is ready (podManagementPolicy OrderedReady)
    one_by_one: bool = False

    @property
    def is_rolling_out(self) -> bool:
        """Whether it has pods of an older template, which `current` and `ready` may count."""
        return self.updated < self.current


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
    """One pod."""

    name: str
    phase: PodPhase
    node: str = ""
    created_at: Time = 0.0
    scheduled_at: Time | None = None
    started_at: Time | None = None  # when the last of its containers began to run
    ready_at: Time | None = None
    since: Time | None = None  # when its phase began
    restarts: int = 0
    reason: str = ""  # why it waits, in a word of the scheduler or a container
    message: str = ""  # why it is not ready, in a sentence
    deletion_cost: int = 0  # of equal pods, a ReplicaSet deletes those with the lowest first
    marked_at: Time | None = None  # when DELETED_FIRST was first seen there
    # pod-template-hash or controller-revision-hash, the same for all pods of one pod template
    generation: str = ""
    ordinal: int | None = None  # its number in a StatefulSet
    node_ends: str = ""  # the taint that says that its node ends soon


class Pods(Value):
    """The pods of one pool: how many are in which state, and `items`, sorted by name."""

    ready: int = 0
    starting: int = 0
    unscheduled: int = 0
    crashing: int = 0
    terminating: int = 0
    items: tuple[Pod, ...] = ()


class ClusterEvent(Value):
    """A Kubernetes warning event about a pool's objects."""

    at: Time
    reason: str
    message: str
    object_name: str
    count: int = 1  # how often it occurred


class WakeWatch(StrEnum):
    """How a sleeping pool's first message is noticed: not, by subscription, or by polling."""

    OFF = "off"
    ARMED = "armed"
    POLLED = "polled"


class Workers(Value):
    """The workers of one pool that say what they do (controller/model/worker_messages.py).

    `silent` are the pods in `orders.drain` that had no state when that was read after these orders
    had been stored. A worker that begins there reads the orders before its first pull.
    """

    states: tuple[WorkerState, ...] = ()  # what each said last, sorted by worker
    orders: PoolOrders = PoolOrders()  # what they are told
    revision: int = 0  # that of the orders; 0: nothing was ever stored
    silent: tuple[str, ...] = ()


class StandBy(Value):
    """Replicas that stand by for a pool: those at its tasks, and those free for the next."""

    busy: int = 0
    free: int = 0


class PoolObservation(Value):
    """The observation of one pool."""

    queue: Reading[QueueDepth] = Absent(why=Why.NEVER_READ)  # of several queues their sum
    workload: Reading[Workload] = Absent(why=Why.NEVER_READ)
    pods: Reading[Pods] = Absent(why=Why.NEVER_READ)
    woken_at: Time | None = None  # then at least one message was published
    wake: WakeWatch = WakeWatch.OFF
    wake_detail: str = ""
    warnings: tuple[ClusterEvent, ...] = ()
    # metrics and signals, with the names of planning/demand/hpa_metrics.py
    metrics: dict[str, Reading[MetricValue]] = msgspec.field(default_factory=dict)
    measured_pods: tuple[MeasuredPod, ...] = ()
    task_usage: TaskUsage | None = None  # measured; None until enough tasks are known
    workers: Reading[Workers] | None = None  # None if no states of workers can be read at all
    # why its pods cannot be given a deletion cost; empty if they can, as far as is known
    unmarkable: str = ""
    queues: tuple[Reading[QueueDepth], ...] = ()  # of several queues each; else empty
    # why it is not known whether an annotation freezes its namespace; empty if it is known
    unfreezable: str = ""
    stand_by: StandBy | None = None  # None for a pool for which none stands by


class TokenUsage(Value):
    """A tenant's tokens since the last reset, with the weights of its budget."""

    used: Decimal
    reserved: Decimal = Decimal(0)  # what running tasks are still expected to use
    burn_per_minute: Decimal = Decimal(0)  # the recent rate
    # of `used`: remembered of streams of usage that were deleted, which nobody can count again
    remembered: Decimal = Decimal(0)


class TierUsage(Value):
    """What a tenant's tasks used of each class of models since the tenant's day began."""

    tokens: dict[ModelTier, int]  # of all kinds, unweighted; without models of an unknown tier
    saved_usd: float = 0.0  # what routers have saved against the best model alone
    is_old: bool = False  # some events may not be counted yet


class ModelTokens(Value):
    """A tenant's use of one model in its day: tokens by kind, unweighted, calls, USD (None: no
    price); `model` is empty for unnamed ones.
    """

    model: str
    input: int = 0
    cached_input: int = 0
    output: int = 0
    calls: int = 0
    usd: float | None = None

    @property
    def total(self) -> int:
        """The tokens of all kinds."""
        return self.input + self.cached_input + self.output


class DaySums(Value):
    """What was used in one day: in all, by model and by tier, and in USD by pool."""

    all: ModelTokens = ModelTokens(model="")
    models: dict[str, ModelTokens] = msgspec.field(default_factory=dict)
    tiers: TierUsage = TierUsage(tokens={})
    usd_by_pool: dict[PoolKey, float] = msgspec.field(default_factory=dict)


class MonthUsd(Value):
    """What a tenant has spent since a month of its time zone began, in USD. `month` is `2026-11`.

    - `since`: what was used before (Unix seconds) is not known; 0 where all is.
    - `has_gap`: nor is what was used in some days after, in which no controller ran.
    """

    month: str = ""
    by_model: dict[str, float] = msgspec.field(default_factory=dict)
    by_pool: dict[PoolKey, float] = msgspec.field(default_factory=dict)
    since: Time = 0.0
    has_gap: bool = False

    @property
    def usd(self) -> float:
        """What all models cost."""
        return sum(self.by_model.values())

    @property
    def is_partial(self) -> bool:
        """Whether some days of the month are not known."""
        return self.has_gap or self.since > 0


class DaySpent(Value):
    """One day in a tenant's account, and what of it the stream of usage does not hold."""

    start: Time
    sums: DaySums
    remembered: DaySums = DaySums()


class TenantSpent(Value):
    """A tenant's account for the next process: the latest days, and in USD the days of the month
    that have ended before. `stream`: when the stream was created that it was read from.
    """

    stream: str
    days: tuple[DaySpent, ...]
    ended: MonthUsd = MonthUsd()
    read: int = 0  # the sequence in that up to which all is counted; 0 where some was missed


class TokensByModel(Value):
    """A tenant's tokens and USD (of priced models) by model, in its day."""

    models: tuple[ModelTokens, ...]
    per_minute: int = 0  # of all of them and of all kinds, counted in the last minute
    is_old: bool = False  # some events may not be counted yet
    usd_by_pool: dict[PoolKey, float] = msgspec.field(default_factory=dict)
    # what the whole day will have cost at the pace of the last hour; None before half an hour
    expected_usd: float | None = None
    month: MonthUsd | None = None  # None where no model that was used in it has a price

    @property
    def usd(self) -> float | None:
        """What all models cost; None where none that was used has a price."""
        priced = [each.usd for each in self.models if each.usd is not None]
        return sum(priced) if priced or (self.month and not self.models) else None

    @property
    def is_unpriced(self) -> bool:
        """Whether some models that were used have no price."""
        return any(each.usd is None and each.total for each in self.models)

    @property
    def total(self) -> int:
        """The tokens of all models and kinds."""
        return sum(each.total for each in self.models)


class RefusedEvents(Value):
    """The number of usage events not counted since this process began, and the last one's fault."""

    count: int = 0
    last: str = ""


class TenantObservation(Value):
    """One tenant; `quota`: what its namespace's ResourceQuotas leave for all its pools."""

    usage: Reading[TokenUsage] = Absent(why=Why.NEVER_READ)
    quota: Reading[Resources] = Absent(why=Why.NEVER_READ)


class NodeState(Value):
    """One node: what it can hold for pods (None if that was never readable), and its first taints,
    as `key=value:effect`. `closed` says why it takes no pods; it is empty while it takes them.
    """

    holds: Resources | None = None
    taints: tuple[str, ...] = ()
    closed: str = ""


class ClusterRoom(Value):
    """What all nodes can hold for the fleet, and the nodes of each class; None if not known."""

    resources: Resources = Resources()
    classes: dict[str, Resources] = msgspec.field(default_factory=dict)
    nodes: dict[str, str] = msgspec.field(
        default_factory=dict
    )  # the class of each node by its name, empty for none
    states: dict[str, NodeState] = msgspec.field(default_factory=dict)  # by the node's name
    ending: dict[str, str] = msgspec.field(
        default_factory=dict
    )  # the taint of each node that ends soon, by its name


class Observation(Value):
    """The observation of one tick, of all pools or only of some. Nothing is decided by `tiers` and
    `by_model`: what each tenant used today of the classes of models, and of each model.

    `under_way` are the pools whose write has not ended, with the most replicas each may have after
    it. They are not decided until it has ended.
    """

    pools: dict[PoolKey, PoolObservation] = msgspec.field(default_factory=dict)
    clock_step_s: float = 0.0  # how far the wall clock was stepped since the last tick
    tenants: dict[str, TenantObservation] = msgspec.field(default_factory=dict)
    capacity: Reading[ClusterRoom] = Absent(why=Why.NEVER_READ)
    refused_events: RefusedEvents = RefusedEvents()
    tiers: dict[str, TierUsage] = msgspec.field(default_factory=dict)
    by_model: dict[str, TokensByModel] = msgspec.field(default_factory=dict)
    under_way: dict[PoolKey, Replicas] = msgspec.field(default_factory=dict)
