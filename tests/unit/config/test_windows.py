"""Schedules: days, times of the day, and windows that contradict each other."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from controller.config import FleetFileError, parse
from controller.model.fleet import WeeklyWindow
from support.table import tabled

Complain = Callable[[str], list[str]]

POOL = """\
version: 1
nats: {servers: [nats://localhost]}
tenants: {acme: {tier: growth}}
pools:
  - {name: a, tenant: acme, queue: {stream: S, consumer: c}, replicas: {max: 9}, schedules: [
"""


def windows(*lines: str) -> str:
    """A pool with these windows, the first on line 6, column 1."""
    return POOL + "".join(f"{line},\n" for line in lines) + "]}\n"


def weekly(**written: object) -> WeeklyWindow:
    """The window as it is read, of a usual one with these values in place of its own."""
    keys = {"days": "mon", "from": "00:00", "to": "24:00", "min": 1, **written}
    ((schedule,),) = (
        pool.schedules for pool in parse(windows(json.dumps(keys)), "fleet.yaml").fleet.pools
    )
    assert isinstance(schedule.window, WeeklyWindow)
    return schedule.window


@tabled(
    ("written", "days"),
    [
        ("mon-fri", (0, 1, 2, 3, 4)),
        ("sat,sun", (5, 6)),
        ("sun", (6,)),
        ("sat-mon", (0, 5, 6)),
        ("mon, wed-thu", (0, 2, 3)),
        (["mon", "wed"], (0, 2)),
        (["fri-sun", "mon", "mon"], (0, 4, 5, 6)),
        ("wed-wed", (2,)),
    ],
)
def test_days(written: object, days: tuple[int, ...]) -> None:
    assert weekly(days=written).days == days


@tabled("written", ["", "mon-", "-fri", "mon-fri-sun", "mon;fri", "Mon", "weekend", 1, [], [1]])
def test_a_text_that_names_no_days_is_refused(written: object) -> None:
    with pytest.raises(FleetFileError, match="must be days: mon-fri"):
        weekly(days=written)


def test_for_a_long_name_of_a_day_the_short_one_is_offered() -> None:
    with pytest.raises(FleetFileError, match=r"did you mean tue\?"):
        weekly(days="tues")


@tabled(("written", "minute"), [("00:00", 0), ("08:30", 510), ("23:59", 1439)])
def test_times_of_the_day(written: str, minute: int) -> None:
    assert weekly(**{"from": written}).from_minute == minute
    assert weekly(to=written).until_minute == minute
    assert weekly(to="24:00").until_minute == 1440


WRONG = ["8:00", "08:60", "0800", "08:00:00", "08:00\n", "٠٨:00", 800, []]


@tabled(
    ("key", "written"),
    [("from", "24:00"), ("to", "24:01"), *((key, one) for key in ("from", "to") for one in WRONG)],
)
def test_what_is_no_time_of_the_day_is_refused(key: str, written: object) -> None:
    with pytest.raises(FleetFileError, match="must be a time of the day"):
        weekly(**{key: written})


WORK = '{days: mon-fri, from: "08:00", to: "18:00", min: 5}'


@tabled(
    ("other", "open_on"),
    [
        ('{days: tue, from: "17:59", to: "20:00", max: 4}', "tue at 17:59"),
        ('{days: thu, from: "22:00", to: "08:01", max: 0}', "fri at 08:00"),
        ('{days: sun, from: "12:00", to: "12:00", max: 4}', "mon at 08:00"),
        ('{days: sun-mon, from: "00:00", to: "24:00", max: 4}', "mon at 08:00"),
        ('{cron: "59 17 * * 1", for: 60s, max: 4}', "mon 2029-01-01 at 17:59"),
        ('{cron: "0 18 * * 5", for: 223201s, max: 3}', "mon 2029-01-01 at 08:00"),
        ('{cron: "30 7 * * 6", for: 49h, max: 3}', "mon 2029-01-01 at 08:00"),
        ('{cron: "0 12 29 2 *", for: 1h, max: 3}', "fri 2036-02-29 at 12:00"),
        ('{cron: "0 0 31 * *", for: 24h, max: 4}', "wed 2029-01-31 at 08:00"),
    ],
)
def test_windows_that_contradict_each_other_are_refused(
    complaints: Complain, other: str, open_on: str
) -> None:
    (line,) = complaints(windows(WORK, other))
    most = other.partition("max: ")[2].rstrip("}")
    assert line == (
        f"fleet.yaml:6:50: pools[0].schedules[0].min: 5 is more than the max ({most}) of the "
        f"window on line 7, and both are open on {open_on}: change one"
    )
    (line,) = complaints(windows(other, WORK))
    assert "fleet.yaml:7:50: pools[0].schedules[1].min: 5 is more than the max" in line


@tabled(
    "other",
    [
        '{days: mon-fri, from: "18:00", to: "08:00", max: 4}',
        '{days: "sat,sun", from: "00:00", to: "24:00", max: 4}',
        '{days: sun, from: "20:00", to: "08:00", max: 4}',
        '{days: mon-fri, from: "08:00", to: "18:00", max: 5}',
        '{days: mon-fri, from: "08:00", to: "18:00", min: 2, max: 9}',
        '{cron: "0 18 * * 5", for: 62h, max: 3}',
        '{cron: "0 18 * * *", for: 14h, max: 3}',
        '{cron: "0 0 * * 0,6", for: 24h, max: 0}',
    ],
)
def test_windows_that_agree_or_never_meet_are_accepted(complaints: Complain, other: str) -> None:
    assert complaints(windows(WORK, other)) == []


def test_two_cron_windows_meet_where_the_calendar_lets_them(complaints: Complain) -> None:
    leap, mondays = (
        '{cron: "0 12 29 2 *", for: 1h, min: 5}',
        '{cron: "59 12 * * 1", for: 1m, max: 3}',
    )
    (line,) = complaints(windows(leap, mondays))
    assert "both are open on mon 2044-02-29 at 12:59: change one" in line
    assert complaints(windows(leap, '{cron: "0 13 * * *", for: 23h, max: 3}')) == []
    assert complaints(windows(leap, '{cron: "0 0 28 2 *", for: 36h, max: 3}')) == []
