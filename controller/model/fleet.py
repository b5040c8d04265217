"""The fleet as the planner sees it: every name resolved, every default filled in, every duration in
seconds.
"""

from __future__ import annotations

from enum import StrEnum

from controller.model.ids import PoolKey
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
    """One direction of a `behavior` block. No policies means no rate limit."""

    stabilization_window_s: int
    select_policy: SelectPolicy = SelectPolicy.MAX
    policies: tuple[ScalingPolicy, ...] = ()


class Behavior(Value):
    """Both directions, defaults filled in for the pool's rule."""

    scale_up: ScalingRules
    scale_down: ScalingRules


class Tier(Value):
    """A rank of tenants: the higher priority is served first."""

    name: str
    priority: int


class Tenant(Value):
    """A customer."""

    name: str
    tier: Tier
    namespace: str
    timezone: str = "UTC"


class Pool(Value):
    """One kind of agent of one tenant: a Deployment fed by a queue."""

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


class Fleet(Value):
    """Everything one agentdash manages, in the fleet file's order."""

    tiers: tuple[Tier, ...] = ()
    tenants: tuple[Tenant, ...] = ()
    pools: tuple[Pool, ...] = ()
