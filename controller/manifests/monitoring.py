"""What watches agentdash: alert rules for Prometheus (what to look at, and what to do), and
the Grafana dashboard of a fleet, as the JSON that Grafana imports.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from controller.manifests.objects import NAME, Installation, Json, Manifest, an_object, stream

_SHORT: Final = {
    "@by_pool": "by (namespace, job, tenant, pool)",
    "@by_fleet": "by (namespace, job)",
    "@fleet": "{{ $labels.namespace }}/{{ $labels.job }}",
    "@pool": "{{ $labels.tenant }}/{{ $labels.pool }}",
    "@chosen": '{tenant=~"$tenant",pool=~"$pool"}',
    "@role": '{tenant=~"$tenant",role=~"$pool"}',
    "@by_tenant": "by (namespace, job, tenant)",
    "@each": "{{tenant}}/{{pool}}",
}


def _blocks(text: str) -> Iterator[list[str]]:
    """The lines of each block of a table; a line that is indented goes on with the one before."""
    for short, long in _SHORT.items():
        text = text.replace(short, long)
    for block in text.strip().split("\n\n"):
        first, *rest = block.replace("\n  ", " ").splitlines()
        yield [*first.split(" | "), *rest]


class Alert(NamedTuple):
    """A rule fires when `expr` gave a result for `lasts`; `what` and `todo` may use labels."""

    name: str
    expr: str
    lasts: str
    severity: str
    what: str
    todo: str


# name | for how long | severity, the expression, what is so, what to do
_ALERTS: Final = """
AgentdashAbsent | 2m | critical
absent(agentdash_ticks_total)
Prometheus gets no metrics from any controller.
Look whether agentdash's pods run and whether Prometheus may reach their port.

AgentdashStopped | 2m | critical
sum @by_fleet (rate(agentdash_ticks_total[2m])) == 0
No controller of @fleet ticks, so nothing is scaled.
Read /healthz and the log of its pods.

AgentdashNoLeader | 2m | critical
sum @by_fleet (agentdash_leader) == 0
No controller of @fleet holds the lease, so nothing is scaled.
agentdash doctor says whether the lease can be read and written.

AgentdashTwoLeaders | 1m | critical
sum @by_fleet (agentdash_leader) > 1
{{ $value }} controllers of @fleet believe that they lead.
Give all controllers of a fleet the same controller.lease; stop those that have another.

AgentdashSourceDown | 2m | critical
min by (namespace, job, source) (agentdash_source_up) == 0
A controller of @fleet does not reach {{ $labels.source }}.
If it leads, pools keep their size meanwhile. /readyz says why.

AgentdashQueueBlind | 5m | warning
max @by_pool (agentdash_queue_reading_blind) == 1
The queue of @pool cannot be read.
The pool is not scaled down meanwhile. agentdash doctor names a stream or a consumer that is
  missing.

AgentdashWritesFail | 10m | warning
sum @by_fleet (increase(agentdash_failed_writes_total[10m])) > 0
Writes to the cluster fail in @fleet.
The scale events of the dashboard say which and why; agentdash doctor checks the rights.

AgentdashFleetFileInvalid | 5m | warning
min @by_fleet (agentdash_fleet_file_valid) == 0
The fleet file of @fleet has a fault; the last good one stays in force.
The controller's log has the line and the column of each mistake.

AgentdashFrozen | 1h | warning
max @by_fleet (agentdash_frozen) == 1
A kill switch has stopped every write of @fleet for an hour.
Remove the freeze file or send SIGUSR2 if it was forgotten.

AgentdashLateTicks | 15m | warning
max @by_fleet (increase(agentdash_late_ticks_total[15m])) > 15
Ticks take longer than the interval, so decisions come late.
Give the controller more CPU, or set a longer controller.interval.

AgentdashNotReady | 15m | warning
max @by_pool (agentdash_pool_next_replicas) > max @by_pool (agentdash_pool_ready_replicas)
Replicas of @pool are set and do not become ready.
`:pods` in the dashboard says why each pod waits.

AgentdashContested | 5m | warning
max by (namespace, job, subject) (agentdash_finding{kind=~"contested|set_back"}) == 1
Something else sets the size of {{ $labels.subject }}.
The finding names the writer and what to do; `:why` shows it.

