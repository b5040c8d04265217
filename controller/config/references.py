"""What no single entry can know: names that must exist, and things that two pools may not share.

Checked on the plain document, so that a wrong value elsewhere in an entry hides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from controller.config.document import Document
from controller.config.messages import did_you_mean
from controller.config.problems import KeyPath, Problem, quote
from controller.config.schema.tenants import default_tiers
from controller.model.metrics import QUEUE

_NODE_CLASSES: Final = "capacity.node_classes"
_NAMES_SHOWN: Final = 10
_SUGGESTIONS: Final = 20
"""Unknown names that are compared with each known one, which takes milliseconds where those are
thousands.
"""
# a formula's names; what looks like one inside a number, a comment or a call is none
_FORMULA_WORDS: Final = re.compile(
    r"""
    //[^\n]* | /\*.*?\*/ | [0-9][A-Za-z0-9_.]* | [A-Za-z_$][\w$]*\s*\(
  | (?P<name>[A-Za-z_$][\w$]*)
    """,
    re.VERBOSE | re.DOTALL,
)
_FORMULA_CONSTANTS: Final = frozenset({"and", "or", "not", "true", "false", "nil"})

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
        *_unknown(document, _signals_named(pools), "signal", (QUEUE,), "signals"),
        *_selected_queues(document, pools),
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


def _signals_named(pools: _Pools) -> Iterator[_Named]:
    for path, metric in _external_metrics(pools):
        yield (*path, "name"), metric.get("name")
    for path, pool in pools:
        formula = _mapping(pool.get("modifiers")).get("formula")
        for name in _formula_names(formula) if isinstance(formula, str) else ():
            yield (*path, "modifiers", "formula"), name


def _external_metrics(pools: _Pools) -> _Pools:
    return [
        ((*path, "metrics", index, "external", "metric"), _mapping(external.get("metric")))
        for path, pool in pools
        for index, metric in enumerate(_list(pool.get("metrics")))
        if (external := _mapping(_mapping(metric).get("external")))
    ]


def _selected_queues(document: Document, pools: _Pools) -> Iterator[Problem]:
    for path, metric in _external_metrics(pools):
        if metric.get("name") == QUEUE and metric.get("selector") is not None:
            message = f"{QUEUE} is one number, there is nothing to select: take it out"
            yield document.problem((*path, "selector"), message, at_key=True)


def _formula_names(formula: str) -> list[str]:
    """The signals a formula speaks of, each once."""
    names = [found["name"] for found in _FORMULA_WORDS.finditer(formula)]
    return [name for name in dict.fromkeys(names) if name and name not in _FORMULA_CONSTANTS]


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
