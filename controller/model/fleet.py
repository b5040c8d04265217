"""The fleet as the planner sees it: names resolved, defaults filled in, durations in seconds.

Metrics are in the terms of autoscaling/v2 and of KEDA: quantities are integers in thousandths of
the unit, targets are above 0, and a selector is a label selector as text, empty for none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias

from controller.model.ids import PoolKey, QueueName, WorkloadName, workload_name
from controller.model.scarcity import ONE, Budget, Capacity, LlmModel, Resources, TaskUsage, Warm
from controller.model.text import clean_name, listed, nearest
from controller.model.value import Value
from controller.model.worker_messages import SessionLimits


class WeeklyWindow(Value, tag="weekly"):
    """A window on some days, between two minutes of the day, counted from midnight."""

    days: tuple[int, ...]  # 0 is Monday
    from_minute: int
    until_minute: int  # not after from_minute: it is on the following day


class CronWindow(Value, tag="cron"):
    """A window that opens at each time of the cron expression, for `for_s` seconds."""

    cron: str
    for_s: float


class Schedule(Value):
    """A window, and the pool's min and max while it is open; None keeps the pool's own."""

    window: WeeklyWindow | CronWindow
    min: int | None = None
    max: int | None = None


class PrometheusQuery(Value, tag="prometheus"):
    """A PromQL query whose result is one number: a scalar, or a vector of one series."""

    query: str


class ExternalSeries(Value, tag="external"):
    """Series of the external metrics API in the pool's namespace; the signal is their sum."""

    name: str
    selector: str = ""


SignalSource: TypeAlias = PrometheusQuery | ExternalSeries


class Signal(Value):
    """A signal: its name in metrics, formulas and readings, and its source."""

    name: str
    source: SignalSource


class ValueTarget(Value, tag="Value"):
    """The target for the metric's value."""

    milli: int


class AverageValueTarget(Value, tag="AverageValue"):
    """The target for the metric's value per replica."""

    milli: int


class UtilizationTarget(Value, tag="Utilization"):
    """The target for the use as a percentage of the pods' requests."""

    percent: int


class ExternalMetric(Value, tag="External"):
    """Series that belong to no Kubernetes object; the metric is their sum."""

    name: str
    target: ValueTarget | AverageValueTarget
    selector: str = ""


class ObjectMetric(Value, tag="Object"):
    """One value that describes one Kubernetes object."""

    name: str
    target: ValueTarget | AverageValueTarget
    kind: str = ""
    object_name: str = ""
    api_version: str = ""  # empty for the core group
    selector: str = ""


class PodsMetric(Value, tag="Pods"):
    """A value that each pod of the target has; the metric is their average."""

    name: str
    target: AverageValueTarget
    selector: str = ""


class ResourceMetric(Value, tag="Resource"):
    """CPU or memory of the target's pods, summed over all containers of a pod."""

    resource: str
    target: UtilizationTarget | AverageValueTarget


class ContainerResourceMetric(Value, tag="ContainerResource"):
    """CPU or memory of one container in each of the target's pods."""

    resource: str
    container: str
    target: UtilizationTarget | AverageValueTarget


MetricSpec: TypeAlias = (
    ExternalMetric | ObjectMetric | PodsMetric | ResourceMetric | ContainerResourceMetric
)
QUEUE: Final = "queue"
"""The name of the External metric that every pool has: its messages pending and in flight."""


class TargetType(StrEnum):
    """Whether a metric is compared per replica or as a whole (autoscaling/v2 MetricTargetType)."""

    AVERAGE_VALUE = "AverageValue"
    VALUE = "Value"


class Modifiers(Value):
    """KEDA's scalingModifiers: a formula whose value replaces the metrics that it names."""

    formula: str
    target_milli: int
    activation_milli: int = 0  # the pool is active while the value is above it
    metric_type: TargetType = TargetType.AVERAGE_VALUE

    @property
    def target(self) -> AverageValueTarget | ValueTarget:
        """The target for the formula's value, as the target of an External metric."""
        if self.metric_type is TargetType.VALUE:
            return ValueTarget(milli=self.target_milli)
        return AverageValueTarget(milli=self.target_milli)


