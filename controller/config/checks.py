"""Checks over several entries: names that must exist, values that two pools must not share, keys
that have no effect, and windows of one pool that contradict each other.

They use the plain document, so that a wrong value elsewhere in an entry hides no problem. A key
that can have no effect in this file is a problem: the person who wrote it believes that it does
something. One that may have an effect later, by what is measured or read elsewhere, is a notice. To
put a key of the notices into force, make something act on it and take its line out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import permutations
from math import ceil
from typing import Any, Final

from controller.config.document import Document, KeyPath, Problem, spell
from controller.config.scalars import DAY_MINUTES, DAYS
from controller.config.schema.pools import ScheduleEntry, served_key
from controller.config.schema.tenants import default_tiers
from controller.model.fleet import (
    QUEUE,
    CronWindow,
    ExternalMetric,
    Fleet,
    Pool,
    Rule,
    WeeklyWindow,
)
from controller.model.ids import WorkloadKind
from controller.model.settings import Notice
from controller.model.text import listed, nearest, quote
from controller.notation.cron import read_cron
from controller.notation.formula import FormulaError, read_formula

NO_PRICE: Final = "has no price here or in the maintained table: its cost ceiling does not apply"
NO_READER: Final = "is read by no metric and no formula of this pool: it has no effect"
NO_POOLS: Final = "have no effect: no pool uses this model"
# unknown names for which a similar one is searched: each search takes milliseconds among thousands
_SUGGESTIONS: Final = 20
_Plain = Mapping[str, Any]
_Pools = Sequence[tuple[KeyPath, _Plain]]
"""The pools of a document, each with its path; an empty mapping for one that is no mapping."""
_NameUsed = tuple[KeyPath, object]
"""The place where a name is used, and the name."""
_Claim = tuple[tuple[object, ...], KeyPath]
"""A value that only one pool may have, and the place where a pool has it."""


def problems(document: Document) -> Iterator[Problem]:
    """Names that do not exist, values that two pools must not share, and keys without effect."""
    data = _mapping(document.data)
    pools = [(("pools", index), _mapping(one)) for index, one in enumerate(_list(data, "pools"))]
    tenants, tiers, models = (_mapping(data.get(key)) for key in ("tenants", "tiers", "models"))
    classes = _mapping(_mapping(data.get("capacity")).get("node_classes"))
    if data.get("tiers") is None:
        tiers = default_tiers()
    of_tenants = [(("tenants", name), _mapping(one)) for name, one in tenants.items()]
    yield from _unknown(document, _used(of_tenants, "tier"), "tier", tiers, "tiers")
    yield from _unknown(document, _used(pools, "tenant"), "tenant", tenants, "tenants")
    yield from _unknown(document, _used(pools, "model"), "model", models, "models")
    yield from _unknown(document, _used(pools, "router"), "model", models, "models")
    where = "capacity.node_classes"
    yield from _unknown(document, _used(pools, "nodes"), "node class", classes, where)
    for path, pool in pools:
        yield from _of_signals(document, path, pool, with_server=data.get("prometheus") is not None)
        if pool.get("rule") == Rule.HPA:
            yield from _without_effect(document, path, pool)
    standby = [(("standby", at), _mapping(one)) for at, one in enumerate(_list(data, "standby"))]
    yield from _unknown(document, _used(standby, "tenant"), "tenant", tenants, "tenants")
    yield from _served(document, standby, pools)
    every = [*pools, *standby]
    names = [((pool.get("tenant"), pool.get("name")), (*path, "name")) for path, pool in every]
    yield from _shared(document, names, "another pool is called")
    for kind in WorkloadKind:
        workloads = _workloads(every, tenants, kind)
        yield from _shared(document, workloads, f"another pool scales the {kind}")
    yield from _shared(document, _consumers(pools), "another pool is fed by the consumer")


def _served(document: Document, standby: _Pools, pools: _Pools) -> Iterator[Problem]:
    """Pools of a standby: each exists, is its tenant's unless told, and has one standby."""
    known = {f"{pool.get('tenant')}/{pool.get('name')}" for _, pool in pools}
    claims: list[_Claim] = []
    for path, entry in standby:
        tenant, names = str(entry.get("tenant")), _list(entry, "pools")
        keys = [
            (at, served_key(name, tenant)) for at, name in enumerate(names) if isinstance(name, str)
        ]
        used: list[_NameUsed] = [((*path, "pools", at), str(key)) for at, key in keys]
        yield from _unknown(document, used, "pool", known, "pools")
        claims += [((key,), (*path, "pools", at)) for at, key in keys]
        for at, key in keys:
            if not key.startswith(f"{tenant}/") and entry.get("across_tenants") is not True:
                words = f"is of another tenant: write across_tenants: true, or leave {key} out"
                yield document.problem((*path, "pools", at), words)
    yield from _shared(document, claims, "another standby serves the pool")


