"""How the whole fleet went: the pools' histories as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from agentdash.tui.view import NO_HISTORY
from controller.model.ids import PoolKey
from controller.model.snapshot import NOT_KNOWN, History, Timeline

_Series: TypeAlias = tuple[int, ...]


class FleetHistory:
    """Remembers the sums of the histories that it was asked for last: they are the same objects
    until a slot ends.
    """

    def __init__(self) -> None:
        self._pools: Mapping[PoolKey, History] | None = None
        self._history = NO_HISTORY

    def of(self, pools: Mapping[PoolKey, History]) -> History:
        """The history of all these pools together."""
        if pools is not self._pools:
            self._pools = pools
            self._history = History(
                recent=_together([each.recent for each in pools.values()]),
                day=_together([each.day for each in pools.values()]),
            )
        return self._history


def _together(timelines: Sequence[Timeline]) -> Timeline:
    """Messages and replicas of all pools, and the longest wait of any. What is not known of one
    pool is not in the sum; what is not known of all is not known.
    """
    return Timeline(
        pending=_by_slot([each.pending for each in timelines], _sum),
        ready=_by_slot([each.ready for each in timelines], _sum),
        target=_by_slot([each.target for each in timelines], _sum),
        wait_s=_by_slot([each.wait_s for each in timelines], max),
    )


def _by_slot(series: Sequence[_Series], combine: Callable[[_Series], int]) -> _Series:
    longest = max(map(len, series), default=0)
    return tuple(map(combine, zip(*(each for each in series if len(each) == longest), strict=True)))


def _sum(slot: _Series) -> int:
    unknown = slot.count(NOT_KNOWN)
    return NOT_KNOWN if unknown == len(slot) else sum(slot) - unknown * NOT_KNOWN
