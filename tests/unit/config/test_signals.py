"""Signals: named values from outside, and the metrics and formulas that read them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller.config import parse
from controller.model.fleet import ExternalSeries, PrometheusQuery, Signal
from controller.model.metrics import (
    AverageValueTarget,
    ExternalMetric,
    Modifiers,
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


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (external("backlg"), '"backlg"; did you mean "backlog"?'),
        (external("latency"), 'no signal is called "latency"; there are: backlog, cases, queue'),
        (
            external("backlog", "{}"),
            "selector: backlog is one number, so there is nothing to select",
        ),
        (external("cases", "{matchLabels: {a: b}}"), "write it under signals.cases.external"),
        ("modifiers: {formula: queue + case, target: 1}", 'is called "case"; did you mean "cases"'),
    ],
)
def test_metrics_and_formulas_may_read_only_signals_that_exist(
    complaints: Complain, keys: str, complaint: str
) -> None:
    (line,) = complaints(pool(keys))
    assert line.startswith("fleet.yaml:8:")
    assert complaint in line


def test_a_signal_is_known_in_its_own_pool_only(complaints: Complain) -> None:
    other = (
        "  - {name: b, tenant: acme, queue: {stream: S, consumer: d}, replicas: {max: 9}, "
        f"{external('backlog')}}}\n"
    )
    (line,) = complaints(pool("slots: 1") + other)
    assert 'pools[1].metrics[0].external.metric.name: no signal is called "backlog"' in line


@pytest.mark.parametrize(
    ("formula", "column", "complaint"),
    [
        (
            '"queue +"',
            27,
            '"queue +" cannot be read: a value expected, not the end (at character 8',
        ),
        ("queue ** (2", 27, 'cannot be read: ")" expected, not the end (at character 12)'),
        ("sqrt(queue)", 27, '"sqrt(queue)" cannot be read: unknown function sqrt (at character 1)'),
        ('"max(queue, 1) = 2"', 27, "'=' is not understood (at character 15)"),
        ('"count([queue], {# >})"', 27, "cannot be read: a value expected, not '}' (at charact"),
        ('"any([queue])"', 27, "any needs a predicate in braces"),
    ],
)
def test_a_formula_that_cannot_be_read_is_refused_at_its_position(
    complaints: Complain, formula: str, column: int, complaint: str
) -> None:
    (line,) = complaints(pool(f"modifiers: {{formula: {formula}, target: 1}}"))
    assert line.startswith(f"fleet.yaml:8:{column}: pools[0].modifiers.formula: ")
    assert complaint.replace('")"', "')'") in line


@pytest.mark.parametrize(
    ("signals", "complaint"),
    [
        ("{backlog: {}}", "signals.backlog: give exactly one of prometheus and external"),
        (
            "{backlog: {prometheus: up, external: {name: a}}}",
            "signals.backlog: give exactly one of prometheus and external",
        ),
        ("{backlog: up}", 'must be a mapping, not "up": write {prometheus: "sum(agent_backlog)"}'),
        ("{backlog: {promql: up}}", "signals.backlog.promql: unknown key"),
        ("{backlog: {prometheus: ' '}}", "must be a query of at most 4096 characters"),
        ("{backlog: {external: {}}}", "external.name: is required. The metric's name in that API."),
        ("{queue: {prometheus: up}}", '"queue" has a meaning of its own already'),
        ("{memory: {prometheus: up}}", '"memory" has a meaning of its own already'),
        ("{not: {prometheus: up}}", '"not" has a meaning of its own already'),
        ("{q-depth: {prometheus: up}}", '"q-depth" must be a name for formulas: at most 63'),
        ("{2nd: {prometheus: up}}", '"2nd" must be a name for formulas: at most 63'),
    ],
)
def test_each_problem_of_a_signal_is_reported(
    complaints: Complain, signals: str, complaint: str
) -> None:
    head = POOL.splitlines()[:6]
    text = "\n".join([*head, f"     signals: {signals}}}\n"])
    (line,) = complaints(text)
    assert line.startswith("fleet.yaml:7:")
    assert complaint in line


def test_a_query_needs_a_server_to_ask(complaints: Complain) -> None:
    (line,) = complaints(pool("slots: 1").replace("prometheus: {url: http://prometheus:9090}", ""))
    assert line == (
        "fleet.yaml:7:26: pools[0].signals.backlog.prometheus: no Prometheus server is named: "
        "write prometheus: {url: ...}"
    )


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("prometheus:9090", "must start with http:// or https://"),
        ("http://", "must name a host: http://host:9090"),
        ("http://h:99999", "is not an address: write http://host:9090"),
        ("http://h/?q=secret", "must end after the path: take ? and # out"),
        ("http://ann:hunter2@h", "holds a user or password: take them out"),
    ],
)
def test_the_servers_address_is_checked_and_never_repeated(
    complaints: Complain, url: str, complaint: str
) -> None:
    (line,) = complaints(pool("slots: 1").replace("http://prometheus:9090", f'"{url}"'))
    assert line == f"fleet.yaml:3:19: prometheus.url: {complaint}"


@pytest.mark.parametrize("kind", ["Utilization", "average"])
def test_a_formula_has_no_utilization(complaints: Complain, kind: str) -> None:
    """As KEDA, which refuses Utilization for its composite metric."""
    (line,) = complaints(pool(f"modifiers: {{formula: queue, target: 1, metricType: {kind}}}"))
    assert f'modifiers.metricType: must be "AverageValue" or "Value", not "{kind}"' in line
