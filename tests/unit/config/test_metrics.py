"""Rule hpa: metrics and behavior as in autoscaling/v2, modifiers and fallback as in KEDA."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from controller.config import parse
from controller.model.fleet import (
    NativeCosts,
    NativePreset,
    PolicyType,
    Pool,
    Rule,
    ScalingPolicy,
    ScalingRules,
)
from controller.model.metrics import (
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
    UtilizationTarget,
    ValueTarget,
)

Complain = Callable[[str], list[str]]
Dump = Callable[[object], str]

POOL = """\
version: 1
nats: {servers: [nats://localhost]}
tenants: {acme: {tier: growth}}
pools:
  - {name: a, tenant: acme, queue: {stream: S, consumer: c}, replicas: {max: 9}, rule: hpa,
"""


def pool_with(fleet: dict[str, Any], dump: Dump, **keys: object) -> Pool:
    fleet["pools"][0] |= keys
    (pool,) = parse(dump(fleet), "fleet.yaml").fleet.pools
    return pool


def test_rule_hpa_goes_by_the_queue_by_default(fleet: dict[str, Any], dump: Dump) -> None:
    pool = pool_with(fleet, dump, rule="hpa", slots=4)
    assert pool.rule is Rule.HPA
    assert pool.metrics == (ExternalMetric(name="queue", target=AverageValueTarget(milli=4000)),)
    pool = pool_with(fleet, dump, target=2)
    assert pool.metrics == (ExternalMetric(name="queue", target=AverageValueTarget(milli=2000)),)
    assert pool_with(fleet, dump, rule="native").metrics == ()


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


def test_rule_hpa_keeps_default_policies_only_where_none_are_listed(
    fleet: dict[str, Any], dump: Dump
) -> None:
    one = {"type": "Pods", "value": 1, "periodSeconds": 600}
    behavior = {
        "scaleDown": {"policies": [one], "tolerance": "0.05"},
        "scaleUp": {"stabilizationWindowSeconds": 30},
    }
    found = pool_with(fleet, dump, rule="hpa", behavior=behavior).behavior
    assert found.scale_up == ScalingRules(stabilization_window_s=30, policies=(FOUR, DOUBLE))
    assert found.scale_down == ScalingRules(
        stabilization_window_s=300,
        policies=(ScalingPolicy(type=PolicyType.PODS, value=1, period_s=600),),
        tolerance=Decimal("0.05"),
    )


def test_modifiers_and_fallback_are_kept(fleet: dict[str, Any], dump: Dump) -> None:
    pool = pool_with(
        fleet,
        dump,
        modifiers={"formula": "max([queue, 2]) // of 1e3 others", "target": 5},
        fallback={"failureThreshold": 3, "replicas": 0, "behavior": "currentReplicasIfHigher"},
    )
    assert pool.modifiers == Modifiers(
        formula="max([queue, 2]) // of 1e3 others", target_milli=5000, activation_milli=0
    )
    assert pool.fallback == Fallback(
        failure_threshold=3, replicas=0, behavior=FallbackBehavior.CURRENT_IF_HIGHER
    )


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


def external(target: str, metric: str = "{name: queue}") -> str:
    return f"metrics: [{{type: External, external: {{metric: {metric}, target: {target}}}}}]"


def pods(selector: str) -> str:
    metric = f"{{name: a, selector: {selector}}}"
    target = "{type: AverageValue, averageValue: 1}"
    return f"metrics: [{{type: Pods, pods: {{metric: {metric}, target: {target}}}}}]"


def resource(name: str, percent: int, kind: str = "Resource") -> str:
    target = f"{{type: Utilization, averageUtilization: {percent}}}"
    return f"metrics: [{{type: {kind}, resource: {{name: {name}, target: {target}}}}}]"


VALUE = "{type: Value, value: 1}"
FALLBACK = "fallback: {failureThreshold: 1, replicas: 1}"
BY_MODIFIERS = "fallback: {failureThreshold: 1, replicas: 1, behavior: scalingModifiers}"
NO_QUERY = "metric.selector: queue is one number, so there is nothing to select: take it out"
NO_SIGNAL = 'metrics[0].external.metric.name: no signal is called "quue"; did you mean "queue"?'


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("metrics: []", "pools[0].metrics: must not be empty"),
        ("metrics: [{type: external}]", '"External", "Object", "Pods", "Resource" or "ContainerRe'),
        ("metrics: [{type: External}]", "metrics[0]: type External takes external"),
        (resource("cpu", 5, kind="Pods"), "metrics[0]: type Pods takes pods, not resource"),
        (external(VALUE, metric="null"), "external.metric: is required. The metric."),
        (external("{type: Value, averageValue: 1}"), "type Value takes value, not averageValue"),
        (external("{type: Value}"), "external.target: type Value takes value"),
        (external("{type: Value, value: 0}"), "value: the number 0 must be more than 0"),
        (
            external("{type: Value, value: 5x}"),
            'target.value: "5x" must be a quantity, such as "30"',
        ),
        (external("{type: Utilization}"), 'type: must be "Value" or "AverageValue", not "Util'),
        (external(VALUE, metric="{name: quue}"), NO_SIGNAL),
        (external(VALUE, metric="{name: queue, selector: {matchLabels: {a: b}}}"), NO_QUERY),
        (resource("gpu", 5), 'resource.name: must be "cpu" or "memory", not "gpu"'),
        (resource("cpu", 0), "averageUtilization: must be at least 1, not the number 0"),
        (pods("{matchLabels: {a b: c}}"), '"a b" must be a label, such as'),
        (pods("{matchLabels: {a: c d}}"), '"c d" must be a label\'s value'),
        (pods("{matchExpressions: [{key: a, operator: In}]}"), "operator In needs values"),
        (
            pods("{matchExpressions: [{key: a, operator: Exists, values: [b]}]}"),
            "matchExpressions[0]: operator Exists takes no values",
        ),
        ("modifiers: {formula: quue / 2, target: 1}", 'formula: no signal is called "quue"; did'),
        ("modifiers: {formula: '', target: 1}", "modifiers.formula: must not be empty"),
        (
            f"modifiers: {{formula: {'queue+' * 700}1, target: 1}}",
            "more than 4096 characters (at char",
        ),
        ("modifiers: {formula: queue}", "modifiers.target: is required. Its target: a"),
        ("modifiers: {formula: queue, target: -1}", "must be more than 0"),
        ("fallback: {failureThreshold: 3}", "fallback.replicas: is required."),
        ("fallback: {failureThreshold: -1, replicas: 1}", "must be at least 0"),
        ("fallback: {failureThreshold: 1, replicas: 1, behavior: hold}", 'must be "static", "curr'),
        (BY_MODIFIERS, "pools[0].fallback: needs modifiers for its behavior scalingModifiers"),
        (
            f"modifiers: {{formula: queue, target: 1.5}}, {FALLBACK}",
            "fallback: needs modifiers whose target is a whole number",
        ),
        (
            f"{resource('cpu', 5)}, {FALLBACK}",
            "fallback: has no effect: there is no metric other than cpu and memory",
        ),
        ("behavior: {scaleUp: {tolerance: -1}}", "tolerance: the number -1 must be at least 0"),
    ],
)
def test_each_problem_is_reported_at_its_position(
    complaints: Complain, keys: str, complaint: str
) -> None:
    (line,) = complaints(f"{POOL}     {keys}}}\n")
    assert line.startswith("fleet.yaml:6:")
    assert complaint in line
