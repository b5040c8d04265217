"""How queues move: arrivals, completions and waits, from what the consumers' counters say.

Messages are delivered first in the order in which they came, so the k-th message delivered had
waited since the k-th arrived. Nothing more is asked of NATS than the planner asks for.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from controller.model.fleet_views import QueueRates
from controller.model.ids import PoolKey
from controller.model.observation import QueueDepth
from controller.model.readings import Fresh, Reading

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

    def __init__(self, depth: QueueDepth, at: float) -> None:
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

    def rates(self, pool: PoolKey, now: float) -> QueueRates:
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
        )

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
    """The meters of a fleet. The rates of a pool are the same object while nothing moves in it."""

    def __init__(self, pools: Iterable[PoolKey]) -> None:
        self._shown = {key: QueueRates(pool=key) for key in pools}
        self._rates = tuple(self._shown.values())
        self._meters: dict[PoolKey, QueueMeter] = {}
        self._due: dict[PoolKey, float] = {}

    def saw(self, pool: PoolKey, reading: Reading[QueueDepth]) -> None:
        """Take a reading that is another than the one before; only a good one says something of
        the time since.
        """
        if not isinstance(reading, Fresh):
            self._meters.pop(pool, None)
        elif (meter := self._meters.get(pool)) is None or not meter.take(reading.value, reading.at):
            self._meters[pool] = QueueMeter(reading.value, reading.at)
        self._due.setdefault(pool, reading.at)

    def forget(self) -> None:
        """Begin anew: the clock was set, so times from before are no longer comparable."""
        self._due.update((pool, 0.0) for pool in self._meters)
        self._meters.clear()

    def rates(self, now: float) -> tuple[QueueRates, ...]:
        """Those of all pools, in the order of the fleet."""
        changed = False
        for pool in [pool for pool, due in self._due.items() if due <= now]:
            meter = self._meters.get(pool)
            rates = QueueRates(pool=pool) if meter is None else meter.rates(pool, now)
            if meter is None or meter.is_still(now):
                del self._due[pool]
            else:
                self._due[pool] = now + RENEW_S
            if pool in self._shown and rates != self._shown[pool]:
                self._shown[pool] = rates
                changed = True
        if changed:
            self._rates = tuple(self._shown.values())
        return self._rates
