"""When an answer agrees with what a case expects of one key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def agrees(key: str, wanted: Any, answer: Mapping[str, Any]) -> bool:
    """Equal; an error's text contains what is expected of it; a condition has what is named."""
    if key == "error_contains":
        parts = [wanted] if isinstance(wanted, str) else wanted
        return all(part in answer.get("error", "") for part in parts)
    given = answer[key]
    if key == "pools":  # of each pool, what is named of it
        return all(
            _same(part, given[pool].get(name))
            for pool, parts in wanted.items()
            for name, part in parts.items()
        )
    if isinstance(wanted, dict) and "status" in wanted and isinstance(given, dict):
        return all(_same(part, given.get(name)) for name, part in wanted.items())
    return _same(wanted, given)


def _same(wanted: Any, given: Any) -> bool:
    if isinstance(wanted, str) and wanted.startswith("not "):
        return bool(given != wanted.removeprefix("not "))
    return bool(wanted == given)
