"""The controller's own metrics, from the latest snapshot: the series of a removed pool end."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from controller.model.ids import PoolKey
from controller.model.observation import PoolObservation
from controller.model.readings import Fresh, last_known
from controller.model.snapshot import INVALID_FILE, LinkState, PoolView, Role, Snapshot

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


# each family with its help text; the names of counters are without `_total`
_TABLE: Final = """
counter agent_scale_events Changes of spec.replicas that were written.
counter agentdash_ticks Passes over the whole fleet.
counter agentdash_late_ticks Ticks that were skipped because one took longer than the interval.
counter agentdash_failed_writes Writes to the cluster that were not applied.
counter agentdash_source_failures Readings that failed, or requests that the source left unanswered.
gauge agentdash_tick_duration_seconds How long the last tick took from observing to publishing.
gauge agentdash_leader 1 while this process holds the lease, 0 while another one does.
gauge agentdash_frozen 1 while a kill switch stops every write of this process, else 0.
gauge agentdash_fleet_file_valid 1 while the fleet file has no fault, else 0: then the last good one
    stays in force.
gauge agentdash_pool_demand_replicas Replicas that the work asks for, before any limit.
gauge agentdash_pool_recommendation_replicas Replicas that the pool's own rule recommends.
gauge agentdash_pool_target_replicas Replicas that the pool should have.
gauge agentdash_pool_next_replicas Replicas that are set now, after steps and gates.
gauge agentdash_pool_ready_replicas Replicas that are ready.
gauge agentdash_pool_bound 1 for the rule that decided the pool's target.
gauge agentdash_pool_gate 1 for the gate that holds the pool away from its target; no series where
    none does.
gauge nats_consumer_pending Messages that are not delivered yet.
gauge nats_consumer_ack_pending Messages that are delivered and not acknowledged yet.
gauge agentdash_queue_reading_blind 1 where the pool's queue cannot be read now, else 0.
gauge agentdash_queue_reading_age_seconds Age of the last good reading of the pool's queue.
gauge agentdash_queue_oldest_seconds How long the oldest message has waited, since it was seen.
counter agentdash_day_tokens Tokens that a tenant with a daily budget used since its day began.
gauge agentdash_day_tokens_left Tokens of the tenant's day that are not used.
gauge agentdash_day_tokens_budget Tokens that the tenant may use in a day.
gauge agentdash_usd_per_hour What the targets of a tenant's pools cost at work.
gauge agentdash_usd_per_hour_limit What they may cost.
gauge agentdash_model_calls_per_minute Calls of a model, as workers report; `tenant` is empty where
    the provider's limits are shared.
gauge agentdash_model_refused_per_minute Those that its provider refused (429).
gauge agentdash_source_up 1 while the source is connected, else 0.
gauge agentdash_source_age_seconds Time since the source's last answer.
counter agentdash_spent_usd What the calls of a tenant to a model have cost since its month began.
gauge agentdash_finding 1 for each thing that deserves attention: a pool, tenant or link, and what
    of it.
"""


class Family(NamedTuple):
    """A metric family; `words` is its help. A counter's samples end in `_total`."""

    kind: str
    name: str
    words: str

    @property
    def sample_name(self) -> str:
        """The name of its samples."""
        return f"{self.name}_total" if self.kind == "counter" else self.name

    def line(self, value: float, labels: str = "") -> str:
        """The line of one sample; `labels` is made by `label_text`."""
        return f"{self.sample_name}{labels} {_number(value)}\n"

    def text(self, lines: Iterable[str], *, openmetrics: bool) -> str:
        """The whole family. In OpenMetrics a counter's name in HELP and TYPE has no `_total`."""
        name = self.name if openmetrics else self.sample_name
        return f"# HELP {name} {self.words}\n# TYPE {name} {self.kind}\n{''.join(lines)}"


