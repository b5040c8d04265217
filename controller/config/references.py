"""What no single entry can know: names that must exist, and things that two pools may not share.

Checked on the plain document, so that a wrong value elsewhere in an entry hides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from controller.config.document import Document
from controller.config.messages import did_you_mean
from controller.config.problems import KeyPath, Problem, quote
from controller.config.schema.tenants import default_tiers
from controller.model.metrics import QUEUE
from controller.notation.formula_check import check
from controller.notation.formula_syntax import FormulaError

_NODE_CLASSES: Final = "capacity.node_classes"
_NAMES_SHOWN: Final = 10
_SUGGESTIONS: Final = 20
"""Unknown names that are compared with each known one, which takes milliseconds where those are
thousands.
"""
_Pools = Sequence[tuple[KeyPath, Mapping[str, Any]]]
_Named = tuple[KeyPath, object]
"""Where a name is used, and the name."""
_Claim = tuple[tuple[object, ...], KeyPath]
"""What only one pool may have, and where it says so."""


def problems(document: Document) -> list[Problem]:
    """Names of nothing, and what two pools may not have in common."""
    data = _mapping(document.data)
    tenants, tiers = _mapping(data.get("tenants")), data.get("tiers")
    known_tiers = default_tiers() if tiers is None else _mapping(tiers)
    entries = data.get("pools")
    pools = [
        (("pools", index), _mapping(entry))
        for index, entry in enumerate(entries if isinstance(entries, list) else ())
    ]
    models, classes = _mapping(data.get("models")), _mapping(data.get("capacity"))
    classes = _mapping(classes.get("node_classes"))
    return [
        *_unknown(document, _tiers_named(tenants), "tier", known_tiers, "tiers"),
        *_unknown(document, _named(pools, "tenant"), "tenant", tenants, "tenants"),
        *_unknown(document, _named(pools, "model"), "model", models, "models"),
        *_unknown(document, _classes_named(pools), "node class", classes, _NODE_CLASSES),
        *_unknown_signals(document, pools),
        *_selected_signals(document, pools),
        *_queries_to_nobody(document, pools),
        *_twice(document, _names(pools), "another pool is called"),
        *_twice(document, _deployments(pools, tenants), "another pool scales the Deployment"),
        *_twice(document, _consumers(pools), "another pool works for the consumer"),
    ]


def _tiers_named(tenants: Mapping[str, Any]) -> Iterator[_Named]:
    for name, tenant in tenants.items():
        yield ("tenants", name, "tier"), _mapping(tenant).get("tier")


def _named(pools: _Pools, key: str) -> Iterator[_Named]:
    for path, pool in pools:
        yield (*path, key), pool.get(key)


def _classes_named(pools: _Pools) -> Iterator[_Named]:
    for path, pool in pools:
        for index, name in enumerate(_list(pool.get("nodes"))):
            yield (*path, "nodes", index), name


def _unknown_signals(document: Document, pools: _Pools) -> Iterator[Problem]:
    """Names in metrics and formulas that are neither a signal of the pool nor its queue."""
    for path, pool in pools:
        known = {QUEUE, *_mapping(pool.get("signals"))}
        yield from _unknown(document, _signals_named(path, pool), "signal", known, "signals")


def _signals_named(path: KeyPath, pool: Mapping[str, Any]) -> Iterator[_Named]:
    for metric_path, metric in _external_metrics(path, pool):
        yield (*metric_path, "name"), metric.get("name")
    for name in _formula_names(_mapping(pool.get("modifiers")).get("formula")):
        yield (*path, "modifiers", "formula"), name


def _external_metrics(
    path: KeyPath, pool: Mapping[str, Any]
) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    for index, metric in enumerate(_list(pool.get("metrics"))):
        if external := _mapping(_mapping(metric).get("external")):
            yield (
                (*path, "metrics", index, "external", "metric"),
                _mapping(external.get("metric")),
            )


def _selected_signals(document: Document, pools: _Pools) -> Iterator[Problem]:
    """A signal is one number: what is selected of it is said where it is read."""
    for pool_path, pool in pools:
        signals = _mapping(pool.get("signals"))
        for path, metric in _external_metrics(pool_path, pool):
            name = str(metric.get("name"))
            if metric.get("selector") is None or name not in {QUEUE, *signals}:
                continue
            advice = "take it out"
            if "external" in _mapping(signals.get(name)):
                advice = f"write it under signals.{name}.external"
            message = f"{name} is one number, there is nothing to select: {advice}"
            yield document.problem((*path, "selector"), message, at_key=True)


def _queries_to_nobody(document: Document, pools: _Pools) -> Iterator[Problem]:
    if _mapping(document.data).get("prometheus") is not None:
        return
    for path, pool in pools:
        for name, signal in _mapping(pool.get("signals")).items():
            if _mapping(signal).get("prometheus") is not None:
                message = "there is no Prometheus to ask: write prometheus: {url: ...}"
                yield document.problem((*path, "signals", name, "prometheus"), message, at_key=True)


def _formula_names(formula: object) -> Iterable[str]:
    """The signals a formula speaks of; none where it cannot be read, which is said elsewhere."""
    if not isinstance(formula, str):
        return ()
    try:
        return check(formula).names
    except FormulaError:
        return ()


def _unknown(
    document: Document, names: Iterable[_Named], kind: str, known: Collection[str], where: str
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


def _twice(document: Document, claims: Iterable[_Claim], what: str) -> Iterator[Problem]:
    first: dict[tuple[object, ...], KeyPath] = {}
    for identity, path in claims:
        if not all(isinstance(part, str) for part in identity):
            continue
        if identity in first:
            line = document.position(first[identity]).line
            name = quote("/".join(map(str, identity)))
            yield document.problem(path, f"{what} {name} already (line {line}): give each its own")
        first.setdefault(identity, path)


def _names(pools: _Pools) -> Iterator[_Claim]:
    for path, pool in pools:
        yield (pool.get("tenant"), pool.get("name")), (*path, "name")


def _deployments(pools: _Pools, tenants: Mapping[str, Any]) -> Iterator[_Claim]:
    names: set[str] = set()
    for path, pool in pools:
        tenant, name, deployment = pool.get("tenant"), pool.get("name"), pool.get("deployment")
        namespace = _mapping(tenants.get(str(tenant))).get("namespace")
        namespace = tenant if namespace is None else namespace
        if deployment is not None:
            yield (namespace, deployment), (*path, "deployment")
        elif f"{tenant}/{name}" not in names:  # else the complaint about the name is enough
            names.add(f"{tenant}/{name}")
            yield (namespace, name), (*path, "name")


def _consumers(pools: _Pools) -> Iterator[_Claim]:
    for path, pool in pools:
        queue = _mapping(pool.get("queue"))
        yield (queue.get("stream"), queue.get("consumer")), (*path, "queue", "consumer")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
