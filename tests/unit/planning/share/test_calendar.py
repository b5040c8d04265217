"""Days as local clocks have them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from controller.planning.share.rows import local_day
from support.table import tabled


def at(text: str, zone: str, fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp())


@tabled(
    ("zone", "now", "start", "minutes"),
    [
        ("UTC", "2026-03-08T12:00", "2026-03-08T00:00:00+00:00", 1440),
        ("America/New_York", "2026-03-08T12:00", "2026-03-08T00:00:00-05:00", 1380),
        ("America/New_York", "2026-11-01T22:30", "2026-11-01T00:00:00-04:00", 1500),
        ("America/Sao_Paulo", "2018-11-04T12:00", "2018-11-04T01:00:00-02:00", 1380),
        ("Asia/Kolkata", "2026-11-01T12:00", "2026-11-01T00:00:00+05:30", 1440),
        ("Pacific/Apia", "2011-12-29T12:00", "2011-12-29T00:00:00-10:00", 1440),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(
    zone: str, now: str, start: str, minutes: int
) -> None:
    day = local_day(at(now, zone), ZoneInfo(zone))
    assert datetime.fromtimestamp(day.start, ZoneInfo(zone)).isoformat() == start
    assert day.end - day.start == 60 * minutes


ZONES = (
    "UTC",
    "America/New_York",
    "America/St_Johns",  # until 2011 the clocks went back at 00:01, to the day before
    "America/Havana",  # midnight comes twice
    "America/Toronto",  # in 1919 midnight was jumped over from half past eleven
    "Pacific/Apia",  # there was no 30 December 2011
    "Australia/Lord_Howe",
    "Asia/Beirut",
)


@given(st.sampled_from(ZONES), st.integers(-1_700_000_000, 2_000_000_000))
@example("America/St_Johns", at("2010-11-06T23:58", "America/St_Johns"))
@example("America/St_Johns", at("2010-11-06T23:30", "America/St_Johns", fold=1))
@example("America/St_Johns", at("2010-11-07T00:00", "America/St_Johns"))
def test_days_follow_each_other_without_gap_or_overlap(zone: str, now: int) -> None:
    there = ZoneInfo(zone)
    day = local_day(now, there)
    assert day.start <= now < day.end
    assert local_day(day.end, there).start == day.end
    assert local_day(day.start - 1, there).end == day.start
