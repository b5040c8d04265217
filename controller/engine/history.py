"""How each pool and each tenant went over the last 15 minutes and 24 hours, in fixed space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from controller.model.ids import PoolKey
from controller.model.readings import Fresh
from controller.model.snapshot import NOT_KNOWN, History, PoolView, Snapshot, TenantView, Timeline
from controller.model.value import INT32_MAX

RECENT_SLOT_S: Final = 15.0
RECENT_SLOTS: Final = 60
DAY_SLOT_S: Final = 900.0
DAY_SLOTS: Final = 96
# one object for each number that many slots have: replicas, and waits up to an hour
_SHARED: Final = tuple(range(4096))
# of these series a slot keeps the largest number, of the others the last one
_PEAKS: Final = frozenset({"pending", "wait_s", "tokens"})
_OF_POOL: Final = ("pending", "ready", "target", "wait_s")
_OF_TENANT: Final = ("tokens",)


class _Track:
    """The slots of one length, of one pool or tenant."""

    __slots__ = ("_peaks", "series")

    def __init__(self, names: Iterable[str], slots: int) -> None:
        self._peaks: dict[str, int] = dict.fromkeys(names, NOT_KNOWN)
        self.series = Timeline(**dict.fromkeys(self._peaks, (NOT_KNOWN,) * slots))

    def saw(self, now: Mapping[str, int]) -> None:
        """These are the numbers now."""
        for name, number in now.items():
            known = self._peaks[name]
            self._peaks[name] = max(known, number) if name in _PEAKS else number

    def fill(self, left: Timeline, ago: int) -> None:
        """Where nothing is known, it is as another process has left it so many slots ago."""
        found = {}
        for name in self._peaks:
            own = getattr(self.series, name)
            before = getattr(left, name)[-len(own) :]
            before = (*before, *(NOT_KNOWN,) * min(ago, len(own)))[-len(own) :]
            unknown = (NOT_KNOWN,) * (len(own) - len(before))
            both = zip(own, (*unknown, *before), strict=True)
            found[name] = tuple(
                _plausible(theirs) if mine == NOT_KNOWN else mine for mine, theirs in both
            )
        self.series = Timeline(**found)

    def saw_before(self, shorter: _Track, slots: int) -> None:
        """The slot that has not ended began with so many slots of a shorter track."""
        for name in self._peaks.keys() & _PEAKS if slots else ():
            latest = max(getattr(shorter.series, name)[-slots:])
            self._peaks[name] = max(self._peaks[name], latest)

    def end(self, now: Mapping[str, int], slots: int) -> bool:
        """So many slots have ended, the first of them with these numbers; nothing is known of the
        others. Whether the series differ from before.
        """
        self.saw(now)
        before = self.series
        unknown = min(slots - 1, RECENT_SLOTS + DAY_SLOTS)
        after = {
            name: _after(getattr(before, name), peak, unknown) for name, peak in self._peaks.items()
        }
        self._peaks = dict(now)
        if all(series is getattr(before, name) for name, series in after.items()):
            return False
        self.series = Timeline(**after)
        return True


def _plausible(number: int) -> int:
    """What was stored is another's word: no number is below or above what a slot can have."""
    return number if NOT_KNOWN <= number <= INT32_MAX else NOT_KNOWN


def _after(series: tuple[int, ...], number: int, unknown: int) -> tuple[int, ...]:
    """The series without its oldest numbers, and with this one and the unknown ones at its end; the
    same object if nothing differs.
    """
    if 0 <= number < len(_SHARED):
        number = _SHARED[number]
    longer = (*series, number, *(NOT_KNOWN,) * unknown)
    found = longer[-len(series) :]
    return series if found == series else found


class _Kept:
    """What is kept of one pool or tenant. While `waits_since` is set, messages of the pool have
    waited since then.
    """

    __slots__ = ("day", "history", "now", "recent", "waits_since")

    def __init__(self, names: Iterable[str]) -> None:
        self.now = dict.fromkeys(names, NOT_KNOWN)
        self.recent, self.day = _Track(self.now, RECENT_SLOTS), _Track(self.now, DAY_SLOTS)
        self.history = History()
        self.waits_since: float | None = None

    def saw(self, **numbers: int) -> None:
        """These are its numbers now."""
        self.now = {name: min(number, INT32_MAX) for name, number in numbers.items()}
        self.recent.saw(self.now)
        self.day.saw(self.now)

    def begin_with(self, left: History, recent: int, day: int, running: int) -> None:
        """Go on from what another process has left so many slots ago; `running` recent slots belong
        to the day's slot that has not ended.
        """
        self.recent.fill(left.recent, recent)
        self.day.fill(left.day, day)
        self.day.saw_before(self.recent, running)
        self.history = History(recent=self.recent.series, day=self.day.series)

    def end(self, at: float, recent: int, day: int) -> bool:
        """At this time, so many slots have ended. Whether the history differs from before."""
        if self.waits_since is not None:
            self.now["wait_s"] = min(int(max(at - self.waits_since, 0.0)), INT32_MAX)
        changed = self.recent.end(self.now, recent)
        if day:
            changed |= self.day.end(self.now, day)
        if changed:
            self.history = History(recent=self.recent.series, day=self.day.series)
        return changed


