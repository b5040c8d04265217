"""A queue of keys without duplicates, and the task that handles them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from agentdash.demo.kubesim.clock import TURN_S

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """Keys in order of arrival; a key that is queued is not queued twice."""

    def __init__(self, work: Callable[[K], None]) -> None:
        self._work = work
        self._keys: dict[K, None] = {}
        self._filled = asyncio.Event()
        self.handled = 0

    def add(self, key: K) -> None:
        """Call `work(key)` soon."""
        self._keys.setdefault(key)
        self._filled.set()

    async def run(self) -> None:
        """Handle keys until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._filled.wait()
            # wait one turn, so that writes that belong together are handled together
            await asyncio.sleep(0)
            turn_ends = loop.time() + TURN_S
            while self._keys and loop.time() < turn_ends:
                key = next(iter(self._keys))
                del self._keys[key]
                self.handled += 1
                self._work(key)
            if not self._keys:
                self._filled.clear()
