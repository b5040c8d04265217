"""The windows that meet by the check of the file also meet when they are run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from controller.config.checks import FIRST_DAY, first_common
from controller.model.fleet import CronWindow, Schedule, WeeklyWindow
from controller.planning.inputs import Moment, bounds_now

START = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC).timestamp()
MINUTES = st.integers(0, 1439)

weekly = st.builds(
    WeeklyWindow,
    days=st.sets(st.integers(0, 6), min_size=1, max_size=2).map(lambda days: tuple(sorted(days))),
    from_minute=MINUTES,
    until_minute=st.integers(1, 1440),
)
by_cron = st.builds(
    CronWindow,
    cron=st.builds(
        "{} {} {} {} {}".format,
        st.integers(0, 59),
        st.sampled_from(["0", "23", "*/8", "8-10"]),
        st.sampled_from(["*", "1", "31", "L"]),
        st.sampled_from(["*", "1,3"]),
        st.sampled_from(["*", "1", "5-6", "2#1"]),
    ),
    for_s=st.sampled_from([30.0, 3600.0, 5000.0, 30 * 3600.0]),
)
windows = weekly | by_cron


def is_open(window: WeeklyWindow | CronWindow, now: float) -> bool:
    return bounds_now(
        0, 9, [Schedule(window=window, min=1)], ZoneInfo("UTC"), Moment(now)
    ).scheduled


@given(one=windows, other=windows, minutes=st.lists(st.integers(0, 90 * 1440), max_size=20))
def test_the_first_minute_in_which_two_windows_meet(
    one: WeeklyWindow | CronWindow, other: WeeklyWindow | CronWindow, minutes: list[int]
) -> None:
    found = first_common(one, other)
    meeting = None if found is None else START + 60.0 * (1440 * found[0] + found[1])
    # a window of the year before may still be open in the first days; the cycle wraps it round
    tried = [START + 60.0 * minute for minute in minutes if minute > 2 * 1440]
    both = [now for now in tried if is_open(one, now) and is_open(other, now)]
    if meeting is None:
        assert both == []
    else:
        assert all(meeting <= now for now in both)
        if meeting >= START + timedelta(days=2).total_seconds():
            assert is_open(one, meeting)
            assert is_open(other, meeting)
