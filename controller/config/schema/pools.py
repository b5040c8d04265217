"""Pools: the queue of each, its least and most replicas, and the rule that scales it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from controller.config.scalars import (
    MAX_REPLICAS,
    NO_OTHER_NAMES,
    CronText,
    Days,
    DnsLabel,
    DnsSubdomain,
    Factor,
    FreeText,
    FromTime,
    KubernetesSection,
    NatsName,
    PositiveCount,
    Replicas,
    Section,
    ShareBelowOne,
    SignalName,
    Tasks,
    TaskSeconds,
    Tolerance,
    UntilTime,
    Wait,
    Weight,
    WholeCount,
    WindowLength,
    exactly_one,
    max_not_below_min,
    no_item_twice,
    only_if,
    value_of,
)
from controller.config.schema.metrics import FallbackEntry, MetricEntry, ModifiersEntry, SignalEntry
from controller.model.fleet import (
    QUEUE,
    AverageValueTarget,
    Behavior,
    CronWindow,
    ExternalMetric,
    NativeCosts,
    NativePreset,
    PolicyType,
    Pool,
    Rule,
    ScalingPolicy,
    ScalingRules,
    SelectPolicy,
    Signal,
    Tenant,
    WeeklyWindow,
)
from controller.model.ids import PoolKey, QueueName, pool_key
from controller.model.scarcity import ONE, Resources
from controller.model.value import INT32_MAX
from controller.model.worker_messages import SessionLimits

_TWO_WAYS: Final = "a window is days, from and to, or cron and for"


class ScheduleEntry(Section, looks_like='{days: mon-fri, from: "08:00", to: "18:00", min: 2}'):
    """One window, in the tenant's time zone: days of the week, or a cron expression."""

    days: Days | None = None
    """Days it opens on: mon-fri, "sat,sun" or [mon, wed]."""
    from_minute: FromTime | None = Field(default=None, alias="from")
    """When it opens, such as "08:00"."""
    until_minute: UntilTime | None = Field(default=None, alias="to")
    """When it closes, up to "24:00". Not after from means on the following day."""
    cron: CronText | None = None
    """Instead of days, from and to: when it opens, as the five fields of cron, minute hour
    day-of-month month day-of-week, such as "0 18 * * 5".
    """
    for_s: WindowLength | None = Field(default=None, alias="for")
    """How long it stays open: a duration."""
    min: Replicas | None = None
    """The pool's min while it is open. Default: the pool's own."""
    max: Replicas | None = None
    """The pool's max while it is open. Default: the pool's own."""

    _order = max_not_below_min(default_min=None)

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
        if self.cron is None:
            return value_of(self, WeeklyWindow)
        return value_of(self, CronWindow)


class PolicyEntry(KubernetesSection, looks_like="{type: Pods, value: 10, periodSeconds: 60}"):
    """HPAScalingPolicy of autoscaling/v2: a limit on the change within a period."""

    type: Literal["Pods", "Percent"]
    """What value is a number of."""
    value: int = Field(gt=0, le=INT32_MAX)
    """Pods, or percent of the replicas."""
    period_s: int = Field(alias="periodSeconds", ge=1, le=1800)
    """The period's length, 1 to 1800 seconds."""


class ScalingEntry(
    KubernetesSection, looks_like="{stabilizationWindowSeconds: 300, policies: [...]}"
):
    """HPAScalingRules of autoscaling/v2: how fast the pool may change in one direction."""

    stabilization_window_s: int | None = Field(
        default=None, alias="stabilizationWindowSeconds", ge=0, le=3600
    )
    """The most cautious recommendation of this many seconds counts, 0 to 3600. Default 0 up, 300
    down.
    """
    select_policy: Literal["Max", "Min", "Disabled"] = Field(default="Max")
    """Max: the policy that allows the most change counts; Min: the least; Disabled: the pool never
    changes in this direction. Default Max.
    """
    policies: Annotated[list[PolicyEntry], Field(min_length=1)] | None = None
    """Limits on the change. Default: none for rule native; the HPA's for rule hpa."""
    tolerance: Tolerance | None = None
    """How far a metric may be off its target, as a share of it, without a change. Default: the
    cluster's, 0.1.
    """


