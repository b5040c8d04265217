"""How queues move: arrivals, completions and waits, from what the consumers' counters say.

Messages are delivered first in the order in which they came, so the k-th message delivered had
waited since the k-th arrived. Nothing more is asked of NATS than the planner asks for.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias, TypeVar

from controller.model.ids import PoolKey
from controller.model.observation import QueueDepth
from controller.model.readings import Fresh, Reading
from controller.model.snapshot import (
    NOT_KNOWN,
    History,
    PoolView,
    QueueRates,
    Snapshot,
    TenantView,
    Timeline,
)
from controller.model.value import INT32_MAX

RATE_WINDOW_S: Final = 60.0
WAIT_WINDOW_S: Final = 300.0
RENEW_S: Final = 2.0
"""A pool's rates are worked out again no more often."""
_LEAST_SEEN_S: Final = 10.0
"""A rate over less than this is an accident."""
_BLUR: Final = 0.01
"""Arrivals so near to each other, as a part of the longest wait, are told apart no longer: so a
queue that stands still for a day needs no more room than one that stands for minutes.
"""

_Place: TypeAlias = tuple[PoolKey, int]
"""A pool, and which of its queues."""


class _Count(NamedTuple):
    at: float
    arrived: int
    completed: int


class _Waiting(NamedTuple):
    """Messages that wait, and when they were seen first; `older`: they were there before that."""

    at: float
    messages: int
    older: bool


class _Wait(NamedTuple):
    delivered_at: float
    seconds: float
    messages: int
    older: bool


class QueueMeter:
    """One queue's recent past, from one good reading to the next."""

    def __init__(self, depth: QueueDepth, at: float, since: float) -> None:
        """`since`: when the queue began to hold work, to be empty or to be paused."""
        self.since = since
        self._depth = depth
        self._began = at
        self._counts = deque([_Count(at, 0, 0)])
        self._waiting: deque[_Waiting] = deque()
        self._waits: deque[_Wait] = deque()
        self._messages: Counter[float] = Counter()  # of `_waits`, by how long they waited
        self._older = 0
        self._begin_queue(depth.pending, at)

    def take(self, depth: QueueDepth, at: float) -> bool:
        """Count what happened since; False for a consumer created again, or without counters."""
        before, self._depth = self._depth, depth
        if _standing(depth) != _standing(before):
            self.since = at
        if depth.delivered is None or before.delivered is None:
            return False
        delivered = most = depth.delivered - before.delivered
        if depth.sequence is not None and before.sequence is not None:
            # a message that is only delivered again does not move the sequence
            delivered = most = min(most, depth.sequence - before.sequence)
        if delivered < 0:
            return False
        last = self._counts[-1]
        arrived = max(depth.pending - before.pending + delivered, 0)
        completed = max(delivered - (depth.in_flight - before.in_flight), 0)
        self._counts.append(_Count(at, last.arrived + arrived, last.completed + completed))
        if (before.redelivered or depth.redelivered) and delivered > before.pending - depth.pending:
            # some of the deliveries may be redeliveries, so the order of the queue is lost
            self._begin_queue(depth.pending, at)
            return True
        self._arrive(arrived, at)
        self._deliver(delivered, at)
        self._drop(sum(each.messages for each in self._waiting) - depth.pending)
        return True

    def rates(self, pool: PoolKey, number: int, now: float) -> QueueRates:
        """What is known as of `now`."""
        self._forget(now)
        seen_s = min(now - self._began, RATE_WINDOW_S)
        first, last = self._counts[0], self._counts[-1]
        arrivals = completions = None
        if seen_s >= _LEAST_SEEN_S:
            arrivals = 60 * (last.arrived - first.arrived) / seen_s
            completions = 60 * (last.completed - first.completed) / seen_s
        p50 = p95 = None
        if self._messages and not self._older:
            ordered, total = sorted(self._messages.items()), self._messages.total()
            p50, p95 = _at_share(ordered, 0.5 * total), _at_share(ordered, 0.95 * total)
        oldest = self._waiting[0] if self._waiting else None
        return QueueRates(
            pool=pool,
            arrivals_per_minute=arrivals,
            completions_per_minute=completions,
            waited_p50_s=p50,
            waited_p95_s=p95,
            oldest_at=None if oldest is None else oldest.at,
            oldest_is_older=oldest is not None and oldest.older,
            number=number,
            since=self.since,
        )

    @property
    def oldest_at(self) -> float | None:
        """When the oldest message that waits was seen first (Unix seconds); None if none waits."""
        return self._waiting[0].at if self._waiting else None

    def is_still(self, now: float) -> bool:
        """Whether nothing will be different later, unless the queue moves."""
        return len(self._counts) == 1 and not self._waits and now - self._began >= RATE_WINDOW_S

    def _begin_queue(self, pending: int, at: float) -> None:
        self._waiting.clear()
        if pending:
            self._waiting.append(_Waiting(at, pending, older=True))

    def _arrive(self, messages: int, at: float) -> None:
        if not messages:
            return
        if self._waiting:
            first, last = self._waiting[0], self._waiting[-1]
            if not last.older and at - last.at <= _BLUR * (at - first.at):
                self._waiting[-1] = last._replace(messages=last.messages + messages)
                return
        self._waiting.append(_Waiting(at, messages, older=False))

    def _deliver(self, messages: int, at: float) -> None:
        for each in self._drop(messages):
            wait = _Wait(at, round(at - each.at, 1), each.messages, each.older)
            self._waits.append(wait)
            self._messages[wait.seconds] += wait.messages
            self._older += wait.older

    def _drop(self, messages: int) -> list[_Waiting]:
        """Take so many messages from the front of the queue."""
        taken: list[_Waiting] = []
        while messages > 0 and self._waiting:
            first = self._waiting.popleft()
            if first.messages > messages:
                left = first.messages - messages
                self._waiting.appendleft(first._replace(messages=left))
                first = first._replace(messages=messages)
            messages -= first.messages
            taken.append(first)
        return taken

    def _forget(self, now: float) -> None:
        """Of the counts, one that is older than the window stays: the window begins with it."""
        while len(self._counts) > 1 and self._counts[1].at <= now - RATE_WINDOW_S:
            self._counts.popleft()
        while self._waits and self._waits[0].delivered_at <= now - WAIT_WINDOW_S:
            wait = self._waits.popleft()
            self._messages[wait.seconds] -= wait.messages
            self._older -= wait.older
            if not self._messages[wait.seconds]:
                del self._messages[wait.seconds]


