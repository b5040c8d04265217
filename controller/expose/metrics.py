"""The controller's own metrics, from the latest snapshot: the series of a removed pool end."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from controller.model.ids import PoolKey
from controller.model.observation import PoolObservation
from controller.model.readings import Fresh, last_known
from controller.model.snapshot import INVALID_FILE, LinkState, PoolView, Role, Snapshot

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Family(NamedTuple):
    """A metric family; `words` is its help text. A counter's `sample_name` ends in `_total`, its
    `name` does not.
    """

    name: str
    words: str
    kind: Literal["gauge", "counter"]
    sample_name: str

    def line(self, value: float, labels: str = "") -> str:
        """The line of one sample; `labels` is made by `label_text`."""
        return f"{self.sample_name}{labels} {_number(value)}\n"

    def text(self, lines: Iterable[str], *, openmetrics: bool) -> str:
        """The whole family. In OpenMetrics a counter's name in HELP and TYPE has no `_total`."""
        name = self.name if openmetrics else self.sample_name
        return f"# HELP {name} {self.words}\n# TYPE {name} {self.kind}\n{''.join(lines)}"


def gauge(name: str, words: str) -> Family:
    """A gauge: numbers that may rise and fall."""
    return Family(name, words, "gauge", name)


def counter(name: str, words: str) -> Family:
    """A counter: numbers that only grow while the process runs."""
    return Family(name, words, "counter", f"{name}_total")


def label_text(**labels: str) -> str:
    """The labels of a sample as text, sorted by name."""
    pairs = (f'{name}="{labels[name].translate(_ESCAPES)}"' for name in sorted(labels))
    return f"{{{','.join(pairs)}}}"


def _number(value: float) -> str:
    """A number as text, valid in both formats."""
    if isinstance(value, int):
        return f"{value}.0"
    if math.isfinite(value):
        return repr(value)
    return "NaN" if math.isnan(value) else f"{'+' if value > 0 else '-'}Inf"


_ROLES_WITH_LEASE: Final = frozenset({Role.LEADER, Role.FOLLOWER})
ScaleCounts: TypeAlias = Callable[[], Mapping[tuple[PoolKey, str, str], int]]
_Rendered: TypeAlias = tuple[Family, Iterable[str]]

_SCALE_EVENTS: Final = counter("agent_scale_events", "Changes of spec.replicas that were written.")
_TICKS: Final = counter("agentdash_ticks", "Passes over the whole fleet.")
_LATE_TICKS: Final = counter(
    "agentdash_late_ticks", "Ticks that were skipped because one took longer than the interval."
)
_FAILED_WRITES: Final = counter(
    "agentdash_failed_writes", "Writes to the cluster that were not applied."
)
_FAILED_READINGS: Final = counter(
    "agentdash_source_failures",
    "Readings that failed, or requests that the source left unanswered.",
)
_TICK_DURATION: Final = gauge(
    "agentdash_tick_duration_seconds",
    "How long the last tick took from observing to publishing.",
)
_LEADER: Final = gauge(
    "agentdash_leader", "1 while this process holds the lease, 0 while another one does."
)
_FROZEN: Final = gauge(
    "agentdash_frozen", "1 while a kill switch stops every write of this process, else 0."
)
_FLEET_FILE: Final = gauge(
    "agentdash_fleet_file_valid",
    "1 while the fleet file has no fault, else 0: then the last good one stays in force.",
)
_POOL_DEMAND: Final = gauge(
    "agentdash_pool_demand_replicas", "Replicas that the work asks for, before any limit."
)
_POOL_RECOMMENDATION: Final = gauge(
    "agentdash_pool_recommendation_replicas", "Replicas that the pool's own rule recommends."
)
_POOL_TARGET: Final = gauge("agentdash_pool_target_replicas", "Replicas that the pool should have.")
_POOL_NEXT: Final = gauge(
    "agentdash_pool_next_replicas", "Replicas that are set now, after steps and gates."
)
_POOL_READY: Final = gauge("agentdash_pool_ready_replicas", "Replicas that are ready.")
_POOL_BOUND: Final = gauge("agentdash_pool_bound", "1 for the rule that decided the pool's target.")
_POOL_GATE: Final = gauge(
    "agentdash_pool_gate",
    "1 for the gate that holds the pool away from its target; no series where none does.",
)
_QUEUE_PENDING: Final = gauge("nats_consumer_pending", "Messages that are not delivered yet.")
_QUEUE_IN_FLIGHT: Final = gauge(
    "nats_consumer_ack_pending", "Messages that are delivered and not acknowledged yet."
)
_QUEUE_BLIND: Final = gauge(
    "agentdash_queue_reading_blind", "1 where the pool's queue cannot be read now, else 0."
)
_QUEUE_AGE: Final = gauge(
    "agentdash_queue_reading_age_seconds", "Age of the last good reading of the pool's queue."
)
_SOURCE_UP: Final = gauge("agentdash_source_up", "1 while the source is connected, else 0.")
_SOURCE_AGE: Final = gauge("agentdash_source_age_seconds", "Time since the source's last answer.")
_FINDINGS: Final = gauge(
    "agentdash_finding",
    "1 for each thing that deserves attention: a pool, tenant or link, and what of it.",
)
_OF_POOLS: Final = (
    _POOL_DEMAND,
    _POOL_RECOMMENDATION,
    _POOL_TARGET,
    _POOL_NEXT,
    _POOL_BOUND,
    _POOL_GATE,
    _POOL_READY,
    _QUEUE_PENDING,
    _QUEUE_IN_FLIGHT,
    _QUEUE_BLIND,
)
"""Families with a line for each pool, which depends only on the pool's view."""
_OF_QUEUES: Final = frozenset({_QUEUE_PENDING, _QUEUE_IN_FLIGHT})
_WORD_LABELS: Final = {_POOL_BOUND: "bound", _POOL_GATE: "gate"}


