"""Keys that a fleet file may hold but that nothing, or not everything, is there for.

Nothing is worse than if they were left out: they are taken, and a notice says so. To put one into
force, make something act on it and take its line out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from controller.config.document import Document
from controller.config.problems import KeyPath, spell
from controller.model.fleet import Fleet
from controller.model.settings import Notice

ANY: Final = "*"

BY_WORKERS: Final = "is read by workers; nothing acts on it yet"
NO_PRICE: Final = "has no price here or in the maintained table: its cost ceiling does not apply"

_UNHEEDED: Final[Mapping[KeyPath, str]] = MappingProxyType(
    {
        ("models", ANY, "tier"): "is read by workers' routers; nothing acts on it yet",
        ("models", ANY, "limits", "burst"): BY_WORKERS,
        ("tenants", ANY, "budget", "usd_per_workflow"): BY_WORKERS,
    }
)


def notices(document: Document, fleet: Fleet) -> Iterator[Notice]:
    """Each key that is taken without effect."""
    for pattern, text in _UNHEEDED.items():
        for path in _matches(document.data, pattern):
            yield _notice(document, path, text)
    if _limits_usd(fleet):
        for model in fleet.models:
            if model.price is None:
                yield _notice(document, ("models", model.name), NO_PRICE)


def _notice(document: Document, path: KeyPath, text: str) -> Notice:
    at = document.position(path, at_key=True)
    return Notice(place=f"{document.name}:{at.line}:{at.column}", path=spell(path), text=text)


def _limits_usd(fleet: Fleet) -> bool:
    return fleet.capacity.usd_per_hour is not None or any(
        limit is not None
        for tenant in fleet.tenants
        for limit in (tenant.budget.usd_per_hour, tenant.budget.usd_alert)
    )


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
