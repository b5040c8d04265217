"""Checks over several entries: names that must exist, and values that two pools must not share.

They use the plain document, so that a wrong value elsewhere in an entry hides no problem.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from controller.config.document import Document, KeyPath, Problem
from controller.config.messages import did_you_mean
from controller.config.scalars import PlainPools, as_list, as_mapping, pools_of
from controller.config.schema.tenants import default_tiers
from controller.model.ids import WorkloadKind
from controller.model.metrics import QUEUE
from controller.model.text import quote
from controller.notation.formula_syntax import FormulaError, check

_NODE_CLASSES: Final = "capacity.node_classes"
_NAMES_SHOWN: Final = 10
_SUGGESTIONS: Final = 20
"""The most unknown names for which a similar known name is searched; each search takes milliseconds
if there are thousands of known names.
"""
_NameUsed = tuple[KeyPath, object]
"""The place where a name is used, and the name."""
_Claim = tuple[tuple[object, ...], KeyPath]
"""A value that only one pool may have, and the place where a pool has it."""


def problems(document: Document) -> list[Problem]:
    """Problems of names that do not exist, and of values that two pools must not share."""
    data = as_mapping(document.data)
    tenants, tiers = as_mapping(data.get("tenants")), data.get("tiers")
    known_tiers = default_tiers() if tiers is None else as_mapping(tiers)
    pools = pools_of(document)
    models, capacity = as_mapping(data.get("models")), as_mapping(data.get("capacity"))
    classes = as_mapping(capacity.get("node_classes"))
    return [
        *_unknown(document, _tiers_used(tenants), "tier", known_tiers, "tiers"),
        *_unknown(document, _used(pools, "tenant"), "tenant", tenants, "tenants"),
        *_unknown(document, _used(pools, "model"), "model", models, "models"),
        *_unknown(document, _listed(pools, "router"), "model", models, "models"),
        *_unknown(document, _listed(pools, "nodes"), "node class", classes, _NODE_CLASSES),
        *_unknown_signals(document, pools),
        *_selectors_of_signals(document, pools),
        *_queries_without_server(document, pools),
        *_shared(document, _names(pools), "another pool is called"),
        *(
            problem
            for kind in WorkloadKind
            for problem in _shared(
                document, _workloads(pools, tenants, kind), f"another pool scales the {kind}"
            )
        ),
        *_shared(document, _consumers(pools), "another pool is fed by the consumer"),
    ]


def _tiers_used(tenants: Mapping[str, Any]) -> Iterator[_NameUsed]:
    for name, tenant in tenants.items():
        yield ("tenants", name, "tier"), as_mapping(tenant).get("tier")


def _used(pools: PlainPools, key: str) -> Iterator[_NameUsed]:
    for path, pool in pools:
        yield (*path, key), pool.get(key)


def _listed(pools: PlainPools, key: str) -> Iterator[_NameUsed]:
    for path, pool in pools:
        for index, name in enumerate(as_list(pool.get(key))):
            yield (*path, key, index), name


def _unknown_signals(document: Document, pools: PlainPools) -> Iterator[Problem]:
    """Problems of names in metrics and formulas that are neither a signal nor the queue."""
    for path, pool in pools:
        known = {QUEUE, *as_mapping(pool.get("signals"))}
        yield from _unknown(document, _signals_used(path, pool), "signal", known, "signals")


def _signals_used(path: KeyPath, pool: Mapping[str, Any]) -> Iterator[_NameUsed]:
    for metric_path, metric in external_metrics(path, pool):
        yield (*metric_path, "name"), metric.get("name")
    for name in formula_names(as_mapping(pool.get("modifiers")).get("formula")):
        yield (*path, "modifiers", "formula"), name


def external_metrics(
    path: KeyPath, pool: Mapping[str, Any]
) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """The `metric` block of each External metric of a pool, with its path."""
    for index, metric in enumerate(as_list(pool.get("metrics"))):
        if external := as_mapping(as_mapping(metric).get("external")):
            yield (
                (*path, "metrics", index, "external", "metric"),
                as_mapping(external.get("metric")),
            )


def _selectors_of_signals(document: Document, pools: PlainPools) -> Iterator[Problem]:
    """Problems of selectors at signals: a signal is one number, so its source has the selector."""
    for pool_path, pool in pools:
        signals = as_mapping(pool.get("signals"))
        for path, metric in external_metrics(pool_path, pool):
            name = str(metric.get("name"))
            if metric.get("selector") is None or name not in {QUEUE, *signals}:
                continue
            advice = "take it out"
            if "external" in as_mapping(signals.get(name)):
                advice = f"write it under signals.{name}.external"
            message = f"{name} is one number, so there is nothing to select: {advice}"
            yield document.problem((*path, "selector"), message, at_key=True)


def _queries_without_server(document: Document, pools: PlainPools) -> Iterator[Problem]:
    if as_mapping(document.data).get("prometheus") is not None:
        return
    for path, pool in pools:
        for name, signal in as_mapping(pool.get("signals")).items():
            if as_mapping(signal).get("prometheus") is not None:
                message = "no Prometheus server is named: write prometheus: {url: ...}"
                yield document.problem((*path, "signals", name, "prometheus"), message, at_key=True)


def formula_names(formula: object) -> Iterable[str]:
    """The signals that a formula reads; none if it cannot be read, which another check reports."""
    if not isinstance(formula, str):
        return ()
    try:
        return check(formula).names
    except FormulaError:
        return ()


def _unknown(
    document: Document, names: Iterable[_NameUsed], kind: str, known: Collection[str], where: str
) -> Iterator[Problem]:
    advice: dict[str, str] = {}
    for path, name in names:
        if not isinstance(name, str) or name in known:
            continue
        if name not in advice:
            near = did_you_mean(name, known) if len(advice) < _SUGGESTIONS else ""
            advice[name] = near or _known(known, where)
        yield document.problem(path, f"no {kind} is called {quote(name)}{advice[name]}")


def _known(known: Collection[str], where: str) -> str:
    if not known:
        return f"; add it to {where}"
    names = ", ".join(sorted(known)[:_NAMES_SHOWN])
    more = f" and {len(known) - _NAMES_SHOWN} more" if len(known) > _NAMES_SHOWN else ""
    return f"; there are: {names}{more}"


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


def _names(pools: PlainPools) -> Iterator[_Claim]:
    for path, pool in pools:
        yield (pool.get("tenant"), pool.get("name")), (*path, "name")


def _workloads(
    pools: PlainPools, tenants: Mapping[str, Any], kind: WorkloadKind
) -> Iterator[_Claim]:
    """The workloads of this kind that pools name. A pool that names none is a Deployment of its own
    name.
    """
    key, names = kind.lower(), set[str]()
    for path, pool in pools:
        tenant, name = pool.get("tenant"), pool.get("name")
        namespace = as_mapping(tenants.get(str(tenant))).get("namespace")
        namespace = tenant if namespace is None else namespace
        given = {each: pool.get(each.lower()) for each in WorkloadKind}
        if given[kind] is not None:
            yield (namespace, given[kind]), (*path, key)
            continue
        names_none = kind is WorkloadKind.DEPLOYMENT and not any(given.values())
        if names_none and f"{tenant}/{name}" not in names:  # the repeated name is problem enough
            names.add(f"{tenant}/{name}")
            yield (namespace, name), (*path, "name")


def _consumers(pools: PlainPools) -> Iterator[_Claim]:
    for path, pool in pools:
        if (queues := pool.get("queues")) is not None:
            entries = queues if isinstance(queues, list) else []
            places = [(each, (*path, "queues", number)) for number, each in enumerate(entries)]
        else:
            places = [(pool.get("queue"), (*path, "queue"))]
        for entry, place in places:
            queue = as_mapping(entry)
            yield (queue.get("stream"), queue.get("consumer")), (*place, "consumer")
