"""Checks over several entries: names that must exist, values that two pools must not share, and
keys that have no effect.

They use the plain document, so that a wrong value elsewhere in an entry hides no problem. A key
that can have no effect in this file is a problem: the person who wrote it believes that it does
something. One that may have an effect later, by what is measured or read elsewhere, is a notice. To
put a key of the notices into force, make something act on it and take its line out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from controller.config.document import Document, KeyPath, Problem, spell
from controller.config.schema.tenants import default_tiers
from controller.model.fleet import Fleet, Pool, Rule
from controller.model.ids import WorkloadKind
from controller.model.metrics import QUEUE, ExternalMetric
from controller.model.settings import Notice
from controller.model.text import nearest, quote
from controller.model.tick import listed
from controller.notation.formula_syntax import FormulaError, check

NO_PRICE: Final = "has no price here or in the maintained table: its cost ceiling does not apply"
NO_READER: Final = "is read by no metric and no formula of this pool: it has no effect"
NO_POOLS: Final = "have no effect: no pool uses this model"
_NAMES_SHOWN: Final = 10
_SUGGESTIONS: Final = 20
"""The most unknown names for which a similar known name is searched; each search takes milliseconds
if there are thousands of known names.
"""
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
    names = [((pool.get("tenant"), pool.get("name")), (*path, "name")) for path, pool in pools]
    yield from _shared(document, names, "another pool is called")
    for kind in WorkloadKind:
        workloads = _workloads(pools, tenants, kind)
        yield from _shared(document, workloads, f"another pool scales the {kind}")
    yield from _shared(document, _consumers(pools), "another pool is fed by the consumer")


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
            advice[name] = f"did you mean {quote(near[0])}?" if near else _known(known, where)
        yield document.problem(path, f"no {kind} is called {quote(name)}; {advice[name]}")


def _known(known: Collection[str], where: str) -> str:
    if not known:
        return f"add it to {where}"
    more = f" and {len(known) - _NAMES_SHOWN} more" if len(known) > _NAMES_SHOWN else ""
    return f"there are: {', '.join(sorted(known)[:_NAMES_SHOWN])}{more}"


def _of_signals(
    document: Document, path: KeyPath, pool: _Plain, *, with_server: bool
) -> Iterator[Problem]:
    """Names in metrics and formulas that are neither a signal nor the queue; selectors at signals,
    which are one number each; queries without a server.
    """
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
    """Keys of a pool of rule hpa. It uses its queue without metrics, if a metric names it, or if
    the formula does. An activation of 0 applies anyway.
    """
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
        return check(formula).names if isinstance(formula, str) else ()
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
    """The workloads of this kind that pools name. A pool that names none is a Deployment of its own
    name; where that name is repeated, this is problem enough.
    """
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
        read.update(check(pool.modifiers.formula).names if pool.modifiers else ())
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
    """Limits of a model apply to a pool only if the usage of its tasks is known. Pools whose router
    may choose the model share them among their workers.
    """
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