_Value: TypeAlias = int | str | tuple[int | None, ...] | None


class _PoolLines(NamedTuple):
    """One pool's values and lines, in the order of `_OF_POOLS`, with its labels and those of its
    queues. Of several queues the values are one, with a line for each. A value of None has an empty
    line.
    """

    view: PoolView
    labels: str
    queue_labels: tuple[str, ...]
    values: tuple[_Value, ...]
    lines: tuple[str, ...]


class MetricsPage:
    """Renders the newest snapshot. A pool's lines are cached until their values change."""

    def __init__(self, latest: Callable[[], Snapshot | None], scaled: ScaleCounts) -> None:
        """`scaled` counts written changes by (pool, direction, trigger) since the process began."""
        self._latest = latest
        self._scaled = scaled
        self._kept: dict[PoolKey, _PoolLines] = {}

    def text(self, *, openmetrics: bool, names: Collection[str] = ()) -> str:
        """The families as text; only those in `names`, if it is not empty. The caller adds the end
        mark that OpenMetrics requires.
        """
        return "".join(
            family.text(lines, openmetrics=openmetrics)
            for family, lines in self._families()
            if not names or family.name in names or family.sample_name in names
        )

    def _families(self) -> Iterator[_Rendered]:
        yield self._scale_events()
        snapshot = self._latest()
        if snapshot is None:
            return
        yield from _of_loop(snapshot)
        pools = self._pool_lines(snapshot)
        for number, family in enumerate(_OF_POOLS):
            yield family, [each.lines[number] for each in pools]
        yield _QUEUE_AGE, _queue_ages(pools, snapshot.at)
        yield from _of_links(snapshot)
        yield _of_findings(snapshot)

    def _scale_events(self) -> _Rendered:
        lines = []
        for (pool, direction, trigger), count in self._scaled().items():
            tenant, _, name = pool.partition("/")
            labels = label_text(tenant=tenant, pool=name, direction=direction, trigger=trigger)
            lines.append(_SCALE_EVENTS.line(count, labels))
        return _SCALE_EVENTS, lines

    def _pool_lines(self, snapshot: Snapshot) -> Sequence[_PoolLines]:
        kept, self._kept = self._kept, {}
        for view in snapshot.pools:
            known = kept.get(view.key)
            if known is None or known.view is not view:
                known = _lines_of(view, known)
            self._kept[view.key] = known
        return list(self._kept.values())


def _lines_of(view: PoolView, known: _PoolLines | None) -> _PoolLines:
    """The lines of a pool; lines with unchanged values are taken from `known`."""
    if known is None or known.view.queues != view.queues:
        known = _no_lines(view)
    values = _values(view)
    if values == known.values:
        return _PoolLines(view, known.labels, known.queue_labels, values, known.lines)
    lines = list(known.lines)
    for number, (value, before) in enumerate(zip(values, known.values, strict=True)):
        if value != before:
            lines[number] = _line(_OF_POOLS[number], value, known)
    return _PoolLines(view, known.labels, known.queue_labels, values, tuple(lines))


