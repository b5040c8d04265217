"""Schedules: windows in a tenant's local time during which a pool has another min and max."""

from __future__ import annotations

from controller.model.value import Value


class WeeklyWindow(Value, tag="weekly"):
    """A window on these days (0 is Monday), from one minute of the day until another.

    Minutes count from midnight. An `until_minute` that is not after `from_minute` is on the
    following day.
    """

    days: tuple[int, ...]
    from_minute: int
    until_minute: int


class CronWindow(Value, tag="cron"):
    """A window that opens at each time of the cron expression, in the tenant's time zone, for
    `for_s` seconds. It may be longer than the time between two openings.
    """

    cron: str
    for_s: float


class Schedule(Value):
    """A window, and the pool's min and max while it is open; None keeps the pool's own."""

    window: WeeklyWindow | CronWindow
    min: int | None = None
    max: int | None = None
