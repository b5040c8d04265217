"""The engine's only clock, as a protocol with a working fake in the tests."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The engine's only clock: Unix seconds that go back only in `follow_step`."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, for ages and waits of this process; no step changes them."""
        ...

    def follow_step(self) -> float:
        """Take over a step of the system's clock; returns its seconds, 0.0 if there was none."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of this clock."""
        ...