def _used(entries: Iterable[tuple[KeyPath, _Plain]], key: str) -> Iterator[_NameUsed]:
    for path, entry in entries:
        written = entry.get(key)
        if isinstance(written, list):
            yield from (((*path, key, index), name) for index, name in enumerate(written))
        else:
            yield (*path, key), written


def _unknown(
    document: Document, names: Iterable[_NameUsed], kind: str, known: Collection[str], where: str
) -> Iterator[Problem]:
    advice: dict[str, str] = {}
    for path, name in names:
        if not isinstance(name, str) or name in known:
            continue
        if name not in advice:
            near = nearest(name, known) if len(advice) < _SUGGESTIONS else ()
            others = f"there are: {listed(sorted(known))}" if known else f"add it to {where}"
            advice[name] = f"did you mean {quote(near[0])}?" if near else others
        yield document.problem(path, f"no {kind} is called {quote(name)}; {advice[name]}")


def _of_signals(
    document: Document, path: KeyPath, pool: _Plain, *, with_server: bool
) -> Iterator[Problem]:
    """Names that are no signal, selectors at signals, queries without a server."""
    signals, metrics = _mapping(pool.get("signals")), list(_external_metrics(path, pool))
    used: list[_NameUsed] = [((*at, "name"), metric.get("name")) for at, metric in metrics]
    used += [((*path, "modifiers", "formula"), name) for name in _formula_names(pool)]
    yield from _unknown(document, used, "signal", {QUEUE, *signals}, "signals")
    for at, metric in metrics:
        name = str(metric.get("name"))
        if metric.get("selector") is not None and name in {QUEUE, *signals}:
            external = "external" in _mapping(signals.get(name))
            advice = f"write it under signals.{name}.external" if external else "take it out"
            message = f"{name} is one number, so there is nothing to select: {advice}"
            yield document.problem((*at, "selector"), message, at_key=True)
    for name, signal in signals.items():
        if not with_server and _mapping(signal).get("prometheus") is not None:
            message = "no Prometheus server is named: write prometheus: {url: ...}"
            yield document.problem((*path, "signals", name, "prometheus"), message, at_key=True)


def _without_effect(document: Document, path: KeyPath, pool: _Plain) -> Iterator[Problem]:
    """Keys without effect for rule hpa, such as an activation beside no queue."""
    if pool.get("native") is not None:
        message = "has no effect under rule hpa: take it out, or write rule: native"
        yield document.problem((*path, "native"), message, at_key=True)
    names = [metric.get("name") for _, metric in _external_metrics(path, pool)]
    reads_queue = pool.get("metrics") is None or QUEUE in (*names, *_formula_names(pool))
    if pool.get("activation") not in (None, 0) and not reads_queue:
        message = "has no effect: the queue is no metric of this pool; take it out"
        yield document.problem((*path, "activation"), message, at_key=True)


def _external_metrics(path: KeyPath, pool: _Plain) -> Iterator[tuple[KeyPath, _Plain]]:
    """The `metric` block of each External metric of a pool, with its path."""
    for index, metric in enumerate(_list(pool, "metrics")):
        if external := _mapping(_mapping(metric).get("external")):
            at = (*path, "metrics", index, "external", "metric")
            yield at, _mapping(external.get("metric"))


