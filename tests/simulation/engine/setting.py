"""How fast a simulated fleet lives: its election, its ticks, its work and its budget."""

from __future__ import annotations

from typing import Final, NamedTuple

from controller.model.settings import LeaseTimes


class Setting(NamedTuple):
    """The times of the election, the time between full ticks (seconds), the mean times between
    messages to a pool (seconds), and how many tasks a day the tenant beta may pay for; of the last
    two one is chosen by chance each time it is needed.
    """

    times: LeaseTimes
    interval_s: float
    gaps_s: tuple[float, ...]
    tasks_of_beta: tuple[int, ...]


SHORT: Final = Setting(
    times=LeaseTimes(duration_s=6.0, renew_deadline_s=4.0, retry_s=0.8),
    interval_s=1.0,
    gaps_s=(2.0, 5.0, 12.0),
    tasks_of_beta=(3, 8, 1000),
)
"""Of a history of two minutes: much happens."""
LONG: Final = Setting(
    times=LeaseTimes(duration_s=60.0, renew_deadline_s=40.0, retry_s=8.0),
    interval_s=15.0,
    gaps_s=(60.0, 600.0),
    tasks_of_beta=(1_000_000,),
)
"""Of a fleet that is played for days."""
