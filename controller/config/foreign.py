"""An object of another program, read key by key, so that what was not asked for can be named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from controller.config.document import Document, KeyPath, spell
from controller.model.text import clean

Entry: TypeAlias = dict[str, Any]

_OF_TRIGGER: Final = r"triggers\[\d+\]\."
_ADVICE: Final = (
    ("pollingInterval", "agentdash looks at all pools every controller.interval"),
    (r"advanced\.horizontalPodAutoscalerConfig\.name", "there is no HPA then, nothing to do"),
    (f"{_OF_TRIGGER}useCachedMetrics", "each tick reads a metric once, nothing to do"),
    (r"scaleTargetRef\.envSourceContainerName", "only KEDA's scalers read it, nothing to do"),
    (
        rf"{_OF_TRIGGER}(authenticationRef|metadata\.(natsServer\w+|account\w*|useHttps))",
        "agentdash asks NATS and Prometheus itself: see nats and prometheus in this file",
    ),
)
"""By the key in the spec, what to do about a field whose absence changes no decision."""
_NO_COUNTERPART: Final = "agentdash has no such setting; what it did is no longer done"


class Remark(NamedTuple):
    """What a person must know of one field: where it stood, why it is not as it was, what to do.

    `is_lost`: the pool behaves otherwise than before; else it is only to be checked.
    """

    file: str
    line: int
    key: str
    words: str
    is_lost: bool = True

    def __str__(self) -> str:
        return clean(f"{self.file}:{self.line} {self.key}: {self.words}")


class Given:
    """One object of a document, read key by key. What was never asked for has no counterpart."""

    def __init__(self, document: Document, first_line: int, root: KeyPath, data: Entry) -> None:
        self._document, self._first_line, self._root, self._data = document, first_line, root, data
        self._used: set[KeyPath] = set()
        self.file = document.name
        self.remarks: list[Remark] = []

    def get(self, *path: str | int) -> Any:
        """The value there, which counts as used; None if there is none."""
        found = self.peek(*path)
        if found is not None:
            self._used.add(path)
        return found

    def peek(self, *path: str | int) -> Any:
        """The value there, which does not count as used."""
        found: Any = self._data
        for key in path:
            if isinstance(found, dict):
                found = found.get(key)
            elif isinstance(found, list) and isinstance(key, int) and key < len(found):
                found = found[key]
            else:
                return None
        return found

    def text(self, *path: str | int) -> str:
        """A text or number there; empty if there is none, or something else."""
        found = self.peek(*path)
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            return ""
        self._used.add(path)
        return str(found)

    def count(self, *path: str | int) -> int:
        """How many items a list there has."""
        found = self.peek(*path)
        return len(found) if isinstance(found, list) else 0

    def line(self, path: KeyPath = ()) -> int:
        """Where the field stands in the file."""
        return self._document.position((*self._root, *path)).line + self._first_line

    def remark(self, path: KeyPath, words: str, *, is_lost: bool = True) -> None:
        """Note what a person must know of the field there, once. What is lost, is so as a whole."""
        if is_lost:
            self._used.add(path)
        found = Remark(self.file, self.line(path), spell(path), words, is_lost)
        if found not in self.remarks:
            self.remarks.append(found)

    def remark_the_rest(self) -> None:
        """Note each field of the spec that nothing asked for, as high up as none was."""
        for path in list(self._unused(("spec",), self._data.get("spec"))):
            advice = (words for key, words in _ADVICE if re.fullmatch(key, spell(path[1:])))
            words = next(advice, "")
            self.remark(path, words or _NO_COUNTERPART, is_lost=not words)

    def _unused(self, path: KeyPath, value: Any) -> Iterator[KeyPath]:
        if not _says(value) or any(path[: len(used)] == used for used in self._used):
            return
        if not any(used[: len(path)] == path for used in self._used) and len(path) > 1:
            yield path
            return
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield from self._unused((*path, key), value[key])


def _says(value: object) -> bool:
    """Whether anything is written in it, and not only empty lists and nulls."""
    if isinstance(value, dict | list):
        return any(map(_says, value.values() if isinstance(value, dict) else value))
    return value is not None