def _formula_names(pool: _Plain) -> Sequence[str]:
    """The signals that the formula reads; none if it cannot be read, which the schema reports."""
    formula = _mapping(pool.get("modifiers")).get("formula")
    try:
        return read_formula(formula).names if isinstance(formula, str) else ()
    except FormulaError:
        return ()


def _shared(document: Document, claims: Iterable[_Claim], what: str) -> Iterator[Problem]:
    first: dict[tuple[object, ...], KeyPath] = {}
    for identity, path in claims:
        if not all(isinstance(part, str) for part in identity):
            continue
        if identity in first:
            line = document.position(first[identity]).line
            name = quote("/".join(map(str, identity)))
            yield document.problem(path, f"{what} {name} already (line {line}): give each its own")
        first.setdefault(identity, path)


def _workloads(pools: _Pools, tenants: _Plain, kind: WorkloadKind) -> Iterator[_Claim]:
    """Workloads of this kind; a pool that names none is a Deployment of its own name."""
    names = set[tuple[object, object]]()
    for path, pool in pools:
        tenant, name = str(pool.get("tenant")), pool.get("name")
        namespace = _mapping(tenants.get(tenant)).get("namespace")
        namespace = pool.get("tenant") if namespace is None else namespace
        given = {each: pool.get(each.lower()) for each in WorkloadKind}
        if given[kind] is not None:
            yield (namespace, given[kind]), (*path, kind.lower())
        elif kind is WorkloadKind.DEPLOYMENT and not any(given.values()):
            if (tenant, str(name)) not in names:
                yield (namespace, name), (*path, "name")
            names.add((tenant, str(name)))


def _consumers(pools: _Pools) -> Iterator[_Claim]:
    for path, pool in pools:
        places = [((*path, "queue"), pool.get("queue"))]
        if pool.get("queues") is not None:
            queues = enumerate(_list(pool, "queues"))
            places = [((*path, "queues", number), each) for number, each in queues]
        for place, queue in places:
            names = (_mapping(queue).get("stream"), _mapping(queue).get("consumer"))
            yield names, (*place, "consumer")


def _mapping(value: object) -> _Plain:
    return value if isinstance(value, dict) else {}


def _list(entry: _Plain, key: str) -> Sequence[Any]:
    value = entry.get(key)
    return value if isinstance(value, list) else ()


def notices(document: Document, fleet: Fleet) -> Iterator[Notice]:
    """Keys that have no effect yet."""
    limits_usd = (
        fleet.capacity.usd_per_hour,
        *(tenant.budget.usd_per_hour for tenant in fleet.tenants),
        *(tenant.budget.usd_alert for tenant in fleet.tenants),
    )
    if any(limit is not None for limit in limits_usd):
        for model in fleet.models:
            if model.price is None:
                yield _notice(document, ("models", model.name), NO_PRICE)
    yield from _limits_without_usage(document, fleet)
    for index, pool in enumerate(fleet.pools):
        if not pool.signals:
            continue
        read = {metric.name for metric in pool.metrics if isinstance(metric, ExternalMetric)}
        read.update(read_formula(pool.modifiers.formula).names if pool.modifiers else ())
        for name in (signal.name for signal in pool.signals if signal.name not in read):
            yield _notice(document, ("pools", index, "signals", name), NO_READER)


_LIMITS_OF_CALLS: Final = (
    "requests_per_minute",
    "tokens_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "parallel",
)


def _limits_without_usage(document: Document, fleet: Fleet) -> Iterator[Notice]:
    """Limits of a model that apply to no pool, as no usage of its tasks is known."""
    users: defaultdict[str | None, list[Pool]] = defaultdict(list)
    for pool in fleet.pools:
        users[pool.model].append(pool)
    routed = {name for pool in fleet.pools for name in pool.router}
    for model in fleet.models:
        if not any(getattr(model.limits, name, None) is not None for name in _LIMITS_OF_CALLS):
            continue
        path, pools = ("models", model.name, "limits"), users[model.name]
        unknown = [pool.key for pool in pools if pool.usage is None]
        if not pools and model.name not in routed:
            yield _notice(document, path, NO_POOLS)
        elif pools and len(unknown) == len(pools):
            text = f"have no effect on {listed(unknown)} until its tasks are measured"
            yield _notice(document, path, f"{text}: write usage to say what a task uses")


