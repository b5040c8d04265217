"""Pools: what feeds them, how small and large they may be, and whose arithmetic decides."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from controller.config.numbers import Factor, Part, Seconds, Weight
from controller.config.scalars import (
    DnsLabel,
    DnsSubdomain,
    NatsName,
    SignalName,
    Wait,
)
from controller.config.schema.behavior import BehaviorEntry
from controller.config.schema.metrics import FallbackEntry, MetricEntry, ModifiersEntry
from controller.config.schema.schedules import ScheduleEntry
from controller.config.schema.section import (
    INT32_MAX,
    NO_OTHER_NAMES,
    REPLICAS_LIMIT,
    Count,
    Replicas,
    Section,
    Tasks,
    bounds_in_order,
)
from controller.config.schema.signals import SignalEntry
from controller.model.scarcity import ONE

LIST_LIMIT: Final = 100
"""Schedules, signals, metrics or node classes of one pool."""


class QueueEntry(Section):
    """The JetStream consumer that feeds a pool."""

    looks_like = "{stream: TASKS, consumer: acme-research}"

    stream: NatsName = Field(description="The stream's name.")
    consumer: NatsName = Field(description="The durable consumer's name.")


class ReplicasEntry(Section):
    """How small and how large a pool may be."""

    looks_like = "{min: 0, max: 20}"

    min: Replicas = Field(
        default=0, description="Never fewer replicas. 0 scales to zero. Default 0."
    )
    max: Replicas = Field(description="Never more replicas.")
    idle: Replicas | None = Field(
        default=None,
        description="Replicas while there is no work, fewer than min. Default: min, or with min 0 "
        "none.",
    )

    @field_validator("max")
    @classmethod
    def _not_below_min(cls, most: int, info: ValidationInfo) -> int | None:
        return bounds_in_order(most, info.data.get("min", 0))

    @field_validator("idle")
    @classmethod
    def _below_min(cls, idle: int, info: ValidationInfo) -> int:
        # KEDA reads a min of 0 as 1 here
        least = max(info.data.get("min", REPLICAS_LIMIT), 1)
        if idle >= least:
            raise ValueError(f"must be less than min ({least})")
        return idle


class WarmEntry(Section):
    """Spare replicas: a number of them, or how many arrivals should find one."""

    looks_like = "{slo: 0.99} or {replicas: 2}"

    slo: Part | None = Field(
        default=None, description="Share of the arrivals that find a replica ready, such as 0.99."
    )
    replicas: Replicas | None = Field(default=None, description="So many on top of the work.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.slo is None) == (self.replicas is None):
            raise ValueError("give exactly one of slo and replicas")
        return self


class NativeEntry(Section):
    """What waiting is worth to rule native: a setting by name, or its numbers."""

    looks_like = "{setting: prompt}"

    setting: Literal["prompt", "thrifty", "calm"] | None = Field(
        default=None, description="prompt, thrifty or calm. Default prompt."
    )
    start_wait_cost: Factor | None = Field(
        default=None,
        description="How many replica-seconds it is worth that one task waits a second less. It "
        "decides which replicas are started ahead.",
    )
    keep_wait_cost: Factor | None = Field(
        default=None,
        description="The same for replicas that run already; at least start_wait_cost.",
    )
    hold: Wait | None = Field(
        default=None, description="How long a replica is superfluous before it goes. Default 0s."
    )
    late_share: Part | None = Field(
        default=None,
        description="Share of the arrivals that may wait, such as 0.035: the costs are raised and "
        "lowered, to at most twice and at least a quarter, to meet it. Default: the costs stand.",
    )

    @field_validator("keep_wait_cost")
    @classmethod
    def _keeps_what_it_starts(cls, keep: Decimal, info: ValidationInfo) -> Decimal:
        start = info.data.get("start_wait_cost")
        if start is not None and keep < start:
            raise ValueError(f"must be at least start_wait_cost ({start})")
        return keep

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        numbers = self.model_fields_set - {"setting"}
        if self.setting is not None and numbers:
            raise ValueError("give a setting, or the numbers behind one, not both")
        if numbers and not {"start_wait_cost", "keep_wait_cost"} <= numbers:
            raise ValueError("start_wait_cost and keep_wait_cost need each other: give both")
        return self


class UsageEntry(Section):
    """What one task takes, until it is measured."""

    looks_like = "{input_tokens: 30000, output_tokens: 2000, calls: 12, seconds: 90}"

    input_tokens: Count = Field(default=0, description="Input tokens. Default 0.")
    cached_input_tokens: Count = Field(
        default=0, description="Input tokens read from the cache. Default 0."
    )
    output_tokens: Count = Field(default=0, description="Output tokens. Default 0.")
    calls: Count = Field(default=1, description="Calls of the model. Default 1.")
    seconds: Seconds = Field(default=ONE, description="Seconds of a slot. Default 1.")


class PoolEntry(Section):
    """One kind of agent of one tenant: a Deployment fed by a queue."""

    looks_like = "{name: ..., tenant: ..., queue: {...}, replicas: {...}}"

    name: DnsLabel = Field(description="The pool's name, once per tenant.")
    tenant: str = Field(description="The name of one of the tenants.")
    deployment: DnsSubdomain | None = Field(
        default=None,
        description="The Deployment in the tenant's namespace. Default: the pool's name.",
    )
    queue: QueueEntry = Field(description="The consumer whose messages are the pool's work.")
    slots: Tasks = Field(default=1, description="Tasks one replica works on at once. Default 1.")
    replicas: ReplicasEntry = Field(description="How small and how large the pool may be.")
    rule: Literal["native", "hpa"] = Field(
        default="native", description="Whose arithmetic recommends a number. Default native."
    )
    target: Tasks | None = Field(
        default=None,
        description="Tasks per replica where no service time is known. Default: slots.",
    )
    activation: int = Field(
        default=0,
        ge=0,
        le=INT32_MAX,
        description="A pool at zero wakes when pending + in flight is strictly greater. Default 0.",
    )
    cooldown: Wait = Field(
        default=900.0,
        description="Time from the last activity to zero or idle: a duration. Default 15m. "
        "It guards only that step.",
    )
    initial_cooldown: Wait = Field(
        default=0.0,
        description="Time a new pool stays up before its cooldown: a duration. Default 0s.",
    )
    minimum_runtime: Wait = Field(
        default=0.0,
        description="Time before a replica is taken back for others: a duration. Default 0s.",
    )
    weight: Weight = Field(
        default=ONE, description="Its share inside its tenant, by the others' weights. Default 1."
    )
    nodes: Annotated[list[str], Field(min_length=1, max_length=LIST_LIMIT)] | None = Field(
        default=None,
        description="Node classes it may use, in order of preference. Default: any node.",
    )
    native: NativeEntry = Field(
        default_factory=NativeEntry, description="What waiting is worth to rule native."
    )
    warm: WarmEntry | None = Field(
        default=None, description="Spare replicas, served last. Default: none."
    )
    profile: Literal["lightweight", "standard", "compute"] | None = Field(
        default=None,
        description="What a replica requests: lightweight 250m and 512Mi, standard 500m and 1Gi, "
        "compute 1 and 2Gi. Default: what its pods request.",
    )
    model: str | None = Field(
        default=None, description="The name of one of the models. Default: none."
    )
    usage: UsageEntry | None = Field(
        default=None, description="What one task takes, until it is measured. Default: not known."
    )
    schedules: Annotated[list[ScheduleEntry], Field(max_length=LIST_LIMIT)] = Field(
        default_factory=list,
        description="Windows of time with another min and max, in the tenant's time zone.",
    )
    signals: Annotated[dict[SignalName, SignalEntry], Field(max_length=LIST_LIMIT)] = Field(
        default_factory=dict,
        description="Values from outside by name, for metrics and the formula to speak of. The "
        "pool's pending + in flight is always there as queue.",
        json_schema_extra=NO_OTHER_NAMES,
    )
    metrics: Annotated[list[MetricEntry], Field(min_length=1, max_length=LIST_LIMIT)] | None = (
        Field(
            default=None,
            description="Metrics as autoscaling/v2 spells them; the largest proposal counts. "
            "Default: none for rule native; External queue with AverageValue target for rule hpa.",
        )
    )
    modifiers: ModifiersEntry | None = Field(
        default=None, description="One number computed from several metrics. Default: none."
    )
    fallback: FallbackEntry | None = Field(
        default=None, description="What counts while a metric cannot be read. Default: hold."
    )
    behavior: BehaviorEntry | None = Field(
        default=None,
        description="How fast it may grow and shrink, as autoscaling/v2 spells it. "
        "Default: 300 s window down.",
    )

    @field_validator("nodes")
    @classmethod
    def _each_once(cls, nodes: list[str]) -> list[str]:
        if len(set(nodes)) < len(nodes):
            raise ValueError("names a node class twice: remove one")
        return nodes

    @field_validator("fallback")
    @classmethod
    def _can_fall_back(cls, fallback: FallbackEntry, info: ValidationInfo) -> FallbackEntry:
        rule, metrics, modifiers = map(info.data.get, ("rule", "metrics", "modifiers"))
        if rule == "hpa" and metrics and all(each.is_of_pods for each in metrics):
            raise ValueError("needs a metric other than cpu and memory to stand in for")
        if isinstance(modifiers, ModifiersEntry) and modifiers.target % 1000:
            raise ValueError("needs modifiers with a whole number as their target")
        if fallback.behavior == "scalingModifiers" and modifiers is None:
            raise ValueError("with behavior scalingModifiers needs modifiers")
        return fallback