class Histories(NamedTuple):
    """The histories of pools by key, and of tenants by name; each the same object until it
    changes.
    """

    pools: Mapping[PoolKey, History]
    tenants: Mapping[str, History]


class HistoryRecorder:
    """The histories of a fleet's pools and tenants.

    `saw` and `saw_tenants` take what changed, and `pass_time` ends slots. A pool costs at most
    20 kB.
    """

    def __init__(self, pools: Iterable[PoolKey], tenants: Iterable[str] = ()) -> None:
        self._pools = {key: _Kept(_OF_POOL) for key in pools}
        self._tenants = {name: _Kept(_OF_TENANT) for name in tenants}
        self._seen: tuple[TenantView, ...] = ()
        self._recent_slot: int | None = None
        self._day_slot = 0
        self._histories = Histories({}, {})

    def go_on_from(self, before: HistoryRecorder) -> None:
        """Continue the histories of another fleet, for the pools and tenants that stay."""
        self._pools |= {key: kept for key, kept in before._pools.items() if key in self._pools}
        self._tenants |= {
            name: kept for name, kept in before._tenants.items() if name in self._tenants
        }
        self._recent_slot, self._day_slot = before._recent_slot, before._day_slot
        self._histories = Histories(
            {key: kept.history for key, kept in self._pools.items()},
            {name: kept.history for name, kept in self._tenants.items()},
        )

    def begin_with(self, past: Snapshot, now: float) -> None:
        """Go on from the histories of another process at `now` (Unix seconds): what is not known
        here is as it was there, and of the time between nothing is known.
        """
        if self._recent_slot is None:
            self._recent_slot, self._day_slot = int(now // RECENT_SLOT_S), int(now // DAY_SLOT_S)
        recent = self._recent_slot - int(past.at // RECENT_SLOT_S)
        day = self._day_slot - int(past.at // DAY_SLOT_S)
        if recent < 0 or day < 0:
            return
        # the slot of 15 minutes that has not ended is gone on with from its slots of 15 s
        running = self._recent_slot - self._day_slot * int(DAY_SLOT_S / RECENT_SLOT_S)
        pairs: list[tuple[_Kept | None, History]] = [
            *((self._pools.get(key), each) for key, each in past.histories.items()),
            *((self._tenants.get(name), each) for name, each in past.tenant_histories.items()),
        ]
        for kept, history in pairs:
            if kept is not None:
                kept.begin_with(history, recent, day, running)
        self._histories = Histories(
            {key: kept.history for key, kept in self._pools.items()},
            {name: kept.history for name, kept in self._tenants.items()},
        )

    def saw(self, view: PoolView, oldest_at: float | None, now: float) -> None:
        """Take a pool as it is at `now`, and when the oldest message that waits came (both Unix
        seconds). What is not fresh is not known.
        """
        pool = self._pools.get(view.key)
        if pool is None:
            return
        seen, decision = view.observation, view.decision
        pending = seen.queue.value.pending if isinstance(seen.queue, Fresh) else NOT_KNOWN
        ready = seen.workload.value.ready if isinstance(seen.workload, Fresh) else NOT_KNOWN
        target = NOT_KNOWN if decision is None or decision.target is None else decision.target
        pool.waits_since = oldest_at if pending > 0 else None
        wait_s = min(pending, 0)  # none waits, or that is not known
        if pending > 0:
            wait_s = NOT_KNOWN if oldest_at is None else int(max(now - oldest_at, 0.0))
        pool.saw(pending=pending, ready=ready, target=target, wait_s=wait_s)

    def saw_tenants(self, views: tuple[TenantView, ...]) -> None:
        """Take all tenants as they are now."""
        if views is self._seen:
            return
        self._seen = views
        for view in views:
            tenant, tokens = self._tenants.get(view.name), view.tokens
            if tenant is None:
                continue
            burn = None if tokens is None or tokens.is_old else tokens.burn_per_minute
            if tokens is None and view.by_model is not None and not view.by_model.is_old:
                burn = view.by_model.per_minute
            tenant.saw(tokens=NOT_KNOWN if burn is None else round(burn))

    def pass_time(self, now: float) -> Histories:
        """The histories at `now` (Unix seconds): the same objects until a slot ends.

        Where no call came during whole slots, they are not known. After the clock was set back,
        slots go on when it comes to where it was.
        """
        recent, day = int(now // RECENT_SLOT_S), int(now // DAY_SLOT_S)
        if self._recent_slot is None:
            self._recent_slot, self._day_slot = recent, day
        if recent <= self._recent_slot:
            return self._histories
        at = (self._recent_slot + 1) * RECENT_SLOT_S
        slots, days = recent - self._recent_slot, max(day - self._day_slot, 0)
        pools, tenants = self._histories
        changed = [kept.end(at, slots, days) for kept in self._pools.values()]
        of_tenants = [kept.end(at, slots, days) for kept in self._tenants.values()]
        if any(changed):
            pools = {key: kept.history for key, kept in self._pools.items()}
        if any(of_tenants):
            tenants = {name: kept.history for name, kept in self._tenants.items()}
        self._recent_slot, self._day_slot = recent, max(day, self._day_slot)
        self._histories = Histories(pools, tenants)
        return self._histories
