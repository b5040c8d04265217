"""Cron expressions: what can be read, and when they fire on days with and without a change."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.notation.cron import Cron, CronError, last_firing, read_cron
from support.examples import scaled
from support.table import tabled

NEW_YORK = ZoneInfo("America/New_York")
BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # its clock changes by half an hour
APIA = ZoneInfo("Pacific/Apia")  # it left out the 30th of December 2011
DAY_S = 86_400.0


def at(text: str) -> float:
    """Unix seconds of an ISO time with its offset."""
    return datetime.fromisoformat(text).timestamp()


def fired(expression: str, zone: ZoneInfo, now: str, reach_s: float = 400 * DAY_S) -> str | None:
    moment = last_firing(read_cron(expression), zone, at(now), reach_s)
    return moment if moment is None else datetime.fromtimestamp(moment, zone).isoformat("T")


@tabled(
    ("expression", "complaint"),
    [
        ("", "must have five fields, minute hour day-of-month month day-of-week, .* it has 0"),
        ("0 18 * *", "must have five fields, .*; it has 4"),
        ("0 0 18 * * 5", "must have five fields, .*; it has 6"),
        ("@daily", "holds '@', which no field of cron can have"),
        ("0 0 * * ٥", "holds '٥', which no field of cron can have"),
        ("1_0 0 * * *", "holds '_', which no field of cron can have"),
        ("0 0 * * +5", r"holds '\+', which no field of cron can have"),
        ("0 18 * * 5" + " " * 200, "has 210 characters: 200 are the most it may have"),
        ("0 18 * *" + " 5" * 200, "has 408 characters: 200 are the most it may have"),
        ("60 18 * * 5", "has an impossible minute: 60"),
        ("0 25 * * 5", "has an impossible hour: 25"),
        ("0 0 31 2,4 *", "has an impossible day-of-month: 31"),
        ("0 0 1 0 *", "has an impossible month: 0"),
        ("0 0 * * 8", "has an impossible day-of-week: 8"),
        ("0 0 * * 5-1", "has an impossible day-of-week: 5-1"),
        ("0 0 * * 1#6", "has an impossible day-of-week: 1#6"),
        ("*/0 0 * * *", r"has an impossible minute: \*/0"),
        ("0 0 " + "9" * 190 + " * *", "has an impossible day-of-month: 9+"),
    ],
)
def test_what_is_no_expression_is_refused_by_field(expression: str, complaint: str) -> None:
    with pytest.raises(CronError, match=complaint):
        read_cron(expression)


@tabled(
    ("expression", "now", "moment"),
    [
        ("0 18 * * 5", "2026-11-21T12:00-05:00", "2026-11-20T18:00:00-05:00"),
        ("0 18 * * 5", "2026-11-20T18:00-05:00", "2026-11-20T18:00:00-05:00"),
        ("0 18 * * 5", "2026-11-20T17:59:59.9-05:00", "2026-11-13T18:00:00-05:00"),
        ("0 18 * * fri", "2026-11-21T12:00-05:00", "2026-11-20T18:00:00-05:00"),
        ("55 23 * * *", "2026-11-21T00:05-05:00", "2026-11-20T23:55:00-05:00"),
        ("0 9 31 * *", "2026-05-01T00:00-04:00", "2026-03-31T09:00:00-04:00"),
        ("0 9 31 * *", "2027-01-30T00:00-05:00", "2026-12-31T09:00:00-05:00"),
        ("0 0 29 2 *", "2029-01-01T00:00-05:00", "2028-02-29T00:00:00-05:00"),
        ("0 9 L * *", "2028-03-01T00:00-05:00", "2028-02-29T09:00:00-05:00"),
        ("0 9 * * 5L", "2026-11-30T00:00-05:00", "2026-11-27T09:00:00-05:00"),
        ("0 9 13 * 5", "2026-11-15T00:00-05:00", "2026-11-13T09:00:00-05:00"),
        ("0 9 14 * 5", "2026-11-15T00:00-05:00", "2026-11-14T09:00:00-05:00"),
        ("*/20 8-10 * 6-8 1-5", "2026-11-21T00:00-05:00", "2026-08-31T10:40:00-04:00"),
    ],
)
def test_the_latest_moment_that_an_expression_names(expression: str, now: str, moment: str) -> None:
    assert fired(expression, NEW_YORK, now) == moment


@tabled(
    ("expression", "zone", "now", "moment"),
    [
        # New York skips 02:00 to 03:00 on the 8th of March 2026: it fires once, at the jump
        ("30 2 * * *", NEW_YORK, "2026-03-08T01:59:59-05:00", "2026-03-07T02:30:00-05:00"),
        ("30 2 * * *", NEW_YORK, "2026-03-08T03:00-04:00", "2026-03-08T03:00:00-04:00"),
        ("30 2 * * *", NEW_YORK, "2026-03-08T12:00-04:00", "2026-03-08T03:00:00-04:00"),
        ("*/20 2 * * *", NEW_YORK, "2026-03-08T12:00-04:00", "2026-03-08T03:00:00-04:00"),
        ("15 * * * *", NEW_YORK, "2026-03-08T03:10-04:00", "2026-03-08T03:00:00-04:00"),
        ("0 2 * * *", LORD_HOWE, "2026-10-04T12:00+11:00", "2026-10-04T02:30:00+11:00"),
        ("0 12 30 12 *", APIA, "2011-12-31T06:00+14:00", "2011-12-31T00:00:00+14:00"),
        # New York shows 01:00 to 02:00 twice on the 1st of November 2026: the first counts
        ("30 1 * * *", NEW_YORK, "2026-11-01T01:29-04:00", "2026-10-31T01:30:00-04:00"),
        ("30 1 * * *", NEW_YORK, "2026-11-01T01:30-04:00", "2026-11-01T01:30:00-04:00"),
        ("30 1 * * *", NEW_YORK, "2026-11-01T01:10-05:00", "2026-11-01T01:30:00-04:00"),
        ("30 1 * * *", NEW_YORK, "2026-11-01T01:45-05:00", "2026-11-01T01:30:00-04:00"),
        ("*/15 1 * * *", NEW_YORK, "2026-11-01T01:10-05:00", "2026-11-01T01:45:00-04:00"),
        ("45 1 * * *", LORD_HOWE, "2026-04-05T01:50+10:30", "2026-04-05T01:45:00+11:00"),
        # an expression that fires every hour fires in both
        ("30 * * * *", NEW_YORK, "2026-11-01T01:10-05:00", "2026-11-01T01:30:00-04:00"),
        ("30 * * * *", NEW_YORK, "2026-11-01T01:45-05:00", "2026-11-01T01:30:00-05:00"),
        ("30 * * * *", NEW_YORK, "2026-11-01T02:10-05:00", "2026-11-01T01:30:00-05:00"),
        ("0,45 * * * *", NEW_YORK, "2026-11-01T01:10-05:00", "2026-11-01T01:00:00-05:00"),
    ],
)
def test_days_on_which_the_clock_changes(
    expression: str, zone: ZoneInfo, now: str, moment: str
) -> None:
    assert fired(expression, zone, now) == moment


def test_moments_older_than_the_reach_are_not_found() -> None:
    assert fired("0 0 29 2 *", NEW_YORK, "2026-11-21T12:00-05:00", 30 * DAY_S) is None
    assert fired("0 18 * * 5", NEW_YORK, "2026-11-21T12:00-05:00", 60.0) is None
    assert fired("0 12 * * 6", NEW_YORK, "2026-11-21T12:00:59-05:00", 60.0) is not None
    assert fired("0 12 * * 6", NEW_YORK, "2026-11-21T12:01-05:00", 60.0) is None
    assert fired("0 12 30 12 *", APIA, "2011-12-31T00:00:59+14:00", 60.0) is not None


fields = st.tuples(
    st.sampled_from(["0", "30", "59", "*/15", "7,37"]),
    st.sampled_from(["0", "1", "2", "23", "0-3", "*", "*/6", "1,2"]),
    st.sampled_from(["*", "1", "29", "31", "L", "1-10"]),
    st.sampled_from(["*", "2,3", "10-12"]),
    st.sampled_from(["*", "0", "5", "1-5", "sun"]),
)
zones = st.sampled_from([NEW_YORK, BERLIN, LORD_HOWE, ZoneInfo("UTC"), ZoneInfo("Asia/Kolkata")])


@settings(max_examples=scaled(30))
@given(fields=fields, zone=zones, minute=st.integers(29_000_000, 31_000_000))
def test_it_is_the_latest_of_the_moments_that_the_clock_shows(
    fields: tuple[str, ...], zone: ZoneInfo, minute: int
) -> None:
    """Compared with a plain search: what the clock shows in every minute of two days."""
    cron, now = read_cron(" ".join(fields)), minute * 60.0
    shown = [_shown(now - 60 * ago, zone) for ago in range(2 * 24 * 60)]
    plain = next(
        (moment for (moment, local), (_, before) in pairwise(shown) if _fires(cron, local, before)),
        None,
    )
    found = last_firing(cron, zone, now, 3 * DAY_S)
    if plain is not None:
        assert found == plain
    else:
        assert found is None or found <= now - 2 * DAY_S + 120


def _shown(moment: float, zone: ZoneInfo) -> tuple[float, datetime]:
    return moment, datetime.fromtimestamp(moment, zone)


def _fires(cron: Cron, local: datetime, before: datetime) -> bool:
    """Whether it fires in this minute, of which the clock showed `before` a minute ago."""
    if local.fold and not cron.every_hour:
        return False
    wall = local.replace(tzinfo=None, fold=0)
    times = [wall]
    step = before.replace(tzinfo=None, fold=0) + timedelta(minutes=1)
    while step < wall:
        times.append(step)
        step += timedelta(minutes=1)
    return any(
        cron.fires_on(one.date()) and 60 * one.hour + one.minute in cron.minutes for one in times
    )
