"""Turns a checked fleet file into settings: resolves names and fills in defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from controller.config.references import table_price
from controller.config.schema import FleetFile
from controller.config.schema.connections import JournalEntry, LeaseEntry, NatsEntry, SecretEntry
from controller.config.schema.metrics import (
    DescribedObjectEntry,
    FallbackEntry,
    FigureTargetEntry,
    MetricEntry,
    MetricNameEntry,
    MetricSelectorEntry,
    ModifiersEntry,
    PodsTargetEntry,
    RequirementEntry,
    ResourceTargetEntry,
    SignalEntry,
)
from controller.config.schema.pools import (
    BehaviorEntry,
    NativeEntry,
    PoolEntry,
    ScalingEntry,
    UsageEntry,
)
from controller.config.schema.tenants import (
    BlindEntry,
    BudgetEntry,
    CapacityEntry,
    ModelEntry,
    NodeClassEntry,
    PriceEntry,
    RateLimitsEntry,
    TenantEntry,
    TierEntry,
)
from controller.model.fleet import (
    Behavior,
    BlindPolicy,
    ExternalSeries,
    Fleet,
    NativeCosts,
    NativePreset,
    PolicyType,
    Pool,
    PrometheusQuery,
    Rule,
    ScalingPolicy,
    ScalingRules,
    Schedule,
    SelectPolicy,
    Signal,
    SignalSource,
    Tenant,
    Tier,
)
from controller.model.ids import QueueName, pool_key
from controller.model.lease import LeaseStore
from controller.model.metrics import (
    QUEUE,
    AverageValueTarget,
    ContainerResourceMetric,
    ExternalMetric,
    Fallback,
    FallbackBehavior,
    MetricSpec,
    Modifiers,
    ObjectMetric,
    PodsMetric,
    ResourceMetric,
    TargetType,
    UtilizationTarget,
    ValueTarget,
)
from controller.model.scarcity import (
    Budget,
    Capacity,
    LlmModel,
    ModelTier,
    NodeClass,
    Pacing,
    Price,
    RateLimits,
    Resources,
    TaskUsage,
    TokenCount,
    Warm,
)
from controller.model.settings import (
    ControllerSettings,
    JournalSettings,
    JournalStreamSettings,
    KubernetesSettings,
    LeaseSettings,
    NatsCredentials,
    NatsSettings,
    NatsTls,
    PrometheusSettings,
    SecretRef,
    Settings,
)
from controller.model.worker_messages import SessionLimits

# autoscaling/v2, defaults.go: the window and the policies of a direction that has none
UP_WINDOW_S: Final = 0
DOWN_WINDOW_S: Final = 300
_DOUBLE: Final = ScalingPolicy(type=PolicyType.PERCENT, value=100, period_s=15)
HPA_UP: Final = (ScalingPolicy(type=PolicyType.PODS, value=4, period_s=15), _DOUBLE)
HPA_DOWN: Final = (_DOUBLE,)


def behavior(entry: BehaviorEntry, rule: Rule) -> Behavior:
    """Both directions. Without policies a direction has no limit by rule native, and the HPA's own
    default policies by rule hpa.
    """
    by_hpa = rule is Rule.HPA
    return Behavior(
        scale_up=_rules(entry.scale_up, UP_WINDOW_S, HPA_UP if by_hpa else ()),
        scale_down=_rules(entry.scale_down, DOWN_WINDOW_S, HPA_DOWN if by_hpa else ()),
    )


def _rules(
    entry: ScalingEntry, default_window_s: int, default: tuple[ScalingPolicy, ...]
) -> ScalingRules:
    window_s = entry.stabilization_window_seconds
    policies = tuple(
        ScalingPolicy(
            type=PolicyType(policy.type), value=policy.value, period_s=policy.period_seconds
        )
        for policy in entry.policies or ()
    )
    return ScalingRules(
        stabilization_window_s=default_window_s if window_s is None else window_s,
        select_policy=SelectPolicy(entry.select_policy),
        policies=policies or default,
        tolerance=entry.tolerance,
    )


def metrics(
    entries: Sequence[MetricEntry] | None, rule: Rule, target: int
) -> tuple[MetricSpec, ...]:
    """The metrics. Rule hpa without any uses the queue, with `target` messages per replica."""
    if entries is None:
        if rule is Rule.HPA:
            return (ExternalMetric(name=QUEUE, target=AverageValueTarget(milli=1000 * target)),)
        return ()
    return tuple(_metric(entry) for entry in entries)


def modifiers(entry: ModifiersEntry | None) -> Modifiers | None:
    """The formula with its target and its activation."""
    if entry is None:
        return None
    return Modifiers(
        formula=entry.formula,
        target_milli=entry.target,
        activation_milli=entry.activation_target,
        metric_type=TargetType(entry.metric_type),
    )


def signals(entries: Mapping[str, SignalEntry]) -> tuple[Signal, ...]:
    """The signals, in the file's order."""
    return tuple(Signal(name=name, source=_source(entry)) for name, entry in entries.items())


