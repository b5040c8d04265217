"""The alert rules for Prometheus: what a person should look at, and what to do."""

from __future__ import annotations

from typing import Final, NamedTuple

from controller.manifests.dockerfile import NAME, Installation, metadata
from controller.manifests.yaml_text import Json, Manifest, stream
from controller.model.snapshot import Severity

_CRITICAL: Final = Severity.CRITICAL.value
_WARNING: Final = Severity.WARNING.value
_FLEET: Final = "by (namespace, job)"
_POOL: Final = "by (namespace, job, tenant, pool)"


class Alert(NamedTuple):
    """One rule: it fires when `expr` has had a result for `lasts`. `what` and `todo` are sentences;
    they may use the labels of the result.
    """

    name: str
    expr: str
    lasts: str
    severity: str
    what: str
    todo: str


ALERTS: Final = (
    Alert(
        "AgentdashAbsent",
        "absent(agentdash_ticks_total)",
        "2m",
        _CRITICAL,
        "Prometheus gets no metrics from any controller.",
        "Look whether agentdash's pods run and whether Prometheus may reach their port.",
    ),
    Alert(
        "AgentdashStopped",
        f"sum {_FLEET} (rate(agentdash_ticks_total[2m])) == 0",
        "2m",
        _CRITICAL,
        "No controller of {{ $labels.namespace }}/{{ $labels.job }} ticks, so nothing is scaled.",
        "Read /healthz and the log of its pods.",
    ),
    Alert(
        "AgentdashNoLeader",
        f"sum {_FLEET} (agentdash_leader) == 0",
        "2m",
        _CRITICAL,
        "No controller of {{ $labels.namespace }}/{{ $labels.job }} holds the lease, so nothing "
        "is scaled.",
        "agentdash doctor says whether the lease can be read and written.",
    ),
    Alert(
        "AgentdashTwoLeaders",
        f"sum {_FLEET} (agentdash_leader) > 1",
        "1m",
        _CRITICAL,
        "{{ $value }} controllers of {{ $labels.namespace }}/{{ $labels.job }} believe that they "
        "lead.",
        "Give all controllers of a fleet the same controller.lease; stop those that have another.",
    ),
    Alert(
        "AgentdashSourceDown",
        "min by (namespace, job, source) (agentdash_source_up) == 0",
        "2m",
        _CRITICAL,
        "A controller of {{ $labels.namespace }}/{{ $labels.job }} does not reach "
        "{{ $labels.source }}.",
        "If it leads, pools keep their size meanwhile. /readyz says why.",
    ),
    Alert(
        "AgentdashQueueBlind",
        f"max {_POOL} (agentdash_queue_reading_blind) == 1",
        "5m",
        _WARNING,
        "The queue of {{ $labels.tenant }}/{{ $labels.pool }} cannot be read.",
        "The pool is not scaled down meanwhile. agentdash doctor names a stream or a consumer "
        "that is missing.",
    ),
    Alert(
        "AgentdashWritesFail",
        f"sum {_FLEET} (increase(agentdash_failed_writes_total[10m])) > 0",
        "10m",
        _WARNING,
        "Writes to the cluster fail in {{ $labels.namespace }}/{{ $labels.job }}.",
        "The scale events of the dashboard say which and why; agentdash doctor checks the rights.",
    ),
    Alert(
        "AgentdashFleetFileInvalid",
        f"min {_FLEET} (agentdash_fleet_file_valid) == 0",
        "5m",
        _WARNING,
        "The fleet file of {{ $labels.namespace }}/{{ $labels.job }} has a fault; the last good "
        "one stays in force.",
        "The controller's log has the line and the column of each mistake.",
    ),
    Alert(
        "AgentdashFrozen",
        f"max {_FLEET} (agentdash_frozen) == 1",
        "1h",
        _WARNING,
        "A kill switch has stopped every write of {{ $labels.namespace }}/{{ $labels.job }} for "
        "an hour.",
        "Remove the freeze file or send SIGUSR2 if it was forgotten.",
    ),
    Alert(
        "AgentdashLateTicks",
        f"max {_FLEET} (increase(agentdash_late_ticks_total[15m])) > 15",
        "15m",
        _WARNING,
        "Ticks take longer than the interval, so decisions come late.",
        "Give the controller more CPU, or set a longer controller.interval.",
    ),
    Alert(
        "AgentdashNotReady",
        f"max {_POOL} (agentdash_pool_next_replicas) > max {_POOL} (agentdash_pool_ready_replicas)",
        "15m",
        _WARNING,
        "Replicas of {{ $labels.tenant }}/{{ $labels.pool }} are set and do not become ready.",
        "`:pods` in the dashboard says why each pod waits.",
    ),
    Alert(
        "AgentdashContested",
        'max by (namespace, job, subject) (agentdash_finding{kind=~"contested|set_back"}) == 1',
        "5m",
        _WARNING,
        "Something else sets the size of {{ $labels.subject }}.",
        "The finding names the writer and what to do; `:why` shows it.",
    ),
    Alert(
        "AgentdashMessagesWait",
        'max by (namespace, job, subject) (agentdash_finding{kind="waits"}) == 1',
        "5m",
        _WARNING,
        "Messages of {{ $labels.subject }} wait longer than the pool's aim.",
        "`:why` shows the rule that limits the pool.",
    ),
)


def rule_file() -> str:
    """The rules as a file for `rule_files:` of Prometheus."""
    about = "Alert rules for agentdash: a file for rule_files of Prometheus."
    return stream([Manifest(about, {"groups": [_group()]})])


def prometheus_rule(options: Installation) -> Manifest:
    """The same rules as the Prometheus operator reads them."""
    return Manifest(
        "Alerts, for the Prometheus operator.",
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": metadata(NAME, options.namespace),
            "spec": {"groups": [_group()]},
        },
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