def _no_lines(view: PoolView) -> _PoolLines:
    tenant, _, name = view.key.partition("/")
    return _PoolLines(
        view=view,
        labels=label_text(tenant=tenant, pool=name),
        queue_labels=tuple(
            label_text(stream=each.stream, consumer=each.consumer) for each in view.queues
        ),
        values=(None,) * len(_OF_POOLS),
        lines=("",) * len(_OF_POOLS),
    )


def _values(view: PoolView) -> tuple[_Value, ...]:
    decision, queue = view.decision, view.observation.queue
    workload = last_known(view.observation.workload)
    return (
        *(
            (
                decision.demand,
                decision.recommendation,
                decision.target,
                decision.next,
                decision.bound.value,
                None if decision.gate is None else decision.gate.value,
            )
            if decision
            else (None,) * 6
        ),
        None if workload is None else workload.ready,
        *_depths(view.observation),
        0 if isinstance(queue, Fresh) else 1,
    )


def _depths(seen: PoolObservation) -> tuple[_Value, _Value]:
    """What is pending and what is in flight, in the pool's queue or in each of several."""
    depths = [last_known(reading) for reading in seen.queues or (seen.queue,)]
    pending = tuple(None if each is None else each.pending for each in depths)
    in_flight = tuple(None if each is None else each.in_flight for each in depths)
    return (pending, in_flight) if seen.queues else (pending[0], in_flight[0])


def _line(family: Family, value: _Value, of: _PoolLines) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        each = zip(value, of.queue_labels, strict=False)
        return "".join(family.line(one, labels) for one, labels in each if one is not None)
    if isinstance(value, str):  # `bound` or `gate`, the first label in sorted order
        return family.line(1, f'{{{_WORD_LABELS[family]}="{value}",{of.labels[1:]}')
    return family.line(value, of.queue_labels[0] if family in _OF_QUEUES else of.labels)


def _queue_ages(pools: Iterable[_PoolLines], now: float) -> Iterator[str]:
    for each in pools:
        reading = each.view.observation.queue
        if last_known(reading) is not None:
            # a fresh reading was confirmed in the latest tick, even if its `at` is older
            age_s = 0.0 if isinstance(reading, Fresh) else max(0.0, now - reading.at)
            yield _QUEUE_AGE.line(age_s, each.labels)


def _of_loop(snapshot: Snapshot) -> Iterator[_Rendered]:
    stats = snapshot.loop
    yield _TICKS, [_TICKS.line(stats.ticks)]
    yield _LATE_TICKS, [_LATE_TICKS.line(stats.late_ticks)]
    yield _FAILED_WRITES, [_FAILED_WRITES.line(stats.failed_writes)]
    yield (
        _FAILED_READINGS,
        [
            _FAILED_READINGS.line(count, label_text(source=source))
            for source, count in stats.failures
        ],
    )
    yield _TICK_DURATION, [_TICK_DURATION.line(stats.last_tick_s)]
    is_valid = all(each.kind != INVALID_FILE for each in snapshot.findings)
    yield _FLEET_FILE, [_FLEET_FILE.line(int(is_valid))]
    yield _FROZEN, [_FROZEN.line(int(bool(snapshot.frozen_by)))]
    if snapshot.role in _ROLES_WITH_LEASE:
        yield _LEADER, [_LEADER.line(int(snapshot.role is Role.LEADER))]


def _of_links(snapshot: Snapshot) -> Iterator[_Rendered]:
    labels = {link.name: label_text(source=link.name) for link in snapshot.links}
    yield (
        _SOURCE_UP,
        [
            _SOURCE_UP.line(int(link.state is LinkState.CONNECTED), labels[link.name])
            for link in snapshot.links
        ],
    )
    yield (
        _SOURCE_AGE,
        [
            _SOURCE_AGE.line(max(0.0, snapshot.at - link.last_good_at), labels[link.name])
            for link in snapshot.links
            if link.last_good_at is not None
        ],
    )


def _of_findings(snapshot: Snapshot) -> _Rendered:
    """A series for each finding, for alerts. Findings with the same severity, subject and kind are
    one series, because a scrape must not have a series twice.
    """
    subjects = {(each.severity.value, each.subject, each.kind) for each in snapshot.findings}
    return _FINDINGS, [
        _FINDINGS.line(1, label_text(severity=severity, subject=subject, kind=kind))
        for severity, subject, kind in sorted(subjects)
    ]