def fallback(entry: FallbackEntry | None) -> Fallback | None:
    """The replicas that stand in for a metric that cannot be read."""
    if entry is None:
        return None
    return Fallback(
        failure_threshold=entry.failure_threshold,
        replicas=entry.replicas,
        behavior=FallbackBehavior(entry.behavior),
    )


def _source(entry: SignalEntry) -> SignalSource:
    match entry:
        case SignalEntry(prometheus=query) if query is not None:
            return PrometheusQuery(query=query)
        case SignalEntry(external=one) if one is not None:
            return ExternalSeries(name=one.name, selector=_selector(one.selector))
    raise AssertionError("a checked signal has one source")


def _metric(entry: MetricEntry) -> MetricSpec:
    match entry:
        case MetricEntry(external=one) if one is not None:
            return ExternalMetric(
                name=one.metric.name,
                target=_figure(one.target),
                selector=_selector(one.metric.selector),
            )
        case MetricEntry(object=one) if one is not None:
            return _object(one.metric, one.target, one.described_object)
        case MetricEntry(pods=one) if one is not None:
            return PodsMetric(
                name=one.metric.name,
                target=_average(one.target),
                selector=_selector(one.metric.selector),
            )
        case MetricEntry(resource=one) if one is not None:
            return ResourceMetric(resource=one.name, target=_resource(one.target))
        case MetricEntry(container_resource=one) if one is not None:
            return ContainerResourceMetric(
                resource=one.name, container=one.container, target=_resource(one.target)
            )
    raise AssertionError(f"a checked metric has the block of its type: {entry.type}")


def _object(
    metric: MetricNameEntry, target: FigureTargetEntry, described: DescribedObjectEntry
) -> ObjectMetric:
    return ObjectMetric(
        name=metric.name,
        target=_figure(target),
        kind=described.kind,
        object_name=described.name,
        api_version=described.api_version or "",
        selector=_selector(metric.selector),
    )


def _figure(target: FigureTargetEntry) -> ValueTarget | AverageValueTarget:
    if target.value is not None:
        return ValueTarget(milli=target.value)
    return _average(target)


def _resource(target: ResourceTargetEntry) -> UtilizationTarget | AverageValueTarget:
    if target.average_utilization is not None:
        return UtilizationTarget(percent=target.average_utilization)
    return _average(target)


def _average(
    target: FigureTargetEntry | PodsTargetEntry | ResourceTargetEntry,
) -> AverageValueTarget:
    if target.average_value is None:
        raise AssertionError(f"a checked target has the number of its type: {target.type}")
    return AverageValueTarget(milli=target.average_value)


def _selector(entry: MetricSelectorEntry | None) -> str:
    """The label selector as text, its requirements in the order of their labels (meta/v1,
    LabelSelectorAsSelector).
    """
    entry = entry or MetricSelectorEntry()
    requirements = [(label, f"{label}={value}") for label, value in entry.match_labels.items()]
    requirements += [(one.key, _requirement(one)) for one in entry.match_expressions]
    return ",".join(text for _, text in sorted(requirements))


def _requirement(entry: RequirementEntry) -> str:
    match entry.operator:
        case "In":
            return f"{entry.key} in ({','.join(sorted(entry.values))})"
        case "NotIn":
            return f"{entry.key} notin ({','.join(sorted(entry.values))})"
        case "Exists":
            return entry.key
        case "DoesNotExist":
            return f"!{entry.key}"


_MIB: Final = 2**20
PROFILES: Final[Mapping[str, Resources]] = MappingProxyType(
    {
        "lightweight": Resources(cpu_milli=250, memory_bytes=512 * _MIB),
        "standard": Resources(cpu_milli=500, memory_bytes=1024 * _MIB),
        "compute": Resources(cpu_milli=1000, memory_bytes=2048 * _MIB),
    }
)
"""What one replica requests, by profile."""


