"""Time in the simulator: stamps as the API writes them, and delays divided by the speed."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime

TURN_S = 0.002  # how long a controller may work before the server gets a turn


def stamp(moment: datetime | None = None) -> str:
    """A moment (now by default) as metav1.Time: whole seconds, UTC."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_stamp() -> str:
    """Now as metav1.MicroTime: exactly six decimals, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_stamp(text: str) -> datetime:
    """The moment of a stamp; raises ValueError for any other text."""
    return datetime.fromisoformat(text)


def age(text: str | None) -> str:
    """The age that kubectl prints for a creation stamp (apimachinery duration.HumanDuration)."""
    if not text:
        return "<unknown>"
    seconds = max(0, int((datetime.now(UTC) - parse_stamp(text)).total_seconds()))
    minutes, hours = seconds // 60, seconds // 3600
    days = hours // 24
    steps: tuple[tuple[bool, Callable[[], str]], ...] = (
        (seconds < 120, lambda: f"{seconds}s"),
        (minutes < 10, lambda: f"{minutes}m" + (f"{seconds % 60}s" if seconds % 60 else "")),
        (minutes < 180, lambda: f"{minutes}m"),
        (hours < 8, lambda: f"{hours}h" + (f"{minutes % 60}m" if minutes % 60 else "")),
        (hours < 48, lambda: f"{hours}h"),
        (days < 8, lambda: f"{days}d" + (f"{hours % 24}h" if hours % 24 else "")),
        (days < 730, lambda: f"{days}d"),
    )
    return next((shown() for fits, shown in steps if fits), f"{days // 365}y")


class Timers:
    """Calls that are due later. One task runs them and sleeps until the earliest.

    Delays are given in simulated seconds and divided by `speed`.
    """

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._earlier = asyncio.Event()

    def after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Run `call` once, `delay_s` simulated seconds from now."""
        at = asyncio.get_running_loop().time() + max(0.0, delay_s) / self.speed
        heapq.heappush(self._due, (at, next(self._order), call))
        if self._due[0][0] == at:
            self._earlier.set()

    async def run(self) -> None:
        """Serve the calls until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._earlier.clear()
            while self._due and self._due[0][0] <= loop.time():
                turn_ends = loop.time() + TURN_S
                while self._due and self._due[0][0] <= loop.time() < turn_ends:
                    _, _, call = heapq.heappop(self._due)
                    call()
                await asyncio.sleep(0)  # a burst of calls must not starve the server
            timeout = self._due[0][0] - loop.time() if self._due else None
            try:
                async with asyncio.timeout(timeout):
                    await self._earlier.wait()
            except TimeoutError:
                continue
