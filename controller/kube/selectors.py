"""Label selectors as Kubernetes writes them: `pool=agents,zone in (a, b),!gpu`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, TypeAlias

Labels: TypeAlias = Mapping[str, str]
Matches: TypeAlias = Callable[[Labels], bool]

# commas inside parentheses separate values, all others separate requirements
_SEPARATOR: Final = re.compile(r",(?![^()]*\))")
_REQUIREMENT_SYNTAX: Final = re.compile(
    r"\s*(?P<none>!)?\s*(?P<key>[A-Za-z0-9][-A-Za-z0-9_./]*)"
    r"(?:\s*(?P<equal>==|=|!=)\s*(?P<value>[-A-Za-z0-9_.]*)"
    r"|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?\s*"
)


@lru_cache(maxsize=256)
def parsed(selector: str) -> Matches:
    """A function that tells whether labels meet all requirements; the empty selector matches all.
    Raises ValueError for a text that is not a selector.
    """
    if not selector.strip():
        return lambda _labels: True
    requirements = tuple(_requirement(each) for each in _SEPARATOR.split(selector))
    return lambda labels: all(met(labels) for met in requirements)


def _requirement(text: str) -> Matches:
    found = _REQUIREMENT_SYNTAX.fullmatch(text)
    if found is None or (found["none"] and (found["equal"] or found["set"])):
        raise ValueError(f"{text!r} is no requirement of a label selector")
    key = found["key"]
    if found["none"]:
        return lambda labels: key not in labels
    if found["equal"] is None and found["set"] is None:
        return lambda labels: key in labels
    if found["equal"]:
        values = frozenset({found["value"]})
    else:
        values = frozenset(value.strip() for value in found["values"].split(","))
    if found["equal"] == "!=" or found["set"] == "notin":
        # apimachinery, labels.Requirement.Matches: a missing label counts as different
        return lambda labels: labels.get(key) not in values
    return lambda labels: labels.get(key) in values