def _notice(document: Document, path: KeyPath, text: str) -> Notice:
    at = document.position(path, at_key=True)
    return Notice(place=f"{document.name}:{at.line}:{at.column}", path=spell(path), text=text)


_Window = WeeklyWindow | CronWindow


def contradictions(
    pools: Iterable[Sequence[ScheduleEntry]], document: Document
) -> Iterator[Problem]:
    """A problem for each min above the max of another window that is open at the same time, because
    the largest min and the smallest max of all open windows apply.

    All calendars are searched, but changes of the clock are ignored. Where windows meet only
    because of one, min counts for that hour.
    """
    for pool, schedules in enumerate(pools):
        for one, other in permutations(range(len(schedules)), 2):
            least, most = schedules[one].min, schedules[other].max
            if least is None or most is None or least <= most:
                continue
            windows = schedules[one].window, schedules[other].window
            found = first_common(*windows)
            if found is None:
                continue
            day, minute = FIRST_DAY + timedelta(days=found[0]), found[1]
            every_week = all(isinstance(each, WeeklyWindow) for each in windows)
            date_text = "" if every_week else f" {day}"
            at = f"{DAYS[day.weekday()]}{date_text} at {minute // 60:02}:{minute % 60:02}"
            path = ("pools", pool, "schedules")
            line = document.position((*path, other)).line
            message = (
                f"{least} is more than the max ({most}) of the window on line {line}, and both are "
                f"open on {at}: change one"
            )
            yield document.problem((*path, one, "min"), message)


FIRST_DAY: Final = date(2029, 1, 1)  # a Monday
# 28 years: then days of the week and leap days repeat in the same order (until 2100)
CYCLE_DAYS: Final = 28 * 1461 // 4
# days and minutes are bits of integers, so that two windows are compared in a few operations
_CYCLE: Final = (1 << CYCLE_DAYS) - 1
_DAY: Final = (1 << DAY_MINUTES) - 1
_MONDAYS: Final = sum(1 << day for day in range(0, CYCLE_DAYS, len(DAYS)))


@lru_cache(maxsize=1024)
def first_common(one: _Window, other: _Window) -> tuple[int, int] | None:
    """The first day and minute in which both windows are open; None if there is none."""
    found = [
        (_lowest(days), _lowest(minutes))
        for one_days, one_minutes in _opening(one)
        for other_days, other_minutes in _opening(other)
        if (minutes := one_minutes & other_minutes) and (days := one_days & other_days)
    ]
    return min(found, default=None)


@lru_cache(maxsize=1024)
def _opening(window: _Window) -> tuple[tuple[int, int], ...]:
    """When a window is open: pairs of days and minutes, one for each day. Raises CronError."""
    if isinstance(window, WeeklyWindow):
        length = (window.until_minute - window.from_minute - 1) % DAY_MINUTES + 1
        days = _MONDAYS * sum(1 << day for day in window.days)
        minutes = ((1 << length) - 1) << window.from_minute
    else:
        days = _cron_days(window.cron)
        minutes = sum(1 << minute for minute in read_cron(window.cron).minutes)
        run, length = 1, ceil(window.for_s / 60)
        while run < length:  # each minute extended to a run of this length
            step = min(run, length - run)
            minutes |= minutes << step
            run += step
    parts = []
    while minutes:
        parts.append((days, minutes & _DAY))
        days = (days << 1 | days >> (CYCLE_DAYS - 1)) & _CYCLE
        minutes >>= DAY_MINUTES
    return tuple(parts)


@lru_cache(maxsize=256)
def _cron_days(text: str) -> int:
    cron = read_cron(text)
    return sum(
        1 << day for day in range(CYCLE_DAYS) if cron.fires_on(FIRST_DAY + timedelta(days=day))
    )


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1