AgentdashMessagesWait | 5m | warning
max by (namespace, job, subject) (agentdash_finding{kind="waits"}) == 1
Messages of {{ $labels.subject }} wait longer than the pool's aim.
`:why` shows the rule that limits the pool.

AgentdashBudgetBurnsFast | 2m | critical
min @by_tenant (rate(agentdash_day_tokens_total[1h])) * 86400 > 6 * max @by_tenant
  (agentdash_day_tokens_budget) and min @by_tenant (rate(agentdash_day_tokens_total[5m])) * 86400
  > 6 * max @by_tenant (agentdash_day_tokens_budget)
{{ $labels.tenant }} uses a day's tokens in less than four hours.
`:tenants` shows when nothing is left; agentdash cap or pause holds a pool that runs away.

AgentdashBudgetBurns | 15m | warning
min @by_tenant (rate(agentdash_day_tokens_total[6h])) * 86400 > 2 * max @by_tenant
  (agentdash_day_tokens_budget) and min @by_tenant (rate(agentdash_day_tokens_total[30m])) * 86400
  > 2 * max @by_tenant (agentdash_day_tokens_budget)
{{ $labels.tenant }} uses a day's tokens in less than half a day.
`:tenants` shows when nothing is left; raise budget.tokens_per_day or lower replicas.max.

AgentdashCallsRefused | 10m | warning
max by (namespace, job, model, tenant) (agentdash_model_refused_per_minute) > 0.02 * max by
  (namespace, job, model, tenant) (agentdash_model_calls_per_minute)
The provider refuses more than 2 % of the calls of {{ $labels.model }} (429).
Something else uses the same limit, or the fleet file's is too high; `:models` shows both.

AgentdashOldestWaits | 5m | warning
max @by_pool (agentdash_queue_oldest_seconds) > 900
The oldest message of @pool waits longer than 15 minutes.
`:why` shows the rule that limits the pool; `:tasks` the message.

AgentdashDeadLetters | 0m | warning
sum by (tenant, role) (increase(agent_tasks_total{status="dead"}[15m])) > 0
Tasks of {{ $labels.tenant }}/{{ $labels.role }} are dead letters: all their tries failed.
agentdash tasks --state dead says why; agentdash dead retry gives them again.
"""
ALERTS: Final = tuple(
    Alert(name, expr, lasts, severity, what, todo)
    for name, lasts, severity, expr, what, todo in _blocks(_ALERTS)
)


def rule_file() -> str:
    """The rules as a file for `rule_files:` of Prometheus."""
    about = "Alert rules for agentdash: a file for rule_files of Prometheus."
    return stream([Manifest(about, {"groups": [_group()]})])


def prometheus_rule(options: Installation) -> Manifest:
    """The same rules as the Prometheus operator reads them."""
    return an_object(
        "Alerts, for the Prometheus operator.",
        "PrometheusRule",
        options.namespace,
        spec={"groups": [_group()]},
    )


def _group() -> Json:
    return {
        "name": NAME,
        "rules": [
            {
                "alert": each.name,
                "expr": each.expr,
                "for": each.lasts,
                "labels": {"severity": each.severity},
                "annotations": {"summary": each.what, "description": each.todo},
            }
            for each in ALERTS
        ],
    }


_HEIGHT: Final = 8
_WIDTH: Final = 12
_COLUMNS: Final = 2
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


class Query(NamedTuple):
    """A PromQL expression and its lines' names, with a person's `$tenant` and `$pool`."""

    expr: str
    legend: str


class Chart(NamedTuple):
    """One chart; `unit` is one of Grafana's names of units."""

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]


