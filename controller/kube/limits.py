"""Limits on our requests to an API server: a rate limit for writes, with urgent ones first, and
pauses while the server asks us to wait.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from aiolimiter import AsyncLimiter

WRITES_PER_SECOND: Final = 20.0
WRITE_BURST: Final = 50


class Lane(StrEnum):
    """Requests that an API server throttles together, approximately."""

    READ = "read"
    WRITE = "write"


class Pauses:
    """The times until which no requests are sent, by lane. `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._until = dict.fromkeys(Lane, float("-inf"))

    def hold(self, seconds: float, *lanes: Lane) -> None:
        """Send nothing on these lanes for so many seconds; without lanes, on all of them."""
        until = self._monotonic() + seconds
        for lane in lanes or Lane:
            self._until[lane] = max(self._until[lane], until)

    def remaining(self, lane: Lane) -> float:
        """Seconds until the lane is free; 0.0 if it is."""
        return max(0.0, self._until[lane] - self._monotonic())


class WriteGate:
    """A leaky bucket for writes: urgent writes come first, then the one that has waited longest.

    `run` must run beside the writers. A cancelled writer leaves the queue. At worst its turn is
    lost; a turn is never given twice.
    """

    def __init__(self, per_second: float = WRITES_PER_SECOND, burst: int = WRITE_BURST) -> None:
        self._bucket = AsyncLimiter(burst, burst / per_second)
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._bulk: deque[asyncio.Future[None]] = deque()
        self._asked = asyncio.Event()

    async def enter(self, *, urgent: bool) -> None:
        """Return when it is this writer's turn."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._urgent if urgent else self._bulk).append(turn)
        self._asked.set()
        await turn

    async def run(self) -> None:
        """Give turns until cancelled."""
        while True:
            await self._asked.wait()
            if self._front() is None:
                self._asked.clear()
                continue
            await self._bucket.acquire()
            queue = self._front()  # asked again: a more urgent write may have come meanwhile
            if queue is not None:
                queue.popleft().set_result(None)

    def _front(self) -> deque[asyncio.Future[None]] | None:
        """The queue whose first writer is next; cancelled writers are dropped from it."""
        for queue in (self._urgent, self._bulk):
            while queue and queue[0].done():
                queue.popleft()
            if queue:
                return queue
        return None
