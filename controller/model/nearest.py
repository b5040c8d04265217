"""Finds known names that are similar to a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str], limit: int = 1) -> list[str]:
    """At most `limit` of the known names, the most similar first; none if none is similar."""
    return get_close_matches(name, sorted(known), n=limit)
