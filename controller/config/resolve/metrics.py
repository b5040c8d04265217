"""A pool's metrics, signals, modifiers and fallback as values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
)
from controller.config.schema.signals import SignalEntry
from controller.model.fleet import Rule
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
from controller.model.signals import ExternalSeries, PrometheusQuery, Signal, SignalSource


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
