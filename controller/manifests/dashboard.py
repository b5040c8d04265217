"""The Grafana dashboard of a fleet, as the JSON that Grafana imports."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from controller.manifests.dockerfile import NAME

_POOL: Final = '{tenant=~"$tenant",pool=~"$pool"}'
_ROLE: Final = '{role=~"$pool"}'
_OF_POOL: Final = "{{tenant}}/{{pool}}"
_HEIGHT: Final = 8
_WIDTH: Final = 12
_COLUMNS: Final = 2
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


class Query(NamedTuple):
    """A PromQL expression and how its lines are called; in both, `$tenant` and `$pool` are what a
    person has chosen.
    """

    expr: str
    legend: str


class Chart(NamedTuple):
    """One chart; `unit` is one of Grafana's names of units."""

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]


def _by_pool(metric: str, legend: str = _OF_POOL) -> Query:
    """The metric as the controllers have it: they agree, so the largest is as good as any."""
    return Query(f"max by (tenant, pool) ({metric}{_POOL})", legend)


PANELS: Final = (
    Chart(
        "Replicas ready",
        "Replicas that are ready.",
        "short",
        (_by_pool("agentdash_pool_ready_replicas"),),
    ),
    Chart(
        "Demand, target and what is set",
        "What the work asks for, what the pool should have, and what is set after steps and gates.",
        "short",
        (
            _by_pool("agentdash_pool_demand_replicas", f"{_OF_POOL} demand"),
            _by_pool("agentdash_pool_target_replicas", f"{_OF_POOL} target"),
            _by_pool("agentdash_pool_next_replicas", f"{_OF_POOL} set"),
        ),
    ),
    Chart(
        "Messages that wait",
        "Messages that are not delivered yet.",
        "short",
        (
            Query(
                "max by (stream, consumer) (nats_consumer_pending)",
                "{{stream}}/{{consumer}}",
            ),
        ),
    ),
    Chart(
        "Messages in work",
        "Messages that are delivered and not acknowledged yet.",
        "short",
        (
            Query(
                "max by (stream, consumer) (nats_consumer_ack_pending)",
                "{{stream}}/{{consumer}}",
            ),
        ),
    ),
    Chart(
        "Scale events an hour",
        "Changes of spec.replicas that were written, by direction and what led to them.",
        "short",
        (
            Query(
                f"sum by (direction, trigger) (increase(agent_scale_events_total{_POOL}[1h]))",
                "{{direction}} {{trigger}}",
            ),
        ),
    ),
    Chart(
        "What decides the targets",
        "Pools by the rule that decided their target, and by the gate that holds them.",
        "short",
        (
            Query(
                f"count by (bound) (max by (tenant, pool, bound) (agentdash_pool_bound{_POOL}))",
                "{{bound}}",
            ),
            Query(
                f"count by (gate) (max by (tenant, pool, gate) (agentdash_pool_gate{_POOL}))",
                "gate {{gate}}",
            ),
        ),
    ),
    Chart(
        "Tasks a minute",
        "Tasks that ended, by how, as the workers count them.",
        "short",
        (
            Query(
                f"sum by (role, status) (rate(agent_tasks_total{_ROLE}[$__rate_interval])) * 60",
                "{{role}} {{status}}",
            ),
        ),
    ),
    Chart(
        "Tokens a minute",
        "Tokens that agents used, as the workers count them.",
        "short",
        (
            Query(
                "sum by (tenant, model) (rate("
                'agent_tokens_consumed_total{tenant=~"$tenant"}[$__rate_interval])) * 60',
                "{{tenant}} {{model}}",
            ),
        ),
    ),
    Chart(
        "Duration of tries, 95th percentile",
        "How long a try at a task takes.",
        "s",
        (
            Query(
                "histogram_quantile(0.95, sum by (role, le) "
                f"(rate(agent_session_duration_seconds_bucket{_ROLE}[$__rate_interval])))",
                "{{role}}",
            ),
        ),
    ),
    Chart(
        "Sources",
        "1 while a controller is connected, else 0.",
        "short",
        (Query("min by (source) (agentdash_source_up)", "{{source}}"),),
    ),
    Chart(
        "Length of a tick",
        "From observing to publishing, of each controller.",
        "s",
        (Query("agentdash_tick_duration_seconds", "{{instance}}"),),
    ),
    Chart(
        "Findings",
        "Things that deserve attention.",
        "short",
        (
            Query(
                "count by (severity, kind) (max by (severity, subject, kind) (agentdash_finding))",
                "{{severity}} {{kind}}",
            ),
        ),
    ),
)


def dashboard() -> str:
    """The dashboard as text, always the same. The person who imports it chooses the Prometheus."""
    return json.dumps(
        {
            "uid": NAME,
            "title": NAME,
            "tags": [NAME],
            "schemaVersion": 39,
            "refresh": "15s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": _variables()},
            "panels": [_panel(number, each) for number, each in enumerate(PANELS)],
        },
        indent=2,
    )


def _variables() -> list[dict[str, Any]]:
    source = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    tenants = "label_values(agentdash_pool_ready_replicas, tenant)"
    pools = 'label_values(agentdash_pool_ready_replicas{tenant=~"$tenant"}, pool)'
    return [source, _choice("tenant", tenants), _choice("pool", pools)]


def _choice(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panel(number: int, panel: Chart) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": _DATASOURCE,
        "gridPos": {
            "x": column * _WIDTH,
            "y": row * _HEIGHT,
            "w": _WIDTH,
            "h": _HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
            }
            for place, query in enumerate(panel.queries)
        ],
    }