# HPA: the defaults of autoscaling/v2, pkg/apis/autoscaling/v2/defaults.go
_UP_WINDOW_S: Final = 0
_DOWN_WINDOW_S: Final = 300
_DOUBLE: Final = ScalingPolicy(type=PolicyType.PERCENT, value=100, period_s=15)
_HPA_UP: Final = (ScalingPolicy(type=PolicyType.PODS, value=4, period_s=15), _DOUBLE)
_HPA_DOWN: Final = (_DOUBLE,)


def _scaling(
    entry: ScalingEntry, window_s: int, default: tuple[ScalingPolicy, ...]
) -> ScalingRules:
    given = entry.stabilization_window_s
    return ScalingRules(
        stabilization_window_s=window_s if given is None else given,
        select_policy=SelectPolicy(entry.select_policy),
        policies=tuple(value_of(each, ScalingPolicy) for each in entry.policies or ()) or default,
        tolerance=entry.tolerance,
    )


class BehaviorEntry(KubernetesSection, looks_like="{scaleDown: {stabilizationWindowSeconds: 300}}"):
    """HorizontalPodAutoscalerBehavior of autoscaling/v2."""

    scale_up: ScalingEntry = Field(default_factory=ScalingEntry)
    """Limits on growing. Default: none."""
    scale_down: ScalingEntry = Field(default_factory=ScalingEntry)
    """Limits on shrinking. Default: 300 s window."""

    def value(self, rule: Rule) -> Behavior:
        """Both directions. Without policies a direction has no limit by rule native, and the HPA's
        own default policies by rule hpa.
        """
        up, down = (_HPA_UP, _HPA_DOWN) if rule is Rule.HPA else ((), ())
        return Behavior(
            scale_up=_scaling(self.scale_up, _UP_WINDOW_S, up),
            scale_down=_scaling(self.scale_down, _DOWN_WINDOW_S, down),
        )


_MIB: Final = 2**20
PROFILES: Final = {
    "lightweight": Resources(cpu_milli=250, memory_bytes=512 * _MIB),
    "standard": Resources(cpu_milli=500, memory_bytes=1024 * _MIB),
    "compute": Resources(cpu_milli=1000, memory_bytes=2048 * _MIB),
}
"""What one replica requests, by profile."""
MAX_ITEMS: Final = 100
"""Of schedules, of signals, of metrics and of node classes of one pool."""

MAX_QUEUES: Final = 10
MAX_STANDBY_POOLS: Final = 1000
"""Of one pool."""
_STANDBYS_GO: Final = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=60),
)
"""They start in place of those that were taken, and go once they were too many for a minute."""


class StandbyEntry(
    Section, looks_like="{name: spare, tenant: acme, pools: [research, writer], least: 2, most: 5}"
):
    """Replicas that stand by for pools of one image: they take a sleeping pool's first message."""

    name: DnsLabel
    """Its name, unlike any pool's of its tenant."""
    tenant: DnsLabel
    """The tenant in whose namespace they run."""
    deployment: DnsSubdomain | None = None
    """The Deployment in the tenant's namespace. Default: the name."""
    pools: Annotated[list[FreeText], Field(min_length=1, max_length=MAX_STANDBY_POOLS)]
    """The pools that they serve: names of the tenant's, or TENANT/POOL."""
    least: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = 1
    """Never fewer. Default 1."""
    most: Replicas
    """Never more."""
    share: Annotated[float, Field(gt=0, le=100)] = 0.5
    """A pool whose work keeps more than this part of one busy has replicas of its own. Default 0.5.
    """
    slo: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """The share of first messages that find one free. Default 0.99."""
    across_tenants: bool = False
    """Whether they may serve pools of other tenants, whose rights in NATS they need. Default false.
    """

    _once = no_item_twice("pools", "pool")

    @field_validator("most")
    @classmethod
    def _order(cls, most: int, info: ValidationInfo) -> int:
        if most < (least := info.data.get("least", 1)):
            raise ValueError(f"must be at least least ({least})")
        return most

    def value(self, tenant: Tenant) -> Pool:
        """They are scaled like a pool; the tenant is the one that it names."""
        return Pool(
            key=pool_key(self.tenant, self.name),
            name=self.name,
            tenant=self.tenant,
            namespace=tenant.namespace,
            deployment=self.deployment or self.name,
            stream="",
            consumer="",
            behavior=_STANDBYS_GO,
            min=self.least,
            max=self.most,
            window_given=False,
            serves=tuple(served_key(each, self.tenant) for each in self.pools),
            share=self.share,
            slo=self.slo,
        )


