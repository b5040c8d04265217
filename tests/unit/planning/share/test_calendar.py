"""Days as local clocks have them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.planning.share.rows import local_day


def at(text: str, zone: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


@pytest.mark.parametrize(
    ("zone", "now", "minutes"),
    [
        ("UTC", "2026-03-08T12:00", 1440),
        ("America/New_York", "2026-03-08T12:00", 1380),
        ("America/New_York", "2026-11-01T12:00", 1500),
        ("America/Sao_Paulo", "2018-11-04T12:00", 1380),
        ("Asia/Kolkata", "2026-11-01T12:00", 1440),
        ("Pacific/Apia", "2011-12-29T12:00", 1440),
    ],
)
def test_a_day_is_as_long_as_the_clocks_make_it(zone: str, now: str, minutes: int) -> None:
    moment = at(now, zone)
    day = local_day(moment, ZoneInfo(zone))
    assert day.end - day.start == 60 * minutes
    assert day.start <= moment < day.end


def test_the_reset_is_at_the_tenants_midnight() -> None:
    zone = ZoneInfo("America/New_York")
    day = local_day(at("2026-06-01T22:30", "America/New_York"), zone)
    assert day.end == at("2026-06-02T00:00", "America/New_York")


def test_a_midnight_that_is_skipped_is_the_moment_of_the_jump() -> None:
    zone = ZoneInfo("America/Sao_Paulo")
    day = local_day(at("2018-11-04T12:00", "America/Sao_Paulo"), zone)
    assert datetime.fromtimestamp(day.start, zone).isoformat() == "2018-11-04T01:00:00-02:00"
    assert local_day(day.start - 1, zone).end == day.start


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
def test_days_follow_each_other_without_gap_or_overlap(zone: str, now: int) -> None:
    there = ZoneInfo(zone)
    day = local_day(now, there)
    assert day.start <= now < day.end
    assert local_day(day.end, there).start == day.end
    assert local_day(day.start - 1, there).end == day.start


@pytest.mark.parametrize("minute", range(0, 180, 7))
def test_an_hour_repeated_across_midnight_belongs_to_one_day(minute: int) -> None:
    zone = ZoneInfo("America/St_Johns")
    moment = at("2010-11-06T23:00", "America/St_Johns") + 60 * minute
    day = local_day(moment, zone)
    assert day.start <= moment < day.end
    assert local_day(day.end, zone).start == day.end
