"""Pools: the queue of each, its least and most replicas, and the rule that scales it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from controller.config.scalars import (
    DnsLabel,
    DnsSubdomain,
    Factor,
    NatsName,
    ShareBelowOne,
    SignalName,
    TaskSeconds,
    Tolerance,
    Wait,
    Weight,
    WindowLength,
)
from controller.config.schema.metrics import FallbackEntry, MetricEntry, ModifiersEntry, SignalEntry
from controller.config.schema.section import (
    MAX_REPLICAS,
    NO_OTHER_NAMES,
    PositiveCount,
    Replicas,
    Section,
    Tasks,
    WholeCount,
    bounds_in_order,
)
from controller.config.weekdays import Days, FromTime, UntilTime
from controller.model.fleet import CronWindow, WeeklyWindow
from controller.model.scarcity import ONE
from controller.model.value import INT32_MAX
from controller.model.worker_messages import SessionLimits
from controller.notation.cron import read_cron

_TWO_WAYS: Final = "a window is days, from and to, or cron and for"


def _cron(text: str) -> str:
    return read_cron(text).text


class ScheduleEntry(Section):
    """One window, in the tenant's time zone: days of the week, or a cron expression."""

    looks_like = '{days: mon-fri, from: "08:00", to: "18:00", min: 2}'

    days: Days | None = Field(
        default=None, description='Days it opens on: mon-fri, "sat,sun" or [mon, wed].'
    )
    from_minute: FromTime | None = Field(
        default=None, alias="from", description='When it opens, such as "08:00".'
    )
    until_minute: UntilTime | None = Field(
        default=None,
        alias="to",
        description='When it closes, up to "24:00". Not after from means on the following day.',
    )
    cron: Annotated[str, AfterValidator(_cron)] | None = Field(
        default=None,
        description="Instead of days, from and to: when it opens, as the five fields of cron, "
        'minute hour day-of-month month day-of-week, such as "0 18 * * 5".',
    )
    for_s: WindowLength | None = Field(
        default=None, alias="for", description="How long it stays open: a duration."
    )
    min: Replicas | None = Field(
        default=None, description="The pool's min while it is open. Default: the pool's own."
    )
    max: Replicas | None = Field(
        default=None, description="The pool's max while it is open. Default: the pool's own."
    )

    @field_validator("max")
    @classmethod
    def _not_below_min(cls, most: int | None, info: ValidationInfo) -> int | None:
        return bounds_in_order(most, info.data.get("min"))

    @model_validator(mode="after")
    def _is_one_window(self) -> Self:
        weekly = {"days": self.days, "from": self.from_minute, "to": self.until_minute}
        by_cron = {"cron": self.cron, "for": self.for_s}
        given = [key for key, value in (weekly | by_cron).items() if value is not None]
        keys = by_cron if "cron" in given or "for" in given else weekly
        if others := [key for key in given if key not in keys]:
            raise ValueError(
                f"has {' and '.join(given)}; take {' and '.join(others)} out: {_TWO_WAYS}"
            )
        if missing := [key for key in keys if key not in given]:
            raise ValueError(f"needs {' and '.join(missing)}: {_TWO_WAYS}")
        if self.min is None and self.max is None:
            raise ValueError("sets nothing: give min, max or both")
        return self

    @property
    def window(self) -> WeeklyWindow | CronWindow:
        """The window itself."""
        if self.cron is not None and self.for_s is not None:
            return CronWindow(cron=self.cron, for_s=self.for_s)
        if self.days is None or self.from_minute is None or self.until_minute is None:
            raise AssertionError("a checked schedule has a window")
        return WeeklyWindow(
            days=self.days, from_minute=self.from_minute, until_minute=self.until_minute
        )


class PolicyEntry(Section):
    """HPAScalingPolicy of autoscaling/v2: a limit on the change within a period."""

    looks_like = "{type: Pods, value: 10, periodSeconds: 60}"

    type: Literal["Pods", "Percent"] = Field(description="What value is a number of.")
    value: int = Field(gt=0, le=INT32_MAX, description="Pods, or percent of the replicas.")
    period_seconds: int = Field(
        alias="periodSeconds", ge=1, le=1800, description="The period's length, 1 to 1800 seconds."
    )


