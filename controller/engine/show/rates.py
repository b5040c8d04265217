"""How queues move: arrivals, completions and waits, from what the consumers' counters say.

Messages are delivered first in the order in which they came, so the k-th message delivered had
waited since the k-th arrived. Nothing more is asked of NATS than the planner asks for.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple, TypeAlias

from controller.model.ids import PoolKey
from controller.model.observation import QueueDepth
from controller.model.readings import Fresh, Reading
from controller.model.snapshot import QueueRates

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
        """Count what happened since the reading before; False for a consumer that was created
        again, or does not count: its past is another's.
        """
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
            p50, p95 = _percentiles(self._messages)
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


def _percentiles(messages: Mapping[float, int]) -> tuple[float, float]:
    """The waits that half of the messages, and 95 % of them, did not exceed."""
    ordered = sorted(messages.items())
    total = sum(messages.values())
    return _at_share(ordered, 0.5 * total), _at_share(ordered, 0.95 * total)


def _at_share(ordered: list[tuple[float, int]], wanted: float) -> float:
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
        """Take a reading that is another than the one before; only a good one says something of
        the time since. `number` is the queue's place among those of the pool.
        """
        place = pool, number
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
        """When the oldest message that waits for the pool was seen first (Unix seconds); None if
        none waits, or that is not known.
        """
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
