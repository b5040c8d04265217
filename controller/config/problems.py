"""Problems of a fleet file, in the format of a compiler: one line for each, with its position.

FleetFileError       all problems of one fleet file
  Problem            one problem: file, line, column, key path, message
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from controller.model.text import quote
from controller.model.value import Value

KeyPath = tuple[str | int, ...]

_PLAIN_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")


class Problem(Value):
    """One problem to correct. Lines and columns count from 1. `path` is empty for a problem of the
    whole file, for example if it cannot be read.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return ": ".join(part for part in (place, self.path, self.message) if part)


class FleetFileError(Exception):
    """The fleet file cannot be used. `errors` are all its problems, in the file's order; the text
    has one line for each.
    """

    def __init__(self, errors: Iterable[Problem]) -> None:
        self.errors = tuple(sorted(errors, key=lambda error: (error.line, error.column)))
        super().__init__("\n".join(map(str, self.errors)))


def spell(path: KeyPath) -> str:
    """A key path as people write it, such as `pools[2].replicas.max`."""
    spelled = ""
    for key in path:
        if isinstance(key, int):
            spelled += f"[{key}]"
        else:
            spelled += ("." if spelled else "") + (key if _PLAIN_KEY.match(key) else quote(key))
    return spelled
