"""Objects as YAML with comments, always in the same way. The YAML library cannot write comments,
and here they are half of what is read.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import yaml

Json = dict[str, Any]
_WIDTH: Final = 96
_PLAIN: Final = re.compile(r"[\w./=-]+")


class Noted(NamedTuple):
    """A value with a comment above it: an item of a list, or the value of a key."""

    note: str
    value: object


class Manifest(NamedTuple):
    """One object, with a comment above it. Values inside may be `Noted`."""

    note: str
    body: Json

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.body["kind"])


def stream(manifests: Iterable[Manifest]) -> str:
    """The objects as one stream of documents."""
    return "\n".join(
        "\n".join(["---", *_comment(each.note), *_lines(each.body)]) for each in manifests
    )


def _lines(value: object) -> Iterator[str]:
    """A mapping or a list in block style."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            if isinstance(each, Noted):
                yield from _comment(each.note)
                each = each.value  # noqa: PLW2901 - the value without its comment
            yield from _entry(f"{_scalar(key)}:", each)
    elif isinstance(value, Sequence):
        for each in value:
            if isinstance(each, Noted):
                yield from _comment(each.note)
                each = each.value  # noqa: PLW2901
            yield from _item(each)


def _entry(key: str, value: object) -> Iterator[str]:
    if _is_block(value):
        yield key
        indent = "  " if isinstance(value, Mapping) else ""
        yield from (f"{indent}{line}" if line else "" for line in _lines(value))
    elif isinstance(value, str) and _is_literal(value):
        yield f"{key} |" if value.endswith("\n") else f"{key} |-"
        yield from (f"  {line}" if line else "" for line in value.removesuffix("\n").split("\n"))
    else:
        yield f"{key} {_scalar(value)}"


def _item(value: object) -> Iterator[str]:
    if not _is_block(value):
        yield f"- {_scalar(value)}"
        return
    first, *rest = _lines(value)
    yield f"- {first}"
    yield from (f"  {line}" if line else "" for line in rest)


def _is_block(value: object) -> bool:
    """Whether it has lines of its own; a short list of scalars stands in one line."""
    if isinstance(value, Mapping):
        return bool(value)
    if isinstance(value, list | tuple):
        return any(isinstance(each, Noted | Mapping | list | tuple) for each in value)
    return False


def _is_literal(text: str) -> bool:
    """Whether a literal block gives exactly this text back."""
    return (
        "\n" in text
        and not text.startswith((" ", "\n", "\t"))
        and not text.endswith("\n\n")
        and all(each == "\n" or each.isprintable() for each in text)
    )


def _scalar(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_in_line, value))}]"
    if isinstance(value, Mapping):
        return "{}"
    style = (
        '"' if isinstance(value, str) and not (value.isprintable() and value.isascii()) else None
    )
    text: str = yaml.safe_dump(value, default_style=style, width=2**31)
    return text.removesuffix("\n...\n").removesuffix("\n")


def _in_line(value: object) -> str:
    """A scalar between brackets, where a comma or a bracket would end it."""
    text = _scalar(value)
    return text if _PLAIN.fullmatch(text) or not isinstance(value, str) else json.dumps(value)


def _comment(note: str) -> Iterator[str]:
    """The lines of a comment; a line that is indented, a command, is not broken."""
    for paragraph in note.splitlines():
        whole = paragraph.startswith("  ")
        yield from (f"# {line}" for line in ([paragraph] if whole else _wrapped(paragraph)))


def _wrapped(paragraph: str) -> list[str]:
    return textwrap.wrap(paragraph, _WIDTH, break_on_hyphens=False)
