"""The fleet as the planner sees it: names resolved, defaults filled in, durations in seconds."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

from controller.model.ids import PoolKey, QueueName, WorkloadName, workload_name
from controller.model.metrics import Fallback, MetricSpec, Modifiers
from controller.model.scarcity import ONE, Budget, Capacity, LlmModel, Resources, TaskUsage, Warm
from controller.model.value import Value
from controller.model.worker_messages import SessionLimits


class WeeklyWindow(Value, tag="weekly"):
    """A window on these days (0 is Monday), from one minute of the day until another.

    Minutes count from midnight. An `until_minute` that is not after `from_minute` is on the
    following day.
    """

    days: tuple[int, ...]
    from_minute: int
    until_minute: int


class CronWindow(Value, tag="cron"):
    """A window that opens at each time of the cron expression, in the tenant's time zone, for
    `for_s` seconds. It may be longer than the time between two openings.
    """

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
    """Series of the external metrics API in the pool's namespace; the signal is their sum.
    `selector` is the label selector as text, empty for none.
    """

    name: str
    selector: str = ""


SignalSource: TypeAlias = PrometheusQuery | ExternalSeries


class Signal(Value):
    """A signal: its name in metrics, formulas and readings, and its source."""

    name: str
    source: SignalSource


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
    """One direction of a `behavior` block (autoscaling/v2 HPAScalingRules).

    Without policies there is no rate limit. `tolerance` is how far from 1 a metric's ratio to its
    target may be without a change; None for the cluster's default.
    """

    stabilization_window_s: int
    select_policy: SelectPolicy = SelectPolicy.MAX
    policies: tuple[ScalingPolicy, ...] = ()
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
    """Settings of rule native as numbers.

    - `start_wait_cost`, `keep_wait_cost`: the replica-seconds that one second less waiting of one
      task is worth, for a replica to start and for one that runs.
    - `hold_s`: how long a replica must be surplus before it is removed.
    - `late_share`: the share of arrivals that may wait. With it the two costs are only the start:
      the rule learns a factor for both.
    """

    start_wait_cost: float
    keep_wait_cost: float
    hold_s: float = 0.0
    late_share: float | None = None


class BlindPolicy(Value):
    """If a pool's work is not known for `after_s`, the pool is raised to at least `replicas`."""

    after_s: float
    replicas: int


class Tier(Value):
    """A rank of tenants: a higher priority is served first. Without `blind`, a pool whose work is
    not known keeps its size.
    """

    name: str
    priority: int
    blind: BlindPolicy | None = None


class Tenant(Value):
    """A customer. `weight` is its share inside its tier."""

    name: str
    tier: Tier
    namespace: str
    timezone: str = "UTC"
    weight: Decimal = ONE
    quota: Resources = Resources()
    budget: Budget = Budget()


class Pool(Value):
    """One kind of agent of one tenant: a Deployment or StatefulSet fed by one queue or several.

    - `deployment`, `statefulset`: one of them is the name of the workload, the other is empty.
    - `stream`, `consumer`: its queue; of several, the one of the highest priority. `lower_queues`:
      the others, in falling priority.
    - `slots`: tasks at a time per replica. `target`: messages per replica. `activation`: the pool
      becomes active above this number of messages. `idle`: its size while idle if `min` is above 0,
      None for `min` (KEDA's idleReplicaCount).
    - `weight`: its share inside its tenant.
    - `requests`: those of a replica by the fleet file; None for those of its pods. `nodes`: the
      node classes that it may use, in order of preference.
    - `aim_s`: the longest that a message should wait, None for no aim; it is only watched.
    - `without_behavior`: with rule hpa, no `behavior` block is written. The HPA then uses other
      rules than with the default block, which `behavior` has.
    - `window_given`: the window for scale-down is written in the fleet file. A default window is
      ignored once rule native has learned enough.
    - `model`: the model that `usage` speaks of. `router`: the models among which a router chooses.
      `session`: the limits of one task.
    - `metrics`: with rule hpa the only input; with rule native used beside its own demand.
    """

    key: PoolKey
    name: str
    tenant: str
    namespace: str
    stream: str
    consumer: str
    behavior: Behavior
    deployment: str = ""
    statefulset: str = ""
    rule: Rule = Rule.NATIVE
    slots: int = 1
    target: int = 1
    min: int = 0
    max: int = 1
    activation: int = 0
    cooldown_s: float = 900.0
    initial_cooldown_s: float = 0.0
    idle: int | None = None
    weight: Decimal = ONE
    minimum_runtime_s: float = 0.0
    aim_s: float | None = None
    schedules: tuple[Schedule, ...] = ()
    warm: Warm | None = None
    requests: Resources | None = None
    nodes: tuple[str, ...] = ()
    model: str | None = None
    router: tuple[str, ...] = ()
    session: SessionLimits = SessionLimits()
    usage: TaskUsage | None = None
    native: NativePreset | NativeCosts = NativePreset.PROMPT
    without_behavior: bool = False
    window_given: bool = True
    signals: tuple[Signal, ...] = ()
    metrics: tuple[MetricSpec, ...] = ()
    modifiers: Modifiers | None = None
    fallback: Fallback | None = None
    lower_queues: tuple[QueueName, ...] = ()

    @property
    def workload(self) -> WorkloadName:
        """The object whose replicas the pool is."""
        return workload_name(self.deployment, self.statefulset)

    @property
    def queues(self) -> tuple[QueueName, ...]:
        """All its queues, the one of the highest priority first."""
        return (QueueName(self.stream, self.consumer), *self.lower_queues)

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