class ScalingEntry(Section):
    """HPAScalingRules of autoscaling/v2: how fast the pool may change in one direction."""

    looks_like = "{stabilizationWindowSeconds: 300, policies: [...]}"

    stabilization_window_seconds: int | None = Field(
        default=None,
        alias="stabilizationWindowSeconds",
        ge=0,
        le=3600,
        description="The most cautious recommendation of this many seconds counts, 0 to 3600. "
        "Default 0 up, 300 down.",
    )
    select_policy: Literal["Max", "Min", "Disabled"] = Field(
        default="Max",
        alias="selectPolicy",
        description="Max: the policy that allows the most change counts; Min: the least; Disabled: "
        "the pool never changes in this direction. Default Max.",
    )
    policies: Annotated[list[PolicyEntry], Field(min_length=1)] | None = Field(
        default=None,
        description="Limits on the change. Default: none for rule native; the HPA's for rule hpa.",
    )
    tolerance: Tolerance | None = Field(
        default=None,
        description="How far a metric may be off its target, as a share of it, without a change. "
        "Default: the cluster's, 0.1.",
    )


class BehaviorEntry(Section):
    """HorizontalPodAutoscalerBehavior of autoscaling/v2."""

    looks_like = "{scaleDown: {stabilizationWindowSeconds: 300}}"

    scale_up: ScalingEntry = Field(
        default_factory=ScalingEntry,
        alias="scaleUp",
        description="Limits on growing. Default: none.",
    )
    scale_down: ScalingEntry = Field(
        default_factory=ScalingEntry,
        alias="scaleDown",
        description="Limits on shrinking. Default: 300 s window.",
    )


MAX_ITEMS: Final = 100
"""Of schedules, of signals, of metrics and of node classes of one pool."""

MAX_QUEUES: Final = 10
"""Of one pool."""


class QueueEntry(Section):
    """The JetStream consumer that feeds a pool."""

    looks_like = "{stream: TASKS, consumer: acme-research}"

    stream: NatsName = Field(description="The stream's name.")
    consumer: NatsName = Field(description="The durable consumer's name.")


class ReplicasEntry(Section):
    """The least and the most replicas of a pool."""

    looks_like = "{min: 0, max: 20}"

    min: Replicas = Field(
        default=0, description="Never fewer replicas. 0 scales to zero. Default 0."
    )
    max: Replicas = Field(description="Never more replicas.")
    idle: Replicas | None = Field(
        default=None,
        description="Replicas while there is no work, fewer than min. Default: min, which with 0 "
        "means none.",
    )

    @field_validator("max")
    @classmethod
    def _not_below_min(cls, most: int, info: ValidationInfo) -> int | None:
        return bounds_in_order(most, info.data.get("min", 0))

    @field_validator("idle")
    @classmethod
    def _below_min(cls, idle: int, info: ValidationInfo) -> int:
        # KEDA takes a min of 0 as 1 here
        least = max(info.data.get("min", MAX_REPLICAS), 1)
        if idle >= least:
            raise ValueError(f"must be less than min ({least})")
        return idle


class WarmEntry(Section):
    """Spare replicas: a number of them, or the share of the arrivals that should find one ready."""

    looks_like = "{slo: 0.99} or {replicas: 2}"

    slo: ShareBelowOne | None = Field(
        default=None, description="Share of the arrivals that find a replica ready, such as 0.99."
    )
    replicas: Replicas | None = Field(
        default=None, description="This many on top of what the work needs."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.slo is None) == (self.replicas is None):
            raise ValueError("give exactly one of slo and replicas")
        return self