def pool(entry: PoolEntry, tenant: Tenant) -> Pool:
    """A pool's value; the tenant is the one that the entry names."""
    rule, target = Rule(entry.rule), entry.target or entry.slots
    entries = [entry.queue] if entry.queue is not None else entry.queues or []
    first, *lower = [QueueName(each.stream, each.consumer) for each in entries]
    return Pool(
        key=pool_key(entry.tenant, entry.name),
        name=entry.name,
        tenant=entry.tenant,
        namespace=tenant.namespace,
        deployment="" if entry.statefulset else entry.deployment or entry.name,
        statefulset=entry.statefulset or "",
        stream=first.stream,
        consumer=first.consumer,
        lower_queues=tuple(lower),
        behavior=behavior(entry.behavior or BehaviorEntry(), rule),
        rule=rule,
        slots=entry.slots,
        target=target,
        min=entry.replicas.min,
        max=entry.replicas.max,
        activation=entry.activation,
        cooldown_s=entry.cooldown,
        initial_cooldown_s=entry.initial_cooldown,
        idle=entry.replicas.idle,
        weight=entry.weight,
        minimum_runtime_s=entry.minimum_runtime,
        aim_s=entry.aim,
        schedules=tuple(
            Schedule(window=one.window, min=one.min, max=one.max) for one in entry.schedules
        ),
        warm=Warm(slo=entry.warm.slo, replicas=entry.warm.replicas) if entry.warm else None,
        requests=PROFILES[entry.profile] if entry.profile else None,
        nodes=tuple(entry.nodes or ()),
        model=entry.model,
        router=tuple(entry.router or ()),
        session=SessionLimits(
            tokens=entry.session.tokens,
            duration_s=entry.session.duration,
            tool_calls=entry.session.tool_calls,
        ),
        usage=_usage(entry.usage) if entry.usage else None,
        native=_native(entry.native),
        without_behavior=rule is Rule.HPA and entry.behavior is None,
        window_given=_gives_window(entry.behavior),
        signals=signals(entry.signals),
        metrics=metrics(entry.metrics, rule, target),
        modifiers=modifiers(entry.modifiers),
        fallback=fallback(entry.fallback),
    )


def _gives_window(entry: BehaviorEntry | None) -> bool:
    return entry is not None and entry.scale_down.stabilization_window_seconds is not None


def _native(entry: NativeEntry) -> NativePreset | NativeCosts:
    if entry.start_wait_cost is None or entry.keep_wait_cost is None:
        return NativePreset(entry.setting or NativePreset.PROMPT)
    return NativeCosts(
        start_wait_cost=float(entry.start_wait_cost),
        keep_wait_cost=float(entry.keep_wait_cost),
        hold_s=entry.hold or 0.0,
        late_share=None if entry.late_share is None else float(entry.late_share),
    )


def _usage(entry: UsageEntry) -> TaskUsage:
    return TaskUsage(
        input_tokens=entry.input_tokens,
        cached_input_tokens=entry.cached_input_tokens,
        output_tokens=entry.output_tokens,
        calls=entry.calls,
        seconds=entry.seconds,
    )


def model(name: str, entry: ModelEntry) -> LlmModel:
    """A model's value. Without a price in the file it has the maintained table's."""
    return LlmModel(
        name=name,
        tier=ModelTier(entry.tier),
        context_tokens=entry.context,
        limits=_limits(entry.limits) if entry.limits else None,
        shared=entry.shared,
        price=_price(entry.price) if entry.price else table_price(name),
    )


def capacity(entry: CapacityEntry) -> Capacity:
    """What the whole fleet may use."""
    return Capacity(
        resources=Resources(
            replicas=entry.replicas, cpu_milli=entry.cpu, memory_bytes=entry.memory
        ),
        usd_per_hour=entry.usd_per_hour,
        node_classes=tuple(_node_class(name, one) for name, one in entry.node_classes.items()),
    )


def _node_class(name: str, entry: NodeClassEntry) -> NodeClass:
    return NodeClass(
        name=name,
        selector=entry.selector or "",
        min_nodes=entry.nodes.min,
        max_nodes=entry.nodes.max,
    )