_ENTRIES: Final = _TABLE.replace("\n    ", " ").strip().splitlines()
_FAMILIES: Final = {each.name: each for each in (Family(*row.split(" ", 2)) for row in _ENTRIES)}


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
_PENDING, _IN_FLIGHT = _FAMILIES["nats_consumer_pending"], _FAMILIES["nats_consumer_ack_pending"]
_BOUND, _GATE = _FAMILIES["agentdash_pool_bound"], _FAMILIES["agentdash_pool_gate"]
_QUEUE_AGE: Final = _FAMILIES["agentdash_queue_reading_age_seconds"]
_OF_POOLS: Final = (
    *(
        _FAMILIES[f"agentdash_pool_{name}_replicas"]
        for name in ("demand", "recommendation", "target", "next")
    ),
    _BOUND,
    _GATE,
    _FAMILIES["agentdash_pool_ready_replicas"],
    _PENDING,
    _IN_FLIGHT,
    _FAMILIES["agentdash_queue_reading_blind"],
)
"""Families with a line for each pool, which depends only on the pool's view."""
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
        """The families as text, all or those in `names`, without OpenMetrics' end mark."""
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
        yield _oldest(snapshot)
        yield from _of_tenants(snapshot)
        yield from _of_models(snapshot)
        yield from _of_links(snapshot)
        yield _spent(snapshot)
        yield _of_findings(snapshot)

    def _scale_events(self) -> _Rendered:
        counts = {
            label_text(**_names_of(pool), direction=direction, trigger=trigger): count
            for (pool, direction, trigger), count in self._scaled().items()
        }
        return _samples("agent_scale_events", counts)

    def _pool_lines(self, snapshot: Snapshot) -> Sequence[_PoolLines]:
        kept, self._kept = self._kept, {}
        for view in snapshot.pools:
            known = kept.get(view.key)
            if known is None or known.view is not view:
                known = _lines_of(view, known)
            self._kept[view.key] = known
        return list(self._kept.values())


def _samples(name: str, values: float | Mapping[str, float]) -> _Rendered:
    """A family with one value, or with values by their labels."""
    family = _FAMILIES[name]
    each = values if isinstance(values, Mapping) else {"": values}
    return family, [family.line(value, labels) for labels, value in each.items()]


def _names_of(pool: PoolKey) -> dict[str, str]:
    tenant, _, name = pool.partition("/")
    return {"tenant": tenant, "pool": name}


def _lines_of(view: PoolView, known: _PoolLines | None) -> _PoolLines:
    """The lines of a pool; lines with unchanged values are taken from `known`."""
    if known is None or known.view.queues != view.queues:
        queues = (label_text(stream=each.stream, consumer=each.consumer) for each in view.queues)
        nothing = (None,) * len(_OF_POOLS), ("",) * len(_OF_POOLS)
        known = _PoolLines(view, label_text(**_names_of(view.key)), tuple(queues), *nothing)
    values, lines = _values(view), list(known.lines)
    if values == known.values:
        return known._replace(view=view)
    for number, (value, before) in enumerate(zip(values, known.values, strict=True)):
        if value != before:
            lines[number] = _line(_OF_POOLS[number], value, known)
    return known._replace(view=view, values=values, lines=tuple(lines))


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
        *(_depths(view.observation) if view.queues else ((), ())),
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
    if isinstance(value, str):  # the first label in sorted order
        name = "bound" if family is _BOUND else "gate"
        return family.line(1, f'{{{name}="{value}",{of.labels[1:]}')
    is_of_queue = family in {_PENDING, _IN_FLIGHT}
    return family.line(value, of.queue_labels[0] if is_of_queue else of.labels)


def _queue_ages(pools: Iterable[_PoolLines], now: float) -> Iterator[str]:
    for each in pools:
        reading = each.view.observation.queue
        if last_known(reading) is not None:
            # a fresh reading was confirmed in the latest tick, even if its `at` is older
            age_s = 0.0 if isinstance(reading, Fresh) else max(0.0, now - reading.at)
            yield _QUEUE_AGE.line(age_s, each.labels)