def _standing(depth: QueueDepth) -> str:
    """Which of three is true of a queue: paused in NATS, with work, or empty."""
    if depth.paused:
        return "paused"
    return "work" if depth.total else "empty"


def _at_share(ordered: list[tuple[float, int]], wanted: float) -> float:
    """The wait that so many of the messages did not exceed."""
    passed = 0
    for seconds, messages in ordered:
        passed += messages
        if passed >= wanted:
            return seconds
    return ordered[-1][0]


class QueueMeters:
    """The meters of a fleet. The rates of a queue are the same object while nothing moves in it."""

    def __init__(self, pools: Iterable[PoolKey]) -> None:
        """`pools` has each pool as often as it has queues."""
        self._numbers: dict[PoolKey, list[_Place]] = defaultdict(list)
        for pool in pools:
            self._numbers[pool].append((pool, len(self._numbers[pool])))
        places = [place for each in self._numbers.values() for place in each]
        self._shown = {place: QueueRates(pool=place[0], number=place[1]) for place in places}
        self._rates = tuple(self._shown.values())
        self._meters: dict[_Place, QueueMeter] = {}
        self._due: dict[_Place, float] = {}

    def go_on_from(self, before: QueueMeters, pools: Collection[PoolKey]) -> None:
        """Continue the meters of another fleet, for these pools: their queues stay."""
        kept = {place: each for place, each in before._meters.items() if place[0] in pools}
        self._meters = {place: each for place, each in kept.items() if place in self._shown}
        self._due = dict.fromkeys(self._meters, 0.0)

    def saw(self, pool: PoolKey, reading: Reading[QueueDepth], number: int = 0) -> None:
        """Take a new reading; only a good one tells of the time since. `number`: which queue."""
        place = pool, number
        if place not in self._shown:
            return  # replicas that stand by have no queue of their own
        if not isinstance(reading, Fresh):
            self._meters.pop(place, None)
        else:
            meter = self._meters.get(place)
            if meter is None or not meter.take(reading.value, reading.at):
                since = reading.at if meter is None else meter.since
                self._meters[place] = QueueMeter(reading.value, reading.at, since)
        self._due.setdefault(place, reading.at)

    def forget(self) -> None:
        """Begin anew: the clock was set, so times from before are no longer comparable."""
        self._due.update((place, 0.0) for place in self._meters)
        self._meters.clear()

    def oldest_at(self, pool: PoolKey) -> float | None:
        """When the oldest waiting message was first seen (Unix seconds), if known."""
        meters = [self._meters.get(place) for place in self._numbers.get(pool, ())]
        if any(meter is None for meter in meters):
            return None
        ages = [meter.oldest_at for meter in meters if meter is not None]
        return min((at for at in ages if at is not None), default=None)

    def rates(self, now: float) -> tuple[QueueRates, ...]:
        """Those of all queues, in the order of the fleet and of each pool's queues."""
        changed = False
        for place in [place for place, due in self._due.items() if due <= now]:
            pool, number = place
            meter = self._meters.get(place)
            rates = QueueRates(pool=pool, number=number)
            if meter is not None:
                rates = meter.rates(pool, number, now)
            if meter is None or meter.is_still(now):
                del self._due[place]
            else:
                self._due[place] = now + RENEW_S
            if place in self._shown and rates != self._shown[place]:
                self._shown[place] = rates
                changed = True
        if changed:
            self._rates = tuple(self._shown.values())
        return self._rates


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
        """So many slots ended, the first with these numbers; True: the series differ now."""
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
    """The series, moved by this number and the unknown ones; the same object if equal."""
    if 0 <= number < len(_SHARED):
        number = _SHARED[number]
    longer = (*series, number, *(NOT_KNOWN,) * unknown)
    found = longer[-len(series) :]
    return series if found == series else found