def _limits(entry: RateLimitsEntry) -> RateLimits:
    return RateLimits(
        requests_per_minute=entry.requests_per_minute,
        tokens_per_minute=entry.tokens_per_minute,
        input_tokens_per_minute=entry.input_tokens_per_minute,
        output_tokens_per_minute=entry.output_tokens_per_minute,
        parallel=entry.parallel,
        burst=entry.burst,
        headroom=entry.headroom,
    )


def _price(entry: PriceEntry) -> Price:
    return Price(input=entry.input, output=entry.output, cached_input=entry.cached_input)


def tier(name: str, entry: TierEntry) -> Tier:
    """A tier's value."""
    return Tier(name=name, priority=entry.priority, blind=_blind(entry.blind))


def tenant(name: str, entry: TenantEntry, its_tier: Tier) -> Tenant:
    """A tenant's value. Without a namespace in the file, its namespace has the tenant's name."""
    quota = entry.quota
    return Tenant(
        name=name,
        tier=its_tier,
        namespace=entry.namespace or name,
        timezone=entry.timezone,
        weight=entry.weight,
        quota=Resources(replicas=quota.replicas, cpu_milli=quota.cpu, memory_bytes=quota.memory),
        budget=_budget(entry.budget),
    )


def _blind(entry: BlindEntry | None) -> BlindPolicy | None:
    return BlindPolicy(after_s=entry.after, replicas=entry.replicas) if entry else None


def _budget(entry: BudgetEntry) -> Budget:
    count = entry.count
    return Budget(
        tokens_per_day=entry.tokens_per_day,
        count=TokenCount(input=count.input, output=count.output, cached_input=count.cached_input),
        warn=entry.warn,
        hard=entry.hard,
        pacing=Pacing(entry.pacing),
        usd_per_hour=entry.usd_per_hour,
        usd_alert=entry.usd_alert,
        usd_per_workflow=entry.usd_per_workflow,
    )


def settings(file: FleetFile) -> Settings:
    """The settings of a file whose names have been checked."""
    tiers = {name: tier(name, entry) for name, entry in file.tiers.items()}
    tenants = {name: tenant(name, entry, tiers[entry.tier]) for name, entry in file.tenants.items()}
    return Settings(
        nats=_nats(file.nats),
        kubernetes=KubernetesSettings(
            context=file.kubernetes.context,
            selector=file.kubernetes.selector,
            ending_taints=tuple(file.kubernetes.ending_taints),
        ),
        controller=ControllerSettings(
            interval_s=file.controller.interval,
            read_only=file.controller.read_only,
            journal=_journal(file.controller.journal),
            lease=_lease(file.controller.lease, file.nats.bucket),
            freeze_file=file.controller.freeze_file,
        ),
        fleet=Fleet(
            tiers=tuple(tiers.values()),
            tenants=tuple(tenants.values()),
            pools=tuple(pool(entry, tenants[entry.tenant]) for entry in file.pools),
            models=tuple(model(name, entry) for name, entry in file.models.items()),
            capacity=capacity(file.capacity),
        ),
        prometheus=PrometheusSettings(url=file.prometheus.url) if file.prometheus else None,
    )


def _journal(entry: JournalEntry | None) -> JournalSettings | None:
    if entry is None:
        return None
    stream = entry.stream
    return JournalSettings(
        path=entry.path,
        keep_s=entry.keep,
        max_bytes=entry.max_bytes,
        stream=None
        if stream is None
        else JournalStreamSettings(keep_s=stream.keep, max_bytes=stream.max_bytes),
    )


def _lease(entry: LeaseEntry, bucket: str) -> LeaseSettings:
    return LeaseSettings(
        store=LeaseStore(entry.store),
        name=entry.name or bucket.lower().replace("_", "-").strip("-") or "agentdash",
        namespace=entry.namespace,
        times=entry.times,
    )


def _nats(nats: NatsEntry) -> NatsSettings:
    login, tls = nats.credentials, nats.tls
    return NatsSettings(
        servers=tuple(nats.servers),
        credentials=NatsCredentials(
            creds=SecretRef(file=login.file) if login.file else None,
            user=login.user,
            password=_secret(login.password),
            token=_secret(login.token),
            nkey=_secret(login.nkey),
        ),
        tls=NatsTls(ca=tls.ca, cert=tls.cert, key=tls.key) if tls else None,
        bucket=nats.bucket,
        inbox=nats.inbox,
        domain=nats.domain,
        replicas=nats.replicas,
    )


def _secret(entry: SecretEntry | None) -> SecretRef | None:
    return SecretRef(file=entry.file, env=entry.env) if entry else None