def served_key(name: str, tenant: str) -> PoolKey:
    """The key of a pool that a standby of this tenant names."""
    other, _, pool = name.rpartition("/")
    return pool_key(other or tenant, pool)


class QueueEntry(Section, looks_like="{stream: TASKS, consumer: acme-research}"):
    """The JetStream consumer that feeds a pool."""

    stream: NatsName
    """The stream's name."""
    consumer: NatsName
    """The durable consumer's name."""


class ReplicasEntry(Section, looks_like="{min: 0, max: 20}"):
    """The least and the most replicas of a pool."""

    min: Replicas = 0
    """Never fewer replicas. 0 scales to zero. Default 0."""
    max: Replicas
    """Never more replicas."""
    idle: Replicas | None = None
    """Replicas while there is no work, fewer than min. Default: min, which with 0 means none."""

    _order = max_not_below_min(default_min=0)

    @field_validator("idle")
    @classmethod
    def _below_min(cls, idle: int, info: ValidationInfo) -> int:
        # KEDA takes a min of 0 as 1 here
        least = max(info.data.get("min", MAX_REPLICAS), 1)
        if idle >= least:
            raise ValueError(f"must be less than min ({least})")
        return idle


class WarmEntry(Section, looks_like="{slo: 0.99} or {replicas: 2}"):
    """Spare replicas: a number of them, or the share of the arrivals that should find one ready."""

    slo: ShareBelowOne | None = None
    """Share of the arrivals that find a replica ready, such as 0.99."""
    replicas: Replicas | None = None
    """This many on top of what the work needs."""

    _one = exactly_one("slo", "replicas")


class NativeEntry(Section, looks_like="{setting: prompt}"):
    """How rule native weighs waiting tasks against idle replicas: a named setting, or its
    numbers.
    """

    setting: Literal["prompt", "thrifty", "calm"] | None = None
    """prompt, thrifty or calm. Default prompt."""
    start_wait_cost: Factor | None = None
    """The replica-seconds that may be spent so that one task waits a second less, where a replica
    would have to be started.
    """
    keep_wait_cost: Factor | None = None
    """The same for a replica that runs already; at least start_wait_cost."""
    hold_s: Wait | None = Field(default=None, alias="hold")
    """How long a replica is not needed before it goes. Default 0s."""
    late_share: ShareBelowOne | None = None
    """Share of the arrivals that may wait, such as 0.035. To meet it the two costs change, from a
    quarter to twice what is written. Default: they stay as they are.
    """

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

    @property
    def value(self) -> NativePreset | NativeCosts:
        """The setting, or its numbers."""
        if self.start_wait_cost is None or self.keep_wait_cost is None:
            return NativePreset(self.setting or NativePreset.PROMPT)
        return NativeCosts(
            start_wait_cost=float(self.start_wait_cost),
            keep_wait_cost=float(self.keep_wait_cost),
            hold_s=self.hold_s or 0.0,
            late_share=None if self.late_share is None else float(self.late_share),
        )


