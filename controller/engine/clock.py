"""The engine's one clock: wall time at start plus monotonic time since; and slots of full ticks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from controller.planning.memory import STEP_S
from controller.ports import Clock


class SystemClock:
    """Unix seconds that go back only in `follow_step`.

    When the system's clock has stepped by more than `STEP_S`, `follow_step` takes over the new time
    once and returns the difference. The caller adds it to all remembered times, so that ages stay
    correct.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def now(self) -> float:
        """Unix seconds."""
        return self._offset + self._monotonic()

    def monotonic(self) -> float:
        """Seconds for ages and waits; no step of the system's clock changes them."""
        return self._monotonic()

    def follow_step(self) -> float:
        """Take over a step of the system's clock; returns its seconds, 0.0 if there was none."""
        step = self._wall() - self.now()
        if abs(step) <= STEP_S:
            return 0.0
        self._offset += step
        return step

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; a negative number counts as 0."""
        await asyncio.sleep(max(0.0, seconds))


def next_slot(slot: float, now: float, interval_s: float) -> tuple[float, int]:
    """The first slot after `slot` that is not past at `now`, and how many slots were skipped."""
    following = slot + interval_s
    if now <= following:
        return following, 0
    late = int((now - following) // interval_s) + 1
    return following + late * interval_s, late


async def sleep_unless(event: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Sleep for so long, or until the event is set."""
    sleep = asyncio.ensure_future(clock.sleep(seconds))
    is_set = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({sleep, is_set}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleep.cancel()
        is_set.cancel()