class NativeEntry(Section):
    """How rule native weighs waiting tasks against idle replicas: a named setting, or its
    numbers.
    """

    looks_like = "{setting: prompt}"

    setting: Literal["prompt", "thrifty", "calm"] | None = Field(
        default=None, description="prompt, thrifty or calm. Default prompt."
    )
    start_wait_cost: Factor | None = Field(
        default=None,
        description="The replica-seconds that may be spent so that one task waits a second less, "
        "where a replica would have to be started.",
    )
    keep_wait_cost: Factor | None = Field(
        default=None,
        description="The same for a replica that runs already; at least start_wait_cost.",
    )
    hold: Wait | None = Field(
        default=None, description="How long a replica is not needed before it goes. Default 0s."
    )
    late_share: ShareBelowOne | None = Field(
        default=None,
        description="Share of the arrivals that may wait, such as 0.035. To meet it the two costs "
        "change, from a quarter to twice what is written. Default: they stay as they are.",
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
            raise ValueError("give either a setting or the numbers, not both")
        if numbers and not {"start_wait_cost", "keep_wait_cost"} <= numbers:
            raise ValueError("start_wait_cost and keep_wait_cost need each other: give both")
        return self


class UsageEntry(Section):
    """What one task uses, as long as it is not measured."""

    looks_like = "{input_tokens: 30000, output_tokens: 2000, calls: 12, seconds: 90}"

    input_tokens: WholeCount = Field(default=0, description="Input tokens. Default 0.")
    cached_input_tokens: WholeCount = Field(
        default=0, description="Input tokens read from the cache. Default 0."
    )
    output_tokens: WholeCount = Field(default=0, description="Output tokens. Default 0.")
    calls: WholeCount = Field(default=1, description="Calls of the model. Default 1.")
    seconds: TaskSeconds = Field(default=ONE, description="Seconds in a slot. Default 1.")


class SessionEntry(Section):
    """The most that one task may use. A task that reaches a limit ends with the status `limit`."""

    looks_like = "{tokens: 500000, duration: 4h, tool_calls: 200}"

    tokens: PositiveCount = Field(
        default=SessionLimits().tokens,
        description="Input, cached input and output tokens. Default 500000.",
    )
    duration: Wait = Field(
        default=SessionLimits().duration_s, description="Time of work: a duration. Default 4h."
    )
    tool_calls: WholeCount = Field(
        default=SessionLimits().tool_calls, description="Calls of tools. Default 200."
    )

    @field_validator("duration")
    @classmethod
    def _some_time(cls, seconds: float) -> float:
        if seconds <= 0:
            raise ValueError("must be more than 0s: a task could never begin")
        return seconds


class PoolEntry(Section):
    """One kind of agent of one tenant: a Deployment or StatefulSet fed by one queue or several."""

    looks_like = "{name: ..., tenant: ..., queue: {...}, replicas: {...}}"

    name: DnsLabel = Field(description="The pool's name, once per tenant.")
    tenant: str = Field(description="The name of one of the tenants.")
    deployment: DnsSubdomain | None = Field(
        default=None,
        description="The Deployment in the tenant's namespace. Default: the pool's name.",
    )
    statefulset: DnsSubdomain | None = Field(
        default=None,
        description="In place of deployment: the StatefulSet in the tenant's namespace. Its "
        "highest ordinals go first, so it shrinks only by as many as are idle from the top.",
    )
    queue: QueueEntry | None = Field(
        default=None, description="The consumer whose messages are the pool's work."
    )
    queues: Annotated[list[QueueEntry], Field(min_length=1, max_length=MAX_QUEUES)] | None = Field(
        default=None,
        description="In place of queue: several consumers, the highest priority first. Their "
        "messages together are the pool's work.",
    )
    slots: Tasks = Field(default=1, description="Tasks one replica works on at once. Default 1.")
    replicas: ReplicasEntry = Field(description="The least and the most replicas of the pool.")
    rule: Literal["native", "hpa"] = Field(
        default="native", description="The rule that recommends a number. Default native."
    )
    target: Tasks | None = Field(
        default=None,
        description="Tasks per replica where no service time is known. Default: slots.",
    )
    activation: int = Field(
        default=0,
        ge=0,
        le=INT32_MAX,
        description="A pool at zero wakes when pending + in flight is more than this. Default 0.",
    )
    cooldown: Wait = Field(
        default=900.0,
        description="Time from the last activity to zero or idle: a duration. It delays only that "
        "step. Default 15m.",
    )
    initial_cooldown: Wait = Field(
        default=0.0,
        description="Time that a new pool stays up before its cooldown: a duration. Default 0s.",
    )
    minimum_runtime: Wait = Field(
        default=0.0,
        description="Age below which no replica is given up for other pools: a duration. "
        "Default 0s.",
    )
    aim: Wait | None = Field(
        default=None,
        description="The longest that a message should wait: a duration. A finding says where one "
        "waits longer; the pool is not scaled by it. Default: none.",
    )
    weight: Weight = Field(
        default=ONE,
        description="Its share inside its tenant, relative to other weights. Default 1.",
    )
    nodes: Annotated[list[str], Field(min_length=1, max_length=MAX_ITEMS)] | None = Field(
        default=None,
        description="Node classes it may use, in order of preference. Default: any node.",
    )
    native: NativeEntry = Field(
        default_factory=NativeEntry,
        description="How rule native weighs waiting tasks against idle replicas.",
    )
    warm: WarmEntry | None = Field(
        default=None, description="Spare replicas; they are served last. Default: none."
    )
    profile: Literal["lightweight", "standard", "compute"] | None = Field(
        default=None,
        description="What a replica requests: lightweight 250m and 512Mi, standard 500m and 1Gi, "
        "compute 1 and 2Gi. Default: what its pods request.",
    )
    model: str | None = Field(
        default=None, description="The name of one of the models. Default: none."
    )
    router: Annotated[list[str], Field(min_length=1, max_length=MAX_ITEMS)] | None = Field(
        default=None,
        description="The models among which a router chooses the cheapest that can do a task. "
        "Default: only model.",
    )
    session: SessionEntry = Field(
        default_factory=SessionEntry,
        description="The most that one task may use. Default: 500000 tokens, 4h, 200 tool calls.",
    )
    usage: UsageEntry | None = Field(
        default=None,
        description="What one task uses, as long as it is not measured. Default: not known.",
    )
    schedules: Annotated[list[ScheduleEntry], Field(max_length=MAX_ITEMS)] = Field(
        default_factory=list,
        description="Windows of time with another min and max, in the tenant's time zone.",
    )
    signals: Annotated[dict[SignalName, SignalEntry], Field(max_length=MAX_ITEMS)] = Field(
        default_factory=dict,
        description="Values from outside by name, which metrics and the formula may read. The name "
        "queue always exists: it is the pool's pending + in flight.",
        json_schema_extra=NO_OTHER_NAMES,
    )
    metrics: Annotated[list[MetricEntry], Field(min_length=1, max_length=MAX_ITEMS)] | None = Field(
        default=None,
        description="Metrics as autoscaling/v2 spells them; the largest proposal counts. "
        "Default: none for rule native; External queue with AverageValue target for rule hpa.",
    )
    modifiers: ModifiersEntry | None = Field(
        default=None, description="A formula that makes one metric of several. Default: none."
    )
    fallback: FallbackEntry | None = Field(
        default=None,
        description="The replicas while a metric cannot be read. Default: they are held.",
    )
    behavior: BehaviorEntry | None = Field(
        default=None,
        description="How fast it may grow and shrink, as autoscaling/v2 spells it. "
        "Default: 300 s window down.",
    )

    @model_validator(mode="after")
    def _has_workload(self) -> Self:
        if self.deployment is not None and self.statefulset is not None:
            raise ValueError(
                "is one workload: give deployment or statefulset, and take the other out"
            )
        return self

    @model_validator(mode="after")
    def _has_work(self) -> Self:
        if (self.queue is None) == (self.queues is None):
            raise ValueError("give exactly one of queue and queues")
        return self

    @field_validator("nodes")
    @classmethod
    def _each_once(cls, nodes: list[str]) -> list[str]:
        if len(set(nodes)) < len(nodes):
            raise ValueError("names a node class twice: remove one")
        return nodes

    @field_validator("router")
    @classmethod
    def _each_model_once(cls, router: list[str]) -> list[str]:
        if len(set(router)) < len(router):
            raise ValueError("names a model twice: remove one")
        return router

    @field_validator("fallback")
    @classmethod
    def _can_fall_back(cls, fallback: FallbackEntry, info: ValidationInfo) -> FallbackEntry:
        rule, metrics, modifiers = map(info.data.get, ("rule", "metrics", "modifiers"))
        if rule == "hpa" and metrics and all(each.is_of_pods for each in metrics):
            raise ValueError(
                "has no effect: there is no metric other than cpu and memory; take it out"
            )
        if isinstance(modifiers, ModifiersEntry) and modifiers.target % 1000:
            raise ValueError("needs modifiers whose target is a whole number")
        if fallback.behavior == "scalingModifiers" and modifiers is None:
            raise ValueError("needs modifiers for its behavior scalingModifiers")
        return fallback
