"""Reads a line of JSON strictly: texts are cleaned, and repeated keys are faults.

NotJsonError       the line is not JSON
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from controller.model.faults import InputFault, member
from controller.model.text import ECHO_LIMIT, clean, clean_name

_TWICE: Final = "stands here twice: keep one"
_ALIKE: Final = "two keys here are alike once their unprintable characters are gone: rename one"


class NotJsonError(ValueError):
    """The line is not JSON; the text says why."""


def read_json_line(line: bytes) -> tuple[Any, list[InputFault]]:
    """The plain data of one line with all its texts cleaned, and a fault for each repeated key in
    an object, because the decoder would silently take its last value. Raises NotJsonError.
    """
    try:
        plain = msgspec.json.decode(line)
        found = list(_repeated_keys(line))
        return _cleaned(plain, "", found), found
    except RecursionError:
        raise NotJsonError("is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJsonError(f"is not JSON: {clean(error, ECHO_LIMIT)}") from None


class _Members(tuple[tuple[str, Any], ...]):
    """The members of an object in their order, with repeated keys."""

    __slots__ = ()


def _repeated_keys(line: bytes) -> Iterator[InputFault]:
    """The repeated keys. For a line without any, the usual case, no objects are built."""
    is_repeated = False

    def note(pairs: list[tuple[str, Any]]) -> None:
        nonlocal is_repeated
        is_repeated = is_repeated or len({key for key, _ in pairs}) < len(pairs)

    json.loads(line, object_pairs_hook=note)
    if is_repeated:
        yield from _repeated_within(json.loads(line, object_pairs_hook=_Members), "")


def _repeated_within(plain: Any, path: str) -> Iterator[InputFault]:
    if isinstance(plain, _Members):
        seen: set[str] = set()
        for key, value in plain:
            if key in seen:
                yield InputFault(member(path, key), _TWICE)
            seen.add(key)
            yield from _repeated_within(value, member(path, key))
    elif isinstance(plain, list):
        for index, value in enumerate(plain):
            yield from _repeated_within(value, f"{path}[{index}]")


def _cleaned(plain: Any, path: str, found: list[InputFault]) -> Any:
    """The data with texts and keys cleaned. Adds a fault to `found` if two keys become equal."""
    match plain:
        case str():
            return clean(plain)
        case dict():
            members: dict[str, Any] = {}
            for key, value in plain.items():
                name = clean_name(key)
                if name in members:
                    found.append(InputFault(member(path, name), _ALIKE))
                members[name] = _cleaned(value, member(path, name), found)
            return members
        case list():
            return [_cleaned(each, f"{path}[{index}]", found) for index, each in enumerate(plain)]
        case _:
            return plain
