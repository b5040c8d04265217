"""Signals: named values from outside, and the metrics and formulas that read them."""

from __future__ import annotations

from collections.abc import Callable

Complain = Callable[[str], list[str]]

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
