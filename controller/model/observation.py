"""Everything that one tick has observed, as one value: the planner's only view of the world."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

from controller.model.ids import PoolKey
from controller.model.metrics import MeasuredPod, MetricValue
from controller.model.readings import Absent, Reading, Why
from controller.model.scarcity import ModelTier, Resources, TaskUsage
from controller.model.value import Counter, Replicas, Time, Value
from controller.model.worker_messages import PoolOrders, WorkerState

DELETED_FIRST: Final = -(2**31)
"""The deletion cost of the pods that must go first: the lowest that Kubernetes allows."""


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
    delivered: Counter | None = None
    sequence: Counter | None = None

    @property
    def total(self) -> int:
        """Messages that still need work."""
        return self.pending + self.in_flight


class Workload(Value):
    """One Deployment or StatefulSet: `replicas` is spec.replicas, the counts after it are from its
    status.

    `requests` are those of one replica by the pod template, as the scheduler counts them (None for
    a resource without a request). `annotations` are only those that control autoscalers.
    `autoscaler` is another autoscaler of it, as kind and name; empty if none is known.
    `namespace_freeze` is the freeze annotation of its namespace, None without one. `sized_by` is
    the field manager that set `replicas` last, empty if that is not known. `first_ordinal` is the
    number of the first pod of a StatefulSet, None for a Deployment. `one_by_one`: each of its pods
    is created once the one before it is ready (a StatefulSet's podManagementPolicy OrderedReady).
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
    autoscaler: str = ""
    namespace_freeze: str | None = None
    sized_by: str = ""
    first_ordinal: int | None = None
    one_by_one: bool = False

    @property
    def is_rolling_out(self) -> bool:
        """Whether it has pods of an older pod template too, so that `current` and `ready` may
        include surge pods beyond `replicas`.
        """
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
    """One pod; times are Unix seconds. `since` is when its phase began. `started_at` is when the
    last of its containers began to run. `reason` and `message` are from the scheduler or a
    container and say why the pod waits.

    `deletion_cost`: of equal pods, a ReplicaSet deletes those with the lowest cost first.
    `marked_at`: when DELETED_FIRST was first seen there. `generation`: its pod-template-hash (of a
    StatefulSet its controller-revision-hash), the same for all pods of one pod template. `ordinal`:
    its number in a StatefulSet, None elsewhere. `node_ends`: the taint that says that its node ends
    soon.
    """

    name: str
    phase: PodPhase
    node: str = ""
    created_at: Time = 0.0
    scheduled_at: Time | None = None
    started_at: Time | None = None
    ready_at: Time | None = None
    since: Time | None = None
    restarts: int = 0
    reason: str = ""
    message: str = ""
    deletion_cost: int = 0
    marked_at: Time | None = None
    generation: str = ""
    ordinal: int | None = None
    node_ends: str = ""


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

    at: Time
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


class Workers(Value):
    """The workers of one pool that say what they do (controller/model/worker_messages.py).

    - `states`: what each of them said last, sorted by worker.
    - `orders`: what they are told, and its `revision` (0: nothing was ever stored).
    - `silent`: the pods in `orders.drain` that had no state when that was read after these orders
      had been stored. A worker that begins there reads the orders before its first pull.
    """

    states: tuple[WorkerState, ...] = ()
    orders: PoolOrders = PoolOrders()
    revision: int = 0
    silent: tuple[str, ...] = ()


class PoolObservation(Value):
    """The observation of one pool.

    - `queue`: its messages, of several queues their sum. `queues`: of several queues, the reading
      of each; else empty.
    - `woken_at`: at this time (Unix seconds) at least one message was published.
    - `metrics`: the readings of its metrics and signals, with names of
      planning/demand/hpa_metrics.py. `measured_pods`: its pods as the HPA sees them.
    - `task_usage`: the measured usage of one task; None until enough tasks are known.
    - `workers`: None if no states of workers can be read at all. `unmarkable`: why its pods cannot
      be given a deletion cost; empty if they can, as far as is known. `unfreezable`: why it is not
      known whether an annotation freezes its namespace; empty if it is known.
    """

    queue: Reading[QueueDepth] = Absent(why=Why.NEVER_READ)
    workload: Reading[Workload] = Absent(why=Why.NEVER_READ)
    pods: Reading[Pods] = Absent(why=Why.NEVER_READ)
    woken_at: Time | None = None
    wake: WakeWatch = WakeWatch.OFF
    wake_detail: str = ""
    warnings: tuple[ClusterEvent, ...] = ()
    metrics: dict[str, Reading[MetricValue]] = msgspec.field(default_factory=dict)
    measured_pods: tuple[MeasuredPod, ...] = ()
    task_usage: TaskUsage | None = None
    workers: Reading[Workers] | None = None
    unmarkable: str = ""
    queues: tuple[Reading[QueueDepth], ...] = ()
    unfreezable: str = ""


class TokenUsage(Value):
    """A tenant's tokens since the last reset, with the weights of its budget.

    `reserved` are the tokens that running tasks are still expected to use; `burn_per_minute` is the
    recent rate.
    """

    used: Decimal
    reserved: Decimal = Decimal(0)
    burn_per_minute: Decimal = Decimal(0)


class TierUsage(Value):
    """What a tenant's tasks used of each class of models since the tenant's day began.

    - `tokens`: of all kinds, unweighted; models whose tier is not known are not in it.
    - `saved_usd`: what routers have saved against the best model alone.
    - `is_old`: some events may not be counted yet.
    """

    tokens: dict[ModelTier, int]
    saved_usd: float = 0.0
    is_old: bool = False


class ModelTokens(Value):
    """What a tenant's tasks used of one model since the tenant's day began, in tokens by kind,
    unweighted, and in calls. `model` is empty for those that the fleet file does not name.
    """

    model: str
    input: int = 0
    cached_input: int = 0
    output: int = 0
    calls: int = 0

    @property
    def total(self) -> int:
        """The tokens of all kinds."""
        return self.input + self.cached_input + self.output


class TokensByModel(Value):
    """A tenant's tokens by model, the most used one first, since the tenant's day began.

    - `per_minute`: the recent pace of all of them, in tokens of all kinds, to two digits.
    - `is_old`: some events may not be counted yet.
    """

    models: tuple[ModelTokens, ...]
    per_minute: int = 0
    is_old: bool = False

    @property
    def total(self) -> int:
        """The tokens of all models and kinds."""
        return sum(each.total for each in self.models)


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


class NodeState(Value):
    """One node: what it can hold for pods (None if that was never readable), and its first taints,
    as `key=value:effect`. `closed` says why it takes no pods; it is empty while it takes them.
    """

    holds: Resources | None = None
    taints: tuple[str, ...] = ()
    closed: str = ""


class ClusterRoom(Value):
    """What all nodes can hold for the fleet, and the nodes of each class; None if not known.
    `nodes` has the class of each node by its name, empty for a node without one, and `states` what
    is known of it. `ending` has the taint of each node that ends soon, by its name.
    """

    resources: Resources = Resources()
    classes: dict[str, Resources] = msgspec.field(default_factory=dict)
    nodes: dict[str, str] = msgspec.field(default_factory=dict)
    states: dict[str, NodeState] = msgspec.field(default_factory=dict)
    ending: dict[str, str] = msgspec.field(default_factory=dict)


class Observation(Value):
    """The observation of one tick, of all pools or only of some.

    - `clock_step_s`: how far the wall clock was stepped since the last tick.
    - `under_way`: the pools whose write has not ended, with the most replicas each may have after
      it. They are not decided until it has ended.
    - `tiers`, `by_model`: what each tenant used of the classes of models, and of each model, today;
      nothing is decided by it.
    """

    pools: dict[PoolKey, PoolObservation] = msgspec.field(default_factory=dict)
    clock_step_s: float = 0.0
    tenants: dict[str, TenantObservation] = msgspec.field(default_factory=dict)
    capacity: Reading[ClusterRoom] = Absent(why=Why.NEVER_READ)
    refused_events: RefusedEvents = RefusedEvents()
    tiers: dict[str, TierUsage] = msgspec.field(default_factory=dict)
    by_model: dict[str, TokensByModel] = msgspec.field(default_factory=dict)
    under_way: dict[PoolKey, Replicas] = msgspec.field(default_factory=dict)
