"""The names under which an observation holds the readings of a pool's metrics."""

from __future__ import annotations

from controller.model.metrics import (
    ContainerResourceMetric,
    ExternalMetric,
    MetricSpec,
    ObjectMetric,
    PodsMetric,
    ResourceMetric,
)


def reading_name(spec: MetricSpec) -> str:
    """The metric's own name; with a selector `name{selector}`, for an object `Kind/object/name`.
    CPU and memory are read once for all containers, under the resource's name.
    """
    match spec:
        case ResourceMetric() | ContainerResourceMetric():
            return spec.resource
        case ObjectMetric(object_name=described) if described:
            return _selected(f"{spec.kind}/{described}/{spec.name}", spec.selector)
        case ExternalMetric() | ObjectMetric() | PodsMetric():
            return _selected(spec.name, spec.selector)


def _selected(name: str, selector: str) -> str:
    return f"{name}{{{selector}}}" if selector else name