class FallbackBehavior(StrEnum):
    """The number of replicas to use for a failing metric (KEDA's spec.fallback.behavior)."""

    STATIC = "static"
    CURRENT = "currentReplicas"
    CURRENT_IF_HIGHER = "currentReplicasIfHigher"
    CURRENT_IF_LOWER = "currentReplicasIfLower"
    SCALING_MODIFIERS = "scalingModifiers"


class Fallback(Value):
    """KEDA's fallback, used after a metric failed more than `failure_threshold` times in a row."""

    failure_threshold: int
    replicas: int
    behavior: FallbackBehavior = FallbackBehavior.STATIC


class Rule(StrEnum):
    """The rule that recommends sizes: agentdash's own, or exactly that of the HPA."""

    NATIVE = "native"
    HPA = "hpa"


class PolicyType(StrEnum):
    """autoscaling/v2's HPAScalingPolicy.type."""

    PODS = "Pods"
    PERCENT = "Percent"


class SelectPolicy(StrEnum):
    """autoscaling/v2's ScalingPolicySelect."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


class ScalingPolicy(Value):
    """A rate limit: at most `value` pods, or percent, of change within `period_s` seconds."""

    type: PolicyType
    value: int
    period_s: int


class ScalingRules(Value):
    """One direction of a `behavior` block (autoscaling/v2 HPAScalingRules)."""

    stabilization_window_s: int
    select_policy: SelectPolicy = SelectPolicy.MAX
    policies: tuple[ScalingPolicy, ...] = ()  # none: no rate limit
    # how far from 1 a metric's ratio to its target may be without a change; None: the cluster's
    tolerance: Decimal | None = None


class Behavior(Value):
    """Both directions of a `behavior` block, with the defaults of the pool's rule filled in."""

    scale_up: ScalingRules
    scale_down: ScalingRules


class NativePreset(StrEnum):
    """Named settings of rule native: the value of less waiting compared with idle replicas."""

    PROMPT = "prompt"
    THRIFTY = "thrifty"
    CALM = "calm"


class NativeCosts(Value):
    """Settings of rule native as numbers: the replica-seconds that one second less waiting of one
    task is worth, for a replica to start and for one that runs.
    """

    start_wait_cost: float
    keep_wait_cost: float
    hold_s: float = 0.0  # how long a replica must be surplus before it is removed
    # the share of arrivals that may wait: the two costs are then only where a learned factor starts
    late_share: float | None = None


class BlindPolicy(Value):
    """If a pool's work is not known for `after_s`, the pool is raised to at least `replicas`."""

    after_s: float
    replicas: int


class Tier(Value):
    """A rank of tenants: a higher priority comes first. Without `blind`, sizes are kept."""

    name: str
    priority: int
    blind: BlindPolicy | None = None


class Tenant(Value):
    """A customer."""

    name: str
    tier: Tier
    namespace: str
    timezone: str = "UTC"
    weight: Decimal = ONE  # its share inside its tier
    quota: Resources = Resources()
    budget: Budget = Budget()


class PoolPlace(Value):
    """Where a pool is: its workload and its queues."""

    key: PoolKey
    tenant: str
    namespace: str
    stream: str  # its queue; of several, the one of the highest priority
    consumer: str
    deployment: str = ""  # its workload: of these two names one is empty
    statefulset: str = ""
    lower_queues: tuple[QueueName, ...] = ()  # its other queues, in falling priority
    # the pools for which its replicas stand by; it has no queue of its own then
    serves: tuple[PoolKey, ...] = ()
    requests: Resources | None = None  # of a replica by the fleet file; None: those of its pods

    @property
    def workload(self) -> WorkloadName:
        """The object whose replicas the pool is."""
        return workload_name(self.deployment, self.statefulset)

    @property
    def queues(self) -> tuple[QueueName, ...]:
        """All its queues, the one of the highest priority first."""
        if self.serves:
            return ()
        return (QueueName(self.stream, self.consumer), *self.lower_queues)