class UsageEntry(
    Section, looks_like="{input_tokens: 30000, output_tokens: 2000, calls: 12, seconds: 90}"
):
    """What one task uses, as long as it is not measured."""

    input_tokens: WholeCount = 0
    """Input tokens. Default 0."""
    cached_input_tokens: WholeCount = 0
    """Input tokens read from the cache. Default 0."""
    output_tokens: WholeCount = 0
    """Output tokens. Default 0."""
    calls: WholeCount = 1
    """Calls of the model. Default 1."""
    seconds: TaskSeconds = ONE
    """Seconds in a slot. Default 1."""


class SessionEntry(Section, looks_like="{tokens: 500000, duration: 4h, tool_calls: 200}"):
    """The most that one task may use. A task that reaches a limit ends with the status `limit`."""

    tokens: PositiveCount = SessionLimits().tokens
    """Input, cached input and output tokens. Default 500000."""
    duration_s: Wait = Field(default=SessionLimits().duration_s, alias="duration")
    """Time of work: a duration. Default 4h."""
    tool_calls: WholeCount = SessionLimits().tool_calls
    """Calls of tools. Default 200."""

    _some_time = only_if(
        "duration_s", lambda seconds: seconds > 0, "must be more than 0s: a task could never begin"
    )


class PoolEntry(Section, looks_like="{name: ..., tenant: ..., queue: {...}, replicas: {...}}"):
    """One kind of agent of one tenant: a Deployment or StatefulSet fed by one queue or several."""

    name: DnsLabel
    """The pool's name, once per tenant."""
    tenant: str
    """The name of one of the tenants."""
    deployment: DnsSubdomain | None = None
    """The Deployment in the tenant's namespace. Default: the pool's name."""
    statefulset: DnsSubdomain | None = None
    """In place of deployment: the StatefulSet in the tenant's namespace. Its highest ordinals go
    first, so it shrinks only by as many as are idle from the top.
    """
    queue: QueueEntry | None = None
    """The consumer whose messages are the pool's work."""
    queues: Annotated[list[QueueEntry], Field(min_length=1, max_length=MAX_QUEUES)] | None = None
    """In place of queue: several consumers, the highest priority first. Their messages together are
    the pool's work.
    """
    slots: Tasks = 1
    """Tasks one replica works on at once. Default 1."""
    replicas: ReplicasEntry
    """The least and the most replicas of the pool."""
    rule: Literal["native", "hpa"] = "native"
    """The rule that recommends a number. Default native."""
    target: Tasks | None = None
    """Tasks per replica where no service time is known. Default: slots."""
    activation: int = Field(default=0, ge=0, le=INT32_MAX)
    """A pool at zero wakes when pending + in flight is more than this. Default 0."""
    cooldown_s: Wait = Field(default=900.0, alias="cooldown")
    """Time from the last activity to zero or idle: a duration. It delays only that step. Default
    15m.
    """
    initial_cooldown_s: Wait = Field(default=0.0, alias="initial_cooldown")
    """Time that a new pool stays up before its cooldown: a duration. Default 0s."""
    minimum_runtime_s: Wait = Field(default=0.0, alias="minimum_runtime")
    """Age below which no replica is given up for other pools: a duration. Default 0s."""
    aim_s: Wait | None = Field(default=None, alias="aim")
    """The longest that a message should wait: a duration. A finding says where one waits longer;
    the pool is not scaled by it. Default: none.
    """
    weight: Weight = ONE
    """Its share inside its tenant, relative to other weights. Default 1."""
    nodes: Annotated[list[str], Field(min_length=1, max_length=MAX_ITEMS)] | None = None
    """Node classes it may use, in order of preference. Default: any node."""
    native: NativeEntry = Field(default_factory=NativeEntry)
    """How rule native weighs waiting tasks against idle replicas."""
    warm: WarmEntry | None = None
    """Spare replicas; they are served last. Default: none."""
    profile: Literal["lightweight", "standard", "compute"] | None = None
    """What a replica requests: lightweight 250m and 512Mi, standard 500m and 1Gi, compute 1 and
    2Gi. Default: what its pods request.
    """
    model: str | None = None
    """The name of one of the models. Default: none."""
    router: Annotated[list[str], Field(min_length=1, max_length=MAX_ITEMS)] | None = None
    """The models among which a router chooses the cheapest that can do a task. Default: only model.
    """
    session: SessionEntry = Field(default_factory=SessionEntry)
    """The most that one task may use. Default: 500000 tokens, 4h, 200 tool calls."""
    usage: UsageEntry | None = None
    """What one task uses, as long as it is not measured. Default: not known."""
    schedules: Annotated[list[ScheduleEntry], Field(max_length=MAX_ITEMS)] = Field(
        default_factory=list
    )
    """Windows of time with another min and max, in the tenant's time zone."""
    signals: Annotated[dict[SignalName, SignalEntry], Field(max_length=MAX_ITEMS)] = Field(
        default_factory=dict, json_schema_extra=NO_OTHER_NAMES
    )
    """Values from outside by name, which metrics and the formula may read. The name queue always
    exists: it is the pool's pending + in flight.
    """
    metrics: Annotated[list[MetricEntry], Field(min_length=1, max_length=MAX_ITEMS)] | None = None
    """Metrics as autoscaling/v2 spells them; the largest proposal counts. Default: none for rule
    native; External queue with AverageValue target for rule hpa.
    """
    modifiers: ModifiersEntry | None = None
    """A formula that makes one metric of several. Default: none."""
    fallback: FallbackEntry | None = None
    """The replicas while a metric cannot be read. Default: they are held."""
    behavior: BehaviorEntry | None = None
    """How fast it may grow and shrink, as autoscaling/v2 spells it. Default: 300 s window down."""

    @model_validator(mode="after")
    def _has_workload(self) -> Self:
        if self.deployment is not None and self.statefulset is not None:
            raise ValueError(
                "is one workload: give deployment or statefulset, and take the other out"
            )
        return self

    _work = exactly_one("queue", "queues")
    _nodes_once = no_item_twice("nodes", "node class")
    _models_once = no_item_twice("router", "model")

    @field_validator("fallback")
    @classmethod
    def _can_fall_back(cls, fallback: FallbackEntry, info: ValidationInfo) -> FallbackEntry:
        rule, metrics, modifiers = map(info.data.get, ("rule", "metrics", "modifiers"))
        if rule == "hpa" and metrics and all(each.is_of_pods for each in metrics):
            raise ValueError(
                "has no effect: there is no metric other than cpu and memory; take it out"
            )
        if isinstance(modifiers, ModifiersEntry) and modifiers.target_milli % 1000:
            raise ValueError("needs modifiers whose target is a whole number")
        if fallback.behavior == "scalingModifiers" and modifiers is None:
            raise ValueError("needs modifiers for its behavior scalingModifiers")
        return fallback

    def value(self, tenant: Tenant) -> Pool:
        """The pool; the tenant is the one that it names."""
        rule, behavior = Rule(self.rule), self.behavior or BehaviorEntry()
        target = self.target or self.slots
        entries = self.queues or ([self.queue] if self.queue else [])
        first, *lower = [QueueName(each.stream, each.consumer) for each in entries]
        signals = [Signal(name=name, source=one.source) for name, one in self.signals.items()]
        metrics = tuple(each.value for each in self.metrics or ())
        if rule is Rule.HPA and self.metrics is None:
            metrics = (ExternalMetric(name=QUEUE, target=AverageValueTarget(milli=1000 * target)),)
        return value_of(
            self,
            Pool,
            key=pool_key(self.tenant, self.name),
            namespace=tenant.namespace,
            deployment="" if self.statefulset else self.deployment or self.name,
            stream=first.stream,
            consumer=first.consumer,
            lower_queues=tuple(lower),
            behavior=behavior.value(rule),
            target=target,
            min=self.replicas.min,
            max=self.replicas.max,
            idle=self.replicas.idle,
            requests=PROFILES.get(self.profile or ""),
            native=self.native.value,
            without_behavior=rule is Rule.HPA and self.behavior is None,
            window_given=behavior.scale_down.stabilization_window_s is not None,
            signals=tuple(signals),
            metrics=metrics,
        )