def _of_loop(snapshot: Snapshot) -> Iterator[_Rendered]:
    stats = snapshot.loop
    yield _samples("agentdash_ticks", stats.ticks)
    yield _samples("agentdash_late_ticks", stats.late_ticks)
    yield _samples("agentdash_failed_writes", stats.failed_writes)
    failures = {label_text(source=source): count for source, count in stats.failures}
    yield _samples("agentdash_source_failures", failures)
    yield _samples("agentdash_tick_duration_seconds", stats.last_tick_s)
    is_valid = all(each.kind != INVALID_FILE for each in snapshot.findings)
    yield _samples("agentdash_fleet_file_valid", int(is_valid))
    yield _samples("agentdash_frozen", int(bool(snapshot.frozen_by)))
    if snapshot.role in _ROLES_WITH_LEASE:
        yield _samples("agentdash_leader", int(snapshot.role is Role.LEADER))


def _of_links(snapshot: Snapshot) -> Iterator[_Rendered]:
    labels = {label_text(source=link.name): link for link in snapshot.links}
    up = {label: int(link.state is LinkState.CONNECTED) for label, link in labels.items()}
    yield _samples("agentdash_source_up", up)
    ages = {
        label: max(0.0, snapshot.at - link.last_good_at)
        for label, link in labels.items()
        if link.last_good_at is not None
    }
    yield _samples("agentdash_source_age_seconds", ages)


def _oldest(snapshot: Snapshot) -> _Rendered:
    """The age of each pool's oldest message, in whichever of its queues."""
    oldest: dict[PoolKey, float] = {}
    for each in snapshot.queues:
        if each.oldest_at is not None:
            oldest[each.pool] = min(each.oldest_at, oldest.get(each.pool, each.oldest_at))
    return _samples(
        "agentdash_queue_oldest_seconds",
        {label_text(**_names_of(pool)): max(0.0, snapshot.at - at) for pool, at in oldest.items()},
    )


def _of_tenants(snapshot: Snapshot) -> Iterator[_Rendered]:
    """Budgets; the tokens begin anew with each day, as a counter does whose process begins anew."""
    tokens = {each.name: each.tokens for each in snapshot.tenants if each.tokens is not None}
    used = {name: each.used for name, each in tokens.items() if each.used is not None}
    left = {name: max(0, tokens[name].cap - much) for name, much in used.items()}
    yield _by_tenant("agentdash_day_tokens", used)
    yield _by_tenant("agentdash_day_tokens_left", left)
    yield _by_tenant("agentdash_day_tokens_budget", {name: t.cap for name, t in tokens.items()})
    yield _by_tenant(
        "agentdash_usd_per_hour", {each.name: each.usd_per_hour for each in snapshot.tenants}
    )
    yield _by_tenant(
        "agentdash_usd_per_hour_limit", {each.name: each.usd_limit for each in snapshot.tenants}
    )


def _by_tenant(name: str, values: Mapping[str, float | None]) -> _Rendered:
    known = {label_text(tenant=key): each for key, each in values.items() if each is not None}
    return _samples(name, known)


def _of_models(snapshot: Snapshot) -> Iterator[_Rendered]:
    made: dict[str, float] = {}
    refused: dict[str, float] = {}
    for each in snapshot.models:
        labels = label_text(model=each.model, tenant=each.tenant)
        if each.calls_per_minute is not None:
            made[labels] = each.calls_per_minute
        if each.refused_calls_per_minute is not None:
            refused[labels] = each.refused_calls_per_minute
    yield _samples("agentdash_model_calls_per_minute", made)
    yield _samples("agentdash_model_refused_per_minute", refused)


def _spent(snapshot: Snapshot) -> _Rendered:
    """It begins anew with each month, as a counter does whose process begins anew."""
    months = {each.name: each.by_model.month for each in snapshot.tenants if each.by_model}
    usd = {
        label_text(tenant=tenant, model=model): usd
        for tenant, month in months.items()
        if month is not None
        for model, usd in month.by_model.items()
    }
    return _samples("agentdash_spent_usd", usd)


def _of_findings(snapshot: Snapshot) -> _Rendered:
    """A series for each finding; those of one severity, subject and kind are one."""
    found = {(each.severity.value, each.subject, each.kind) for each in snapshot.findings}
    series = {
        label_text(severity=severity, subject=subject, kind=kind): 1
        for severity, subject, kind in sorted(found)
    }
    return _samples("agentdash_finding", series)
