"""Printed objects as values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.manifests.objects import Noted


def plain(value: object) -> Any:
    """The same without comments, as a parser of the text would return it."""
    match value:
        case Noted():
            return plain(value.value)
        case Mapping():
            return {key: plain(each) for key, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
    return value
