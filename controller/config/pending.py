"""Keys that are read but that nothing acts on yet: refused by name wherever a fleet is to be run.

To put one into force, make something act on it and take its line out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from controller.config.document import Document
from controller.config.problems import KeyPath, Problem
from controller.model.metrics import QUEUE

ANY: Final = "*"

NOT_YET: Final = "not supported yet by this version of agentdash: take it out"
NOT_LIVE: Final = (
    "not supported yet by a running controller, which has nothing to read it from: take it out"
    " (`agentdash plan --observations` understands it)"
)

_PENDING: Final[tuple[KeyPath, ...]] = (
    ("models", ANY, "tier"),
    ("models", ANY, "limits", "burst"),
    ("tenants", ANY, "budget", "usd_alert"),
    ("tenants", ANY, "budget", "usd_per_workflow"),
)
_NEED_READINGS: Final[tuple[KeyPath, ...]] = (
    ("capacity", "node_classes"),
    ("tenants", ANY, "budget", "tokens_per_day"),
    ("pools", ANY, "nodes"),
)


def problems(document: Document, *, live: bool) -> Iterator[Problem]:
    """Each key that nothing acts on; `live` adds those that only observations can feed."""
    for pattern in _PENDING:
        for path in _matches(document.data, pattern):
            yield document.problem(path, NOT_YET, at_key=True)
    for path in _matches(document.data, ("tiers", ANY, "blind")):
        if isinstance(_at(document.data, path), Mapping):
            yield document.problem(path, NOT_YET, at_key=True)
    if live:
        for pattern in _NEED_READINGS:
            for path in _matches(document.data, pattern):
                yield document.problem(path, NOT_LIVE, at_key=True)
        for path in _matches(document.data, ("pools", ANY, "metrics", ANY)):
            if not _is_queue(_at(document.data, path)):
                yield document.problem(path, NOT_LIVE)


def _is_queue(metric: Any) -> bool:
    external = metric.get("external") if isinstance(metric, Mapping) else None
    name = external.get("metric") if isinstance(external, Mapping) else None
    return isinstance(name, Mapping) and name.get("name") == QUEUE


def _matches(data: Any, pattern: KeyPath, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Where the pattern leads to something that is set."""
    if not pattern:
        if data is not None:
            yield path
        return
    first, rest = pattern[0], pattern[1:]
    if isinstance(data, Mapping):
        for key in data if first == ANY else (first,):
            if key in data:
                yield from _matches(data[key], rest, (*path, key))
    elif isinstance(data, list) and first == ANY:
        for index, item in enumerate(data):
            yield from _matches(item, rest, (*path, index))


def _at(data: Any, path: KeyPath) -> Any:
    for key in path:
        data = data[key]
    return data
