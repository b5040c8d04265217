"""How each pool went over the last 15 minutes and 24 hours, kept in fixed space."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from controller.model.history import NOT_KNOWN, History, Timeline
from controller.model.ids import PoolKey
from controller.model.limits import INT32_MAX
from controller.model.readings import Fresh
from controller.model.snapshot import PoolView

RECENT_SLOT_S: Final = 15.0
RECENT_SLOTS: Final = 60
DAY_SLOT_S: Final = 900.0
DAY_SLOTS: Final = 96


class _Now(NamedTuple):
    """What is known of a pool now; NOT_KNOWN where it is not."""

    pending: int = NOT_KNOWN
    ready: int = NOT_KNOWN
    target: int = NOT_KNOWN


_NOTHING: Final = _Now()


class _Track:
    """The slots of one length, of one pool: three rings of numbers of 4 bytes."""

    __slots__ = ("_pending", "_ready", "_slots", "_target", "peak", "series")

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._pending, self._ready, self._target = (
            array("i", [NOT_KNOWN]) * slots for _ in range(3)
        )
        self.peak = NOT_KNOWN
        self.series = Timeline()

    def end(self, slot: int, now: _Now) -> None:
        """The slot with this number has ended like this."""
        place = slot % self._slots
        self._pending[place] = self.peak
        self._ready[place], self._target[place] = now.ready, now.target
        self.peak = now.pending

    def skip(self, slot: int) -> None:
        """Nothing is known of the slot with this number."""
        place = slot % self._slots
        self._pending[place] = self._ready[place] = self._target[place] = NOT_KNOWN

    def renew(self, last: int) -> bool:
        """Make the series that ends with this slot; whether it differs from the one before."""
        first = (last + 1) % self._slots
        series = Timeline(
            *(
                tuple(ring[first:] + ring[:first])
                for ring in (self._pending, self._ready, self._target)
            )
        )
        if series == self.series:
            return False
        self.series = series
        return True


class _Pool:
    __slots__ = ("day", "history", "now", "recent")

    def __init__(self) -> None:
        self.now = _NOTHING
        self.recent, self.day = _Track(RECENT_SLOTS), _Track(DAY_SLOTS)
        self.history = History()


class HistoryRecorder:
    """The histories of a fleet's pools.

    `saw` takes what changed, and `pass_time` ends slots. A pool costs about 2 kB for its rings, and
    up to 15 kB for the series that are drawn. Nothing is kept after the process ends.
    """

    def __init__(self, pools: Iterable[PoolKey]) -> None:
        self._pools = {key: _Pool() for key in pools}
        self._recent_slot: int | None = None
        self._day_slot = 0
        self._histories: Mapping[PoolKey, History] = {}

    def saw(self, view: PoolView) -> None:
        """Take a pool as it is now. What is not fresh is not known."""
        pool = self._pools.get(view.key)
        if pool is None:
            return
        seen, decision = view.observation, view.decision
        pending = seen.queue.value.pending if isinstance(seen.queue, Fresh) else NOT_KNOWN
        ready = seen.workload.value.ready if isinstance(seen.workload, Fresh) else NOT_KNOWN
        target = NOT_KNOWN if decision is None or decision.target is None else decision.target
        pool.now = now = _Now(min(pending, INT32_MAX), min(ready, INT32_MAX), target)
        pool.recent.peak = max(pool.recent.peak, now.pending)
        pool.day.peak = max(pool.day.peak, now.pending)

    def pass_time(self, now: float) -> Mapping[PoolKey, History]:
        """The histories at `now` (Unix seconds): the same object until a slot ends.

        Where no call came during whole slots, they are not known. After the clock was set back,
        slots go on when it comes to where it was.
        """
        recent, day = int(now // RECENT_SLOT_S), int(now // DAY_SLOT_S)
        if self._recent_slot is None:
            self._recent_slot, self._day_slot = recent, day
        if recent <= self._recent_slot:
            return self._histories
        changed = False
        is_day_over = day > self._day_slot
        for pool in self._pools.values():
            _fill(pool.recent, pool.now, self._recent_slot, recent, RECENT_SLOTS)
            renewed = pool.recent.renew(recent - 1)
            if is_day_over:
                _fill(pool.day, pool.now, self._day_slot, day, DAY_SLOTS)
                renewed |= pool.day.renew(day - 1)
            if renewed:
                pool.history = History(recent=pool.recent.series, day=pool.day.series)
                changed = True
        self._recent_slot, self._day_slot = recent, max(day, self._day_slot)
        if changed:
            self._histories = {key: pool.history for key, pool in self._pools.items()}
        return self._histories


def _fill(track: _Track, now: _Now, before: int, after: int, slots: int) -> None:
    """End the slot `before`; those between it and `after` were not seen."""
    track.end(before, now)
    for slot in range(max(before + 1, after - slots), after):
        track.skip(slot)
