"""Schedules: windows of a tenant's local time in which a pool has another min and max."""

from __future__ import annotations

from controller.model.value import Value


class WeeklyWindow(Value, tag="weekly"):
    """Open on these days (0 is Monday) between two times of the day, in minutes from midnight.

    `until_minute` at or before `from_minute` is on the following day.
    """

    days: tuple[int, ...]
    from_minute: int
    until_minute: int


class CronWindow(Value, tag="cron"):
    """Open for `for_s` seconds from each moment that the cron expression names in the tenant's time
    zone; it may be longer than the time between two of them.
    """

    cron: str
    for_s: float


class Schedule(Value):
    """While its window is open these replace the pool's; None leaves the pool's own."""

    window: WeeklyWindow | CronWindow
    min: int | None = None
    max: int | None = None
