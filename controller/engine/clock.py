"""The engine's one clock: the wall clock at start plus monotonic time since."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

STEP_S: Final = 2.0
"""A wall clock further away than this has been stepped; nearer, it is only being slewed."""


class SystemClock:
    """Unix seconds that never run backwards by themselves.

    When the system's clock has stepped by more than 2 s, `follow_step` follows it once and says how
    far, so that remembered times can be shifted by as much and ages stay true.
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

    def follow_step(self) -> float:
        """Follow a step of the system's clock once; returns its seconds, 0.0 if there was none."""
        step = self._wall() - self.now()
        if abs(step) <= STEP_S:
            return 0.0
        self._offset += step
        return step

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""
        await asyncio.sleep(max(0.0, seconds))
