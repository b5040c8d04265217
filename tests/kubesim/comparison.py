"""How an answer of the simulator is compared with the recorded one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

Json = Any
HEADERS = ("content-type", "retry-after", "warning", "cache-control")
# Where the recording's cluster and the simulator's differ only by a name.
_WORDS = (
    (re.compile(r"<(uid|hash|suffix)-\d+>"), r"<\1>"),
    (re.compile(r"\bnode-\d+\b"), "<node>"),
    (re.compile(r"\b(kwok|simulated)\b"), "<kind of node>"),
    # a Scale in an error's text shows how far its controllers have come
    (re.compile(r'(status\\":\{\\"replicas\\":)\d+'), r"\1<count>"),
)
_AGE = re.compile(r"\d+(ms|s)")


def neutral(value: Json, key: str = "") -> Json:
    """A value without the names and ages by which two equal clusters differ."""
    if isinstance(value, dict):
        return {neutral(name): neutral(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [neutral(inner, key) for inner in value]
    if not isinstance(value, str):
        return value
    if key == "pod-template-hash":
        return "<hash>"
    if key == "cells" and _AGE.fullmatch(value):
        return "<age>"
    for pattern, word in _WORDS:
        value = pattern.sub(word, value)
    return value


def differences(wanted: Json, given: Json, path: str = "") -> Iterator[str]:
    """Where two JSON values differ, one line each."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        for key in sorted(wanted.keys() | given.keys()):
            if key not in given:
                yield f"{path}.{key}: missing, should be {_short(wanted[key])}"
            elif key not in wanted:
                yield f"{path}.{key}: not in the recording: {_short(given[key])}"
            else:
                yield from differences(wanted[key], given[key], f"{path}.{key}")
    elif isinstance(wanted, list) and isinstance(given, list):
        if len(wanted) != len(given):
            yield f"{path}: {len(given)} elements, should be {len(wanted)}"
        for index, (left, right) in enumerate(zip(wanted, given, strict=False)):
            yield from differences(left, right, f"{path}[{index}]")
    elif type(wanted) is not type(given) or wanted != given:
        yield f"{path}: {_short(given)}, should be {_short(wanted)}"


def _short(value: Json) -> str:
    return json.dumps(value)[:200]


def envelope(response: Json) -> Json:
    """The status and the headers that are compared."""
    shown = {name: response["headers"].get(name) for name in HEADERS}
    return {"status": response["status"], "headers": shown}


def equal(wanted: Json, given: Json) -> Iterator[str]:
    """Everything is equal."""
    yield from differences(wanted, given)


def without(*paths: str) -> Callable[[Json, Json], Iterator[str]]:
    """Everything is equal except values at these dotted paths ("*" is any index)."""

    def compare(wanted: Json, given: Json) -> Iterator[str]:
        for path in paths:
            wanted, given = _drop(wanted, path.split(".")), _drop(given, path.split("."))
        yield from differences(wanted, given)

    return compare


def _drop(value: Json, path: list[str]) -> Json:
    head, *rest = path
    if head == "*" and isinstance(value, list):
        return [_drop(inner, rest) for inner in value]
    if isinstance(value, dict) and head in value:
        kept = {key: inner for key, inner in value.items() if key != head}
        return kept | {head: _drop(value[head], rest)} if rest else kept
    return value


def by_name(items: str, *names: str) -> Callable[[Json, Json], Iterator[str]]:
    """Every element given is one of the recorded ones, found by `names`, and equal to it.

    The real server lists kinds that a simulation for an autoscaler does not need.
    """

    def compare(wanted: Json, given: Json) -> Iterator[str]:
        yield from without(f"body.{items}")(wanted, given)
        known = {_name(item, names): item for item in wanted["body"][items]}
        if not given["body"][items]:
            yield "nothing is listed"
        for item in given["body"][items]:
            name = _name(item, names)
            if name not in known:
                yield f"{name} is not in the recording"
                continue
            yield from differences(_fewer(known[name], item), item, f"{name}")

    return compare


def _name(item: Json, names: tuple[str, ...]) -> str:
    for name in names:
        item = item[name]
    return str(item)


def _fewer(wanted: Json, given: Json) -> Json:
    """The recorded group with the versions, resources and subresources that are given as well."""
    if isinstance(wanted, dict):
        return {
            key: _fewer(inner, given[key]) if isinstance(given, dict) and key in given else inner
            for key, inner in wanted.items()
            if not (key in {"storageVersionHash", "subresources"} and key not in given)
        }
    if isinstance(wanted, list) and isinstance(given, list):
        names = [_element(item) for item in given]
        kept = [item for item in wanted if _element(item) in names]
        return [_fewer(left, right) for left, right in zip(kept, given, strict=False)]
    return wanted


def _element(item: Json) -> str:
    if not isinstance(item, dict):
        return str(item)
    return str(item.get("resource") or item.get("subresource") or item.get("version") or item)


def shape(value: Json) -> Json:
    """Keys and types without values."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def same_shape(wanted: Json, given: Json) -> Iterator[str]:
    """Keys and types are equal; values may differ."""
    yield from differences(shape(wanted), shape(given))


def history(wanted: Json, given: Json) -> Iterator[str]:
    """Every recorded line comes, in order; there may be more steps between them."""
    lines = iter(given["lines"])
    for position, line in enumerate(wanted["lines"]):
        if not any(line == each for each in lines):
            yield f"no line like the recorded {position}: {_short(line)}"
            return


def racing_lines(wanted: Json, given: Json) -> Iterator[str]:
    """The first change of the object that changes first, bookmarks and types are equal; statuses,
    later changes and changes of other objects' statuses need not be.
    """
    left, right = wanted["lines"], given["lines"]
    first = left[0]["object"]["metadata"].get("name")
    same = [line for line in right if line["object"]["metadata"].get("name") == first]
    yield from without("*.object.status")(left[:1], same[:1])
    kinds = [{line["type"] for line in lines} for lines in (left, right)]
    if kinds[0] - {"MODIFIED"} != kinds[1] - {"MODIFIED"} or kinds[1] - kinds[0]:
        yield f"types: {sorted(kinds[1])}, should be {sorted(kinds[0])}"
    marks = [[line for line in lines if line["type"] == "BOOKMARK"] for lines in (left, right)]
    yield from differences(marks[0], marks[1], "bookmarks")
    yield from _known_fields(left, right)


def _known_fields(wanted: list[Json], given: list[Json]) -> Iterator[str]:
    """No line has a field that no recorded line of its type has."""
    known = {path for line in wanted for path in _paths(line)}
    for line in given:
        yield from sorted(f"{path}: in no recorded line" for path in _paths(line) - known)


def _paths(value: Json, path: str = "") -> set[str]:
    if isinstance(value, dict):
        found = {f"{path}.{key}" for key in value}
        for key, inner in value.items():
            found |= _paths(inner, f"{path}.{key}")
        return found
    if isinstance(value, list):
        return {each for inner in value for each in _paths(inner, f"{path}[]")}
    return set()


def events_of_controllers(wanted: Json, given: Json) -> Iterator[str]:
    """The recorded Events are there, and others may be: the recording's kubelets wrote none."""

    def controllers(items: list[Json]) -> list[Json]:
        others = [item for item in items if item["source"].get("component") != "kubelet"]
        return sorted(others, key=lambda item: (item["reason"], item["message"]))

    left, right = wanted["body"]["items"], given["body"]["items"]
    yield from differences(controllers(left), controllers(right), "items")
    yield from without("body.items")(wanted, given)