# title | unit, what it shows, then by turns an expression and how its lines are called. Controllers
# agree, so that the largest is as good as any.
_PANELS: Final = """
Replicas ready | short
Replicas that are ready.
max by (tenant, pool) (agentdash_pool_ready_replicas@chosen)
@each

Demand, target and what is set | short
What the work asks for, what the pool should have, and what is set after steps and gates.
max by (tenant, pool) (agentdash_pool_demand_replicas@chosen)
@each demand
max by (tenant, pool) (agentdash_pool_target_replicas@chosen)
@each target
max by (tenant, pool) (agentdash_pool_next_replicas@chosen)
@each set

Messages that wait | short
Messages that are not delivered yet.
max by (stream, consumer) (nats_consumer_pending)
{{stream}}/{{consumer}}

Messages in work | short
Messages that are delivered and not acknowledged yet.
max by (stream, consumer) (nats_consumer_ack_pending)
{{stream}}/{{consumer}}

Scale events an hour | short
Changes of spec.replicas that were written, by direction and what led to them.
sum by (direction, trigger) (increase(agent_scale_events_total@chosen[1h]))
{{direction}} {{trigger}}

What decides the targets | short
Pools by the rule that decided their target, and by the gate that holds them.
count by (bound) (max by (tenant, pool, bound) (agentdash_pool_bound@chosen))
{{bound}}
count by (gate) (max by (tenant, pool, gate) (agentdash_pool_gate@chosen))
gate {{gate}}

Tasks a minute | short
Tasks that ended, by how, as the workers count them.
sum by (tenant, role, status) (rate(agent_tasks_total@role[$__rate_interval])) * 60
{{tenant}}/{{role}} {{status}}

Tokens a minute | short
Tokens that agents used, as the workers count them.
sum by (tenant, model) (rate(agent_tokens_consumed_total{tenant=~"$tenant"}[$__rate_interval])) *
  60
{{tenant}} {{model}}

Tries again, dead letters, handed back | short
Tries that are made again, dead letters, messages that were handed back, in 5 minutes.
sum by (tenant, role) (increase(agent_retries_total@role[5m]))
{{tenant}}/{{role}} again
sum by (tenant, role) (increase(agent_tasks_total{status="dead",tenant=~"$tenant",role=~
  "$pool"}[5m]))
{{tenant}}/{{role}} dead
sum by (tenant, role) (increase(agent_handed_back_total@role[5m]))
{{tenant}}/{{role}} handed back

Oldest message | s
How long the oldest message of each pool has waited.
max by (tenant, pool) (agentdash_queue_oldest_seconds@chosen)
@each

Tokens left of the day | short
Of tenants with a daily budget.
max by (tenant) (agentdash_day_tokens_left{tenant=~"$tenant"})
{{tenant}}

USD an hour | currencyUSD
What the targets of a tenant's pools cost at work.
max by (tenant) (agentdash_usd_per_hour{tenant=~"$tenant"})
{{tenant}}

Calls and refusals a minute | short
Calls of each model, and those that its provider refused (429), as workers report.
max by (model, tenant) (agentdash_model_calls_per_minute)
{{model}} {{tenant}}
max by (model, tenant) (agentdash_model_refused_per_minute)
{{model}} {{tenant}} refused

Router: answers by tier | short
Answers of models that a router chose, by tier and whether they were accepted, in 5 minutes.
sum by (tier, status) (increase(agent_routed_calls_total@role[5m]))
{{tier}} {{status}}

First tries by who took them | short
A pool's own workers and those that stand by, in 5 minutes.
sum by (by) (increase(agent_task_wait_seconds_count@role[5m]))
{{by}}

Duration of tries, 95th percentile | s
How long a try at a task takes.
histogram_quantile(0.95, sum by (tenant, role, le)
  (rate(agent_session_duration_seconds_bucket@role[$__rate_interval])))
{{tenant}}/{{role}}

Sources | short
1 while a controller is connected, else 0.
min by (source) (agentdash_source_up)
{{source}}

Length of a tick | s
From observing to publishing, of each controller.
agentdash_tick_duration_seconds
{{instance}}

Findings | short
Things that deserve attention.
count by (severity, kind) (max by (severity, subject, kind) (agentdash_finding))
{{severity}} {{kind}}
"""
PANELS: Final = tuple(
    Chart(title, about, unit, tuple(map(Query, lines[::2], lines[1::2])))
    for title, unit, about, *lines in _blocks(_PANELS)
)


def dashboard() -> str:
    """The dashboard as text, always the same. The person who imports it chooses the Prometheus."""
    source = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    tenants = "label_values(agentdash_pool_ready_replicas, tenant)"
    pools = 'label_values(agentdash_pool_ready_replicas{tenant=~"$tenant"}, pool)'
    variables = [source, _choice("tenant", tenants), _choice("pool", pools)]
    return json.dumps(
        {
            "uid": NAME,
            "title": NAME,
            "tags": [NAME],
            "schemaVersion": 39,
            "refresh": "15s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": variables},
            "panels": [_panel(number, each) for number, each in enumerate(PANELS)],
        },
        indent=2,
    )


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
