"""The snapshots that this dashboard has seen in the last minutes, to step back to."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from operator import is_not
from typing import Final, NamedTuple

from controller.model.snapshot import Snapshot
from controller.ports import PastMoment, Place

RECENT_S: Final = 900.0
MOST_VIEWS: Final = 20_000
"""So many views of pools are kept beside those of the newest snapshot: about 40 MB."""


class _KeptSnapshot(NamedTuple):
    """`views`: how many pools' views no snapshot before it has."""

    number: int
    snapshot: Snapshot
    views: int


class RecentPast:
    """The last 15 minutes, or less where more than `MOST_VIEWS` pools have changed. Snapshots share
    what did not change.
    """

    def __init__(self) -> None:
        self._kept: deque[_KeptSnapshot] = deque()
        self._views = 0
        self._number = 0

    def keep(self, snapshot: Snapshot) -> None:
        """Keep the newest snapshot, and let the oldest go."""
        views = len(snapshot.pools)
        if self._kept:
            before = self._kept[-1].snapshot
            if snapshot.at < before.at:  # the clock was set back: times would not be found
                self._kept.clear()
                self._views = 0
            elif len(before.pools) == views:
                views = sum(map(is_not, snapshot.pools, before.pools))
        self._number += 1
        self._views += views
        self._kept.append(_KeptSnapshot(self._number, snapshot, views))
        while len(self._kept) > 1 and (
            snapshot.at - self._kept[0].snapshot.at > RECENT_S or self._views > MOST_VIEWS
        ):
            self._views -= self._kept.popleft().views

    def last(self) -> PastMoment | None:
        """The newest snapshot; None before the first."""
        return self._moment(len(self._kept) - 1) if self._kept else None

    def at(self, at: float) -> PastMoment | None:
        """The last snapshot at this time or before it (Unix seconds), else the first."""
        if not self._kept:
            return None
        index = bisect_right(self._kept, at, key=lambda each: each.snapshot.at) - 1
        return self._moment(max(index, 0))

    def before(self, place: Place) -> PastMoment | None:
        """The snapshot before this place that differs, else the first; None at the first."""
        index = min(self._index(place), len(self._kept)) - 1
        while index > 0 and not self._is_change(index):
            index -= 1
        return self._moment(index) if index >= 0 else None

    def after(self, place: Place) -> PastMoment | None:
        """The snapshot after this place that differs, else the last; None at the last."""
        index, end = self._index(place) + 1, len(self._kept) - 1
        while index < end and not self._is_change(index):
            index += 1
        return self._moment(index) if 0 <= index <= end else None

    def notes(self) -> Sequence[str]:
        """All can be read."""
        return ()

    def _index(self, place: Place) -> int:
        """Where a place is now: -1 if it is no longer kept."""
        return max(place[1] - self._kept[0].number, -1) if self._kept else -1

    def _moment(self, index: int) -> PastMoment:
        kept = self._kept[index]
        return PastMoment((0, kept.number), kept.snapshot)

    def _is_change(self, index: int) -> bool:
        """Whether a pool, a finding or a scale event differs from the snapshot before."""
        kept, before = self._kept[index], self._kept[index - 1].snapshot
        after = kept.snapshot
        return bool(kept.views) or (after.findings, after.events, after.tenants) != (
            before.findings,
            before.events,
            before.tenants,
        )