class _Kept:
    """What is kept of a pool or tenant; its messages wait since `waits_since`."""

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
        """Go on from slots left so long `ago`; `running` recent ones are of the day's open slot."""
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
    """Histories by pool and by tenant, each the same object until it changes."""

    pools: Mapping[PoolKey, History]
    tenants: Mapping[str, History]


_Key = TypeVar("_Key", bound=str)


def _shown(kept: Mapping[_Key, _Kept]) -> dict[_Key, History]:
    return {key: each.history for key, each in kept.items()}


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
        self._histories = Histories(_shown(self._pools), _shown(self._tenants))

    def begin_with(self, past: Snapshot, now: float) -> None:
        """Go on from another process's histories at `now`; the time between stays unknown."""
        if self._recent_slot is None:
            self._recent_slot, self._day_slot = int(now // RECENT_SLOT_S), int(now // DAY_SLOT_S)
        recent = self._recent_slot - int(past.at // RECENT_SLOT_S)
        day = self._day_slot - int(past.at // DAY_SLOT_S)
        if recent < 0 or day < 0:
            return
        # the slot of 15 minutes that has not ended is gone on with from its slots of 15 s
        running = self._recent_slot - self._day_slot * int(DAY_SLOT_S / RECENT_SLOT_S)
        items = (*self._pools.items(), *self._tenants.items())
        everything = {str(key): kept for key, kept in items}
        for key, history in (*past.histories.items(), *past.tenant_histories.items()):
            if (kept := everything.get(key)) is not None:
                kept.begin_with(history, recent, day, running)
        self._histories = Histories(_shown(self._pools), _shown(self._tenants))

    def saw(self, view: PoolView, oldest_at: float | None, now: float) -> None:
        """Take a pool at `now` and its oldest message's time; what is not fresh is unknown."""
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
            counted = 0 if tokens is not None and not tokens.is_old else NOT_KNOWN
            if view.by_model is not None:
                counted = NOT_KNOWN if view.by_model.is_old else view.by_model.per_minute
            tenant.saw(tokens=counted)

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
            pools = _shown(self._pools)
        if any(of_tenants):
            tenants = _shown(self._tenants)
        self._recent_slot, self._day_slot = recent, max(day, self._day_slot)
        self._histories = Histories(pools, tenants)
        return self._histories