class Pool(PoolPlace, kw_only=True):
    """One kind of agent of one tenant: a Deployment or StatefulSet fed by one queue or several."""

    name: str
    behavior: Behavior
    rule: Rule = Rule.NATIVE
    slots: int = 1  # tasks at a time per replica
    target: int = 1  # messages per replica
    min: int = 0
    max: int = 1
    activation: int = 0  # it becomes active above this number of messages
    cooldown_s: float = 900.0
    initial_cooldown_s: float = 0.0
    idle: int | None = None  # its size while idle if min is above 0; None: min (idleReplicaCount)
    weight: Decimal = ONE  # its share inside its tenant
    minimum_runtime_s: float = 0.0
    aim_s: float | None = None  # the longest that a message should wait; it is only watched
    schedules: tuple[Schedule, ...] = ()
    warm: Warm | None = None
    nodes: tuple[str, ...] = ()  # the node classes that it may use, in order of preference
    model: str | None = None  # the one to which `usage` applies
    router: tuple[str, ...] = ()  # the models among which a router chooses
    session: SessionLimits = SessionLimits()  # of one task
    usage: TaskUsage | None = None
    native: NativePreset | NativeCosts = NativePreset.PROMPT
    # with rule hpa, no `behavior` is written: the HPA then has other rules than the default block
    without_behavior: bool = False
    # whether the window for scale-down is in the fleet file: once rule native has learned enough, a
    # default window is ignored
    window_given: bool = True
    signals: tuple[Signal, ...] = ()
    metrics: tuple[MetricSpec, ...] = ()  # rule hpa has no other input; native has its own demand
    modifiers: Modifiers | None = None
    fallback: Fallback | None = None
    share: float = 0.5  # of a standby's time: a pool whose work takes more has replicas of its own
    slo: float = 0.99  # of the first messages of the pools that it serves: the part that finds one

    def usable_models(self) -> tuple[str, ...]:
        """The names of the models that a task may use: its own, and those of its router."""
        own = () if self.model is None else (self.model,)
        return tuple(dict.fromkeys((*own, *self.router)))


class Fleet(Value):
    """Everything that one agentdash manages, in the order of the fleet file."""

    tiers: tuple[Tier, ...] = ()
    tenants: tuple[Tenant, ...] = ()
    pools: tuple[Pool, ...] = ()
    models: tuple[LlmModel, ...] = ()
    capacity: Capacity = Capacity()


MAX_NEAREST: Final = 3
"""The most similar names that a sentence suggests."""


def unknown_pool(name: str, fleet: Fleet) -> str:
    """A sentence about a name that is no pool's: pools of that name at other tenants are suggested
    first, then similar ones; the first of the fleet if there is none.
    """
    keys = [str(pool.key) for pool in fleet.pools]
    same_name = [pool.key for pool in fleet.pools if pool.name == name.rpartition("/")[2]]
    return f"the fleet has no pool {clean_name(name)}; {advice(name, keys, same_name)}"


def unknown_tenant(name: str, fleet: Fleet) -> str:
    """The same about a name that is no tenant's; it may be that of a pool without its tenant's."""
    tenants = [tenant.name for tenant in fleet.tenants]
    pools = (pool.key for pool in fleet.pools if pool.name == name)
    return f"the fleet has no tenant {clean_name(name)}; {advice(name, tenants, pools)}"


def advice(name: str, known: Sequence[str], first: Iterable[str] = ()) -> str:
    """The known names that somebody may have meant."""
    near = list(dict.fromkeys([*first, *nearest(name, known, MAX_NEAREST)]))[:MAX_NEAREST]
    if near:
        return f"nearest: {', '.join(near)}"
    return f"it has {listed(known)}" if known else "it has none"
