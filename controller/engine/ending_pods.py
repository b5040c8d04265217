"""The pods whose node is about to end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from controller.model.ids import PoolKey
from controller.model.observation import Pod, Pods
from controller.model.readings import Absent, Reading


class _Marked(NamedTuple):
    """A reading with what it was made of: it is up to date while these are the same."""

    read: Reading[Pods]
    ending: Mapping[str, str]
    reading: Reading[Pods]


class EndingPods:
    """Notes on pods that their node ends. A pool's reading is the same object until something of it
    changes.
    """

    def __init__(self) -> None:
        self._marked: dict[PoolKey, _Marked] = {}

    def marked(
        self, pool: PoolKey, reading: Reading[Pods], ending: Mapping[str, str]
    ) -> Reading[Pods]:
        """The pool's pods with `node_ends`; `ending` has the taint of each node that ends."""
        if not ending or isinstance(reading, Absent):
            self._marked.pop(pool, None)
            return reading
        known = self._marked.get(pool)
        if known is None or known.read is not reading or known.ending != ending:
            known = self._marked[pool] = _Marked(reading, ending, _marked(reading, ending))
        return known.reading


def _marked(reading: Reading[Pods], ending: Mapping[str, str]) -> Reading[Pods]:
    if isinstance(reading, Absent) or not any(pod.node in ending for pod in reading.value.items):
        return reading
    items = tuple(_with_taint(pod, ending.get(pod.node, "")) for pod in reading.value.items)
    return replace(reading, value=replace(reading.value, items=items))


def _with_taint(pod: Pod, taint: str) -> Pod:
    return replace(pod, node_ends=taint) if taint else pod
