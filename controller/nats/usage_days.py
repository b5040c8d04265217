"""Sums by day, where a day is one of a tenant's time zone."""

from __future__ import annotations

from typing import Generic, TypeVar
from zoneinfo import ZoneInfo

from controller.planning.share.calendar import Day, local_day

T = TypeVar("T")


class Daily(Generic[T]):
    """One sum for each day: of the latest day that was added to, and of the day before."""

    def __init__(self, zone: ZoneInfo, nothing: T) -> None:
        """`nothing` is the sum of a day without anything."""
        self._zone = zone
        self._nothing = nothing
        self._sums: dict[float, T] = {}
        self._latest: Day | None = None

    def day(self, at: float) -> Day:
        """The day that this moment (Unix seconds) belongs to."""
        day = self._latest
        if day is None or not day.start <= at < day.end:
            day = self._latest = local_day(at, self._zone)
        return day

    def sum(self, at: float) -> T:
        """The sum of the day of this moment."""
        return self._sums.get(self.day(at).start, self._nothing)

    def put(self, at: float, total: T) -> None:
        """Replace the sum of the day of this moment."""
        day = self.day(at)
        if day.start not in self._sums:
            # the day before is kept: the engine's clock may be set back across midnight
            yesterday = local_day(day.start - 1, self._zone).start
            self._sums = {start: each for start, each in self._sums.items() if start >= yesterday}
        self._sums[day.start] = total
