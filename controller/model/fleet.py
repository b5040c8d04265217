"""The fleet as the planner sees it: every name resolved, every default filled in, every duration in
seconds.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from controller.model.ids import PoolKey
from controller.model.metrics import Fallback, MetricSpec, Modifiers
from controller.model.scarcity import (
    ONE,
    Budget,
    Capacity,
    LlmModel,
    Resources,
    TaskUsage,
    Warm,
)
from controller.model.schedule import Schedule
from controller.model.signals import Signal
from controller.model.value import Value


class Rule(StrEnum):
    """Whose arithmetic recommends: our own, or exactly the HPA's."""

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
    """At most `value` pods, or percent, of change within `period_s` seconds."""

    type: PolicyType
    value: int
    period_s: int


class ScalingRules(Value):
    """One direction of a `behavior` block. No policies means no rate limit; `tolerance` is how far
    from 1 a metric's ratio to its target may lie without a change, None where it is the cluster's.
    """

    stabilization_window_s: int
    select_policy: SelectPolicy = SelectPolicy.MAX
    policies: tuple[ScalingPolicy, ...] = ()
    tolerance: Decimal | None = None


class Behavior(Value):
    """Both directions, defaults filled in for the pool's rule."""

    scale_up: ScalingRules
    scale_down: ScalingRules


class NativePreset(StrEnum):
    """Rule native by name: how much waiting is worth against idle replicas."""

    PROMPT = "prompt"
    THRIFTY = "thrifty"
    CALM = "calm"


class NativeCosts(Value):
    """Rule native by numbers: how many replica-seconds it is worth that one task waits a second
    less, for a replica that would be started and for one that runs; and how long a replica is
    superfluous before it goes. With `late_share`, the share of arrivals that may wait,
    both costs are where the rule begins: it learns how much more or less they must be.
    """

    start_wait_cost: float
    keep_wait_cost: float
    hold_s: float = 0.0
    late_share: float | None = None


class BlindPolicy(Value):
    """After `after_s` of blindness a pool is raised to at least `replicas`, never lowered."""

    after_s: float
    replicas: int


class Tier(Value):
    """A rank of tenants: the higher priority is served first. Without `blind` blind pools hold."""

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
    """One kind of agent of one tenant: a Deployment fed by a queue.

    `weight` is its share inside its tenant; `requests` what a replica takes where its profile says
    so (None: what its pods request); `nodes` the node classes it may use, in order of preference.
    `without_behavior`: rule hpa where no `behavior` block is written, which the HPA treats by other
    rules than the default block that `behavior` then holds. `window_given`: the window downwards is
    somebody's wish; a mere default gives way to what rule native has learned. `metrics` are all
    that rule hpa looks at; beside rule native they stand next to its own demand.
    """

    key: PoolKey
    name: str
    tenant: str
    namespace: str
    deployment: str
    stream: str
    consumer: str
    behavior: Behavior
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
    schedules: tuple[Schedule, ...] = ()
    warm: Warm | None = None
    requests: Resources | None = None
    nodes: tuple[str, ...] = ()
    model: str | None = None
    usage: TaskUsage | None = None
    native: NativePreset | NativeCosts = NativePreset.PROMPT
    without_behavior: bool = False
    window_given: bool = True
    signals: tuple[Signal, ...] = ()
    metrics: tuple[MetricSpec, ...] = ()
    modifiers: Modifiers | None = None
    fallback: Fallback | None = None


class Fleet(Value):
    """Everything one agentdash manages, in the fleet file's order."""

    tiers: tuple[Tier, ...] = ()
    tenants: tuple[Tenant, ...] = ()
    pools: tuple[Pool, ...] = ()
    models: tuple[LlmModel, ...] = ()
    capacity: Capacity = Capacity()
