"""Rule hpa: metrics and behavior as in autoscaling/v2, modifiers and fallback as in KEDA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller.config import parse
from controller.model.fleet import (
    AverageValueTarget,
    ContainerResourceMetric,
    ExternalMetric,
    MetricSpec,
    NativeCosts,
    NativePreset,
    ObjectMetric,
    PodsMetric,
    PolicyType,
    Pool,
    ResourceMetric,
    ScalingPolicy,
    ScalingRules,
    UtilizationTarget,
    ValueTarget,
)

Dump = Callable[[object], str]


def pool_with(fleet: dict[str, Any], dump: Dump, **keys: object) -> Pool:
    fleet["pools"][0] |= keys
    (pool,) = parse(dump(fleet), "fleet.yaml").fleet.pools
    return pool


AVERAGE = {"type": "AverageValue", "averageValue": "500m"}


@pytest.mark.parametrize(
    ("written", "spec"),
    [
        (
            {
                "type": "External",
                "external": {"metric": {"name": "queue"}, "target": {"type": "Value", "value": 30}},
            },
            ExternalMetric(name="queue", target=ValueTarget(milli=30_000)),
        ),
        (
            {
                "type": "Object",
                "object": {
                    "describedObject": {"kind": "Ingress", "name": "web", "apiVersion": "n/v1"},
                    "metric": {"name": "hits", "selector": {"matchLabels": {"verb": "GET"}}},
                    "target": AVERAGE,
                },
            },
            ObjectMetric(
                name="hits",
                target=AverageValueTarget(milli=500),
                kind="Ingress",
                object_name="web",
                api_version="n/v1",
                selector="verb=GET",
            ),
        ),
        (
            {"type": "Pods", "pods": {"metric": {"name": "pages"}, "target": AVERAGE}},
            PodsMetric(name="pages", target=AverageValueTarget(milli=500)),
        ),
        (
            {
                "type": "Resource",
                "resource": {
                    "name": "memory",
                    "target": {"type": "Utilization", "averageUtilization": 75},
                },
            },
            ResourceMetric(resource="memory", target=UtilizationTarget(percent=75)),
        ),
        (
            {
                "type": "ContainerResource",
                "containerResource": {"name": "cpu", "container": "agent", "target": AVERAGE},
            },
            ContainerResourceMetric(
                resource="cpu", container="agent", target=AverageValueTarget(milli=500)
            ),
        ),
    ],
)
@pytest.mark.parametrize("rule", ["hpa", "native"])
def test_each_type_of_metric(
    fleet: dict[str, Any], dump: Dump, written: object, spec: MetricSpec, rule: str
) -> None:
    assert pool_with(fleet, dump, rule=rule, metrics=[written]).metrics == (spec,)


def test_a_selector_becomes_text_in_the_order_of_its_labels(
    fleet: dict[str, Any], dump: Dump
) -> None:
    selector = {
        "matchLabels": {"team": "globex", "app.io/kind": ""},
        "matchExpressions": [
            {"key": "stage", "operator": "In", "values": ["live", "canary"]},
            {"key": "zone", "operator": "NotIn", "values": ["c"]},
            {"key": "old", "operator": "DoesNotExist"},
            {"key": "new", "operator": "Exists"},
        ],
    }
    metric = {"name": "pages", "selector": selector}
    pool = pool_with(
        fleet, dump, metrics=[{"type": "Pods", "pods": {"metric": metric, "target": AVERAGE}}]
    )
    assert pool.metrics == (
        PodsMetric(
            name="pages",
            target=AverageValueTarget(milli=500),
            selector="app.io/kind=,new,!old,stage in (canary,live),team=globex,zone notin (c)",
        ),
    )


DOUBLE = ScalingPolicy(type=PolicyType.PERCENT, value=100, period_s=15)
FOUR = ScalingPolicy(type=PolicyType.PODS, value=4, period_s=15)


def test_rule_hpa_without_behavior_differs_from_rule_hpa_with_the_default_behavior(
    fleet: dict[str, Any], dump: Dump
) -> None:
    bare = pool_with(fleet, dump, rule="hpa")
    written = pool_with(fleet, dump, behavior={})
    assert (bare.without_behavior, written.without_behavior) == (True, False)
    assert bare.behavior == written.behavior
    assert written.behavior.scale_up == ScalingRules(
        stabilization_window_s=0, policies=(FOUR, DOUBLE)
    )
    assert written.behavior.scale_down == ScalingRules(
        stabilization_window_s=300, policies=(DOUBLE,)
    )
    assert pool_with(fleet, dump, rule="native", behavior=None).without_behavior is False


@pytest.mark.parametrize(
    ("written", "native"),
    [
        (None, NativePreset.PROMPT),
        ({}, NativePreset.PROMPT),
        ({"setting": "thrifty"}, NativePreset.THRIFTY),
        (
            {"start_wait_cost": 2.5, "keep_wait_cost": 90, "hold": "3m", "late_share": 0.05},
            NativeCosts(start_wait_cost=2.5, keep_wait_cost=90.0, hold_s=180.0, late_share=0.05),
        ),
        (
            {"start_wait_cost": 0, "keep_wait_cost": 0},
            NativeCosts(start_wait_cost=0.0, keep_wait_cost=0.0),
        ),
    ],
)
def test_rule_native_by_name_or_by_numbers(
    fleet: dict[str, Any], dump: Dump, written: object, native: object
) -> None:
    assert pool_with(fleet, dump, native=written).native == native
