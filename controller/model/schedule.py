"""Schedules: windows of a tenant's local time in which a pool has another min and max."""

from __future__ import annotations

from controller.model.value import Value


class WeeklyWindow(Value, tag="weekly"):
    """A window that opens on these days (0 is Monday), between two times of the day in minutes from
    midnight. An `until_minute` that is not after `from_minute` is on the following day.
    """

    days: tuple[int, ...]
    from_minute: int
    until_minute: int


class CronWindow(Value, tag="cron"):
    """A window that is open for `for_s` seconds from each moment that the cron expression names in
    the tenant's time zone. It may be longer than the time between two such moments.
    """

    cron: str
    for_s: float


class Schedule(Value):
    """A window, and the min and max that the pool has while it is open; None keeps the pool's
    own.
    """

    window: WeeklyWindow | CronWindow
    min: int | None = None
    max: int | None = None
