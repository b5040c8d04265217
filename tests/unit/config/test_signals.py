"""Signals: named values from outside, and the metrics and formulas that read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.config import parse
from controller.model.fleet import (
    AverageValueTarget,
    ExternalMetric,
    ExternalSeries,
    Modifiers,
    PrometheusQuery,
    Signal,
    TargetType,
    ValueTarget,
)
from controller.model.settings import PrometheusSettings

Complain = Callable[[str], list[str]]
Dump = Callable[[object], str]

POOL = """\
version: 1
nats: {servers: [nats://localhost]}
prometheus: {url: http://prometheus:9090}
tenants: {acme: {tier: growth}}
pools:
  - {name: a, tenant: acme, queue: {stream: S, consumer: c}, replicas: {max: 9},
     signals: {backlog: {prometheus: "sum(up)"}, cases: {external: {name: active_cases}}},
"""


def pool(keys: str) -> str:
    """A pool with two signals and these keys on line 8, from column 6."""
    return f"{POOL}     {keys}}}\n"


def external(name: str, selector: str = "null") -> str:
    target = "{type: Value, value: 30}"
    metric = f"{{metric: {{name: {name}, selector: {selector}}}, target: {target}}}"
    return f"metrics: [{{type: External, external: {metric}}}]"


def test_signals_are_kept_in_their_order_with_where_each_is_read(
    fleet: dict[str, Any], dump: Dump
) -> None:
    fleet["prometheus"] = {"url": "https://prometheus.example:9090/prefix"}
    selector = {"matchLabels": {"team": "globex"}}
    fleet["pools"][0] |= {
        "signals": {
            "backlog": {"prometheus": "sum(\n  agent_backlog\n)"},
            "cases": {"external": {"name": "firestore_active", "selector": selector}},
        },
        "metrics": [
            {
                "type": "External",
                "external": {
                    "metric": {"name": "backlog"},
                    "target": {"type": "Value", "value": "30"},
                },
            }
        ],
        "modifiers": {
            "formula": "(queue + backlog) / cases",
            "target": 5,
            "activationTarget": 2,
            "metricType": "Value",
        },
    }
    settings = parse(dump(fleet), "fleet.yaml")
    (pool,) = settings.fleet.pools
    assert settings.prometheus == PrometheusSettings(url="https://prometheus.example:9090/prefix")
    assert pool.signals == (
        Signal(name="backlog", source=PrometheusQuery(query="sum(\n  agent_backlog\n)")),
        Signal(
            name="cases", source=ExternalSeries(name="firestore_active", selector="team=globex")
        ),
    )
    assert pool.metrics == (ExternalMetric(name="backlog", target=ValueTarget(milli=30_000)),)
    assert pool.modifiers == Modifiers(
        formula="(queue + backlog) / cases",
        target_milli=5000,
        activation_milli=2000,
        metric_type=TargetType.VALUE,
    )
    assert pool.modifiers.target == ValueTarget(milli=5000)


def test_a_formula_is_compared_per_replica_unless_it_says_otherwise(
    fleet: dict[str, Any], dump: Dump
) -> None:
    fleet["pools"][0]["modifiers"] = {"formula": "queue", "target": 5}
    (pool,) = parse(dump(fleet), "fleet.yaml").fleet.pools
    assert pool.modifiers is not None
    assert pool.modifiers.target == AverageValueTarget(milli=5000)


def test_a_signal_is_known_in_its_own_pool_only(complaints: Complain) -> None:
    other = (
        "  - {name: b, tenant: acme, queue: {stream: S, consumer: d}, replicas: {max: 9}, "
        f"{external('backlog')}}}\n"
    )
    (line,) = complaints(pool("slots: 1") + other)
    assert 'pools[1].metrics[0].external.metric.name: no signal is called "backlog"' in line


def test_a_query_needs_a_server_to_ask(complaints: Complain) -> None:
    (line,) = complaints(pool("slots: 1").replace("prometheus: {url: http://prometheus:9090}", ""))
    assert line == (
        "fleet.yaml:7:26: pools[0].signals.backlog.prometheus: no Prometheus server is named: "
        "write prometheus: {url: ...}"
    )
