"""The plain document of a fleet file, read without trusting its types: checks that look at more
than one entry go on where a value is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.config.document import Document
from controller.config.problems import KeyPath

PlainPools = Sequence[tuple[KeyPath, Mapping[str, Any]]]
"""The pools of a document, each with its path."""


def pools_of(document: Document) -> PlainPools:
    """The pools; an empty mapping for each that is none."""
    entries = as_list(as_mapping(document.data).get("pools"))
    return [(("pools", index), as_mapping(entry)) for index, entry in enumerate(entries)]


def as_mapping(value: object) -> Mapping[str, Any]:
    """The value, if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[Any]:
    """The value, if it is a list, else an empty one."""
    return value if isinstance(value, list) else ()
