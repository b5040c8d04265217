"""The controller's own metrics, collected from the latest snapshot: no series outlives its pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.model.ids import PoolKey
from controller.model.readings import Fresh, last_known
from controller.model.snapshot import LinkState, PoolView, Role, Snapshot

POOL_LABELS: Final = ("tenant", "pool")
QUEUE_LABELS: Final = ("stream", "consumer")
_ROLES_WITH_LEASE: Final = frozenset({Role.LEADER, Role.FOLLOWER})

ScaleCounts = Callable[[], Mapping[tuple[PoolKey, str, str], int]]


class SnapshotCollector(Collector):
    """Turns the newest snapshot into metric families when it is asked to."""

    def __init__(self, latest: Callable[[], Snapshot | None], scaled: ScaleCounts) -> None:
        """`scaled` counts written changes by (pool, direction, trigger) since the process began."""
        self._latest = latest
        self._scaled = scaled

    def collect(self) -> Iterator[Metric]:
        """The families, once for each scrape."""
        yield from self._scale_events()
        snapshot = self._latest()
        if snapshot is None:
            return
        yield from _loop(snapshot)
        yield from _pools(snapshot)
        yield from _queues(snapshot)
        yield from _links(snapshot)
        yield _findings(snapshot)

    def _scale_events(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "agent_scale_events",
            "Changes of spec.replicas that were written.",
            labels=(*POOL_LABELS, "direction", "trigger"),
        )
        for (pool, direction, trigger), count in self._scaled().items():
            tenant, _, name = pool.partition("/")
            family.add_metric((tenant, name, direction, trigger), count)
        yield family


def _loop(snapshot: Snapshot) -> Iterator[Metric]:
    stats = snapshot.loop
    yield CounterMetricFamily(
        "agentdash_ticks", "Passes over the whole fleet.", value=float(stats.ticks)
    )
    yield CounterMetricFamily(
        "agentdash_late_ticks",
        "Slots skipped because a tick took longer than the interval.",
        value=float(stats.late_ticks),
    )
    yield CounterMetricFamily(
        "agentdash_failed_writes",
        "Writes to the cluster that were not applied.",
        value=float(stats.failed_writes),
    )
    failures = CounterMetricFamily(
        "agentdash_source_failures", "Readings that failed.", labels=("source",)
    )
    failures.add_metric(("nats",), float(stats.failed_readings))
    yield failures
    yield GaugeMetricFamily(
        "agentdash_tick_duration_seconds",
        "How long the last tick took from seeing to publishing.",
        value=stats.last_tick_s,
    )
    if snapshot.role in _ROLES_WITH_LEASE:
        yield GaugeMetricFamily(
            "agentdash_leader",
            "1 while this process holds the lease, 0 while another one does.",
            value=float(snapshot.role is Role.LEADER),
        )


def _pools(snapshot: Snapshot) -> Iterator[Metric]:
    numbers: tuple[tuple[str, str, Callable[[PoolView], float | None]], ...] = (
        ("demand", "Replicas the work asks for, before any limit.", _demand),
        ("recommendation", "Replicas the pool's own rule says.", _recommendation),
        ("target", "Replicas the pool should have.", _target),
        ("next", "Replicas set now, after steps and gates.", _next),
        ("ready", "Replicas that are ready.", _ready),
    )
    for name, words, value_of in numbers:
        family = GaugeMetricFamily(f"agentdash_pool_{name}_replicas", words, labels=POOL_LABELS)
        for pool in snapshot.pools:
            value = value_of(pool)
            if value is not None:
                family.add_metric(_pool_labels(pool), value)
        yield family
    bound = GaugeMetricFamily(
        "agentdash_pool_bound",
        "1 for the rule that decided the pool's target.",
        labels=(*POOL_LABELS, "bound"),
    )
    gate = GaugeMetricFamily(
        "agentdash_pool_gate",
        "1 for the gate that holds the pool away from its target; no series where none does.",
        labels=(*POOL_LABELS, "gate"),
    )
    for pool in snapshot.pools:
        if pool.decision is not None:
            bound.add_metric((*_pool_labels(pool), pool.decision.bound.value), 1.0)
            if pool.decision.gate is not None:
                gate.add_metric((*_pool_labels(pool), pool.decision.gate.value), 1.0)
    yield from (bound, gate)


def _queues(snapshot: Snapshot) -> Iterator[Metric]:
    pending = GaugeMetricFamily(
        "nats_consumer_pending", "Messages not delivered yet.", labels=QUEUE_LABELS
    )
    in_flight = GaugeMetricFamily(
        "nats_consumer_ack_pending",
        "Messages delivered and not acknowledged yet.",
        labels=QUEUE_LABELS,
    )
    age = GaugeMetricFamily(
        "agentdash_queue_reading_age_seconds",
        "Age of the last good reading of a pool's queue.",
        labels=POOL_LABELS,
    )
    blind = GaugeMetricFamily(
        "agentdash_queue_reading_blind",
        "1 where a pool's queue cannot be read now.",
        labels=POOL_LABELS,
    )
    for pool in snapshot.pools:
        reading = pool.observation.queue
        depth = last_known(reading)
        blind.add_metric(_pool_labels(pool), float(not isinstance(reading, Fresh)))
        if depth is not None:
            pending.add_metric((pool.stream, pool.consumer), float(depth.pending))
            in_flight.add_metric((pool.stream, pool.consumer), float(depth.in_flight))
            age.add_metric(_pool_labels(pool), max(0.0, snapshot.at - reading.at))
    yield from (pending, in_flight, age, blind)


def _links(snapshot: Snapshot) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "agentdash_source_up", "1 while the source is connected.", labels=("source",)
    )
    age = GaugeMetricFamily(
        "agentdash_source_age_seconds", "Time since the source's last answer.", labels=("source",)
    )
    for link in snapshot.links:
        up.add_metric((link.name,), float(link.state is LinkState.CONNECTED))
        if link.last_good_at is not None:
            age.add_metric((link.name,), max(0.0, snapshot.at - link.last_good_at))
    yield from (up, age)


def _findings(snapshot: Snapshot) -> Metric:
    """What an alert can be made of; a finding that is no more has no series."""
    family = GaugeMetricFamily(
        "agentdash_finding",
        "1 for each thing that deserves attention: a pool, tenant or link, and what of it.",
        labels=("severity", "subject", "kind"),
    )
    # several of one kind are one series: a scrape that says a thing twice is no good
    for labels in {(each.severity.value, each.subject, each.kind) for each in snapshot.findings}:
        family.add_metric(labels, 1.0)
    return family


def _pool_labels(pool: PoolView) -> tuple[str, str]:
    tenant, _, name = pool.key.partition("/")
    return tenant, name


def _number(value: int | None) -> float | None:
    return None if value is None else float(value)


def _demand(pool: PoolView) -> float | None:
    return _number(pool.decision.demand) if pool.decision else None


def _recommendation(pool: PoolView) -> float | None:
    return _number(pool.decision.recommendation) if pool.decision else None


def _target(pool: PoolView) -> float | None:
    return _number(pool.decision.target) if pool.decision else None


def _next(pool: PoolView) -> float | None:
    return _number(pool.decision.next) if pool.decision else None


def _ready(pool: PoolView) -> float | None:
    workload = last_known(pool.observation.workload)
    return None if workload is None else float(workload.ready)
