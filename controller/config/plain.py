"""Access to the plain document of a fleet file without assuming correct types, so that checks over
several entries also work if some values are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller.config.document import Document
from controller.config.problems import KeyPath

PlainPools = Sequence[tuple[KeyPath, Mapping[str, Any]]]
"""The pools of a document, each with its path."""


def pools_of(document: Document) -> PlainPools:
    """The pools with their paths; an empty mapping for each entry that is not a mapping."""
    entries = as_list(as_mapping(document.data).get("pools"))
    return [(("pools", index), as_mapping(entry)) for index, entry in enumerate(entries)]


def as_mapping(value: object) -> Mapping[str, Any]:
    """The value, if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[Any]:
    """The value, if it is a list, else an empty one."""
    return value if isinstance(value, list) else ()
