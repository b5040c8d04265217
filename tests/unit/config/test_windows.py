"""Schedules: days, times of the day, and windows that contradict each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller.config import parse
from controller.config.windows import days_of_week, end_of_window, minute_of_day
from controller.model.fleet import CronWindow, Schedule, WeeklyWindow

Complain = Callable[[str], list[str]]
Dump = Callable[[object], str]

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


@pytest.mark.parametrize(
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
    assert days_of_week(written) == days


@pytest.mark.parametrize(
    "written", ["", "mon-", "-fri", "mon-fri-sun", "mon;fri", "Mon", "weekend", 1, None, [], [1]]
)
def test_a_text_that_names_no_days_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be days: mon-fri"):
        days_of_week(written)


def test_for_a_long_name_of_a_day_the_short_one_is_offered() -> None:
    with pytest.raises(ValueError, match=r"did you mean tue\?"):
        days_of_week("tues")


def test_times_of_the_day() -> None:
    assert (minute_of_day("00:00"), minute_of_day("08:30"), minute_of_day("23:59")) == (
        0,
        510,
        1439,
    )
    assert end_of_window("24:00") == 1440
    some: list[object] = ["24:00", "8:00", "08:60", "0800", "08:00:00", "08:00\n", "٠٨:00", 800]
    for wrong in (*some, None, []):
        with pytest.raises(ValueError, match="must be a time of the day"):
            minute_of_day(wrong)
    with pytest.raises(ValueError, match="must be a time of the day"):
        end_of_window("24:01")


def test_a_window_is_kept_as_it_is_written(fleet: dict[str, Any], dump: Dump) -> None:
    fleet["pools"][0]["schedules"] = [
        {"days": "mon-fri", "from": "08:00", "to": "18:00", "min": 2},
        {"days": ["fri"], "from": "22:00", "to": "06:00", "min": 0, "max": 3},
        {"cron": "0 18 * * 5", "for": "62h", "max": 3, "days": None},
    ]
    (pool,) = parse(dump(fleet), "fleet.yaml").fleet.pools
    work = WeeklyWindow(days=(0, 1, 2, 3, 4), from_minute=480, until_minute=1080)
    night = WeeklyWindow(days=(4,), from_minute=1320, until_minute=360)
    assert pool.schedules == (
        Schedule(window=work, min=2, max=None),
        Schedule(window=night, min=0, max=3),
        Schedule(window=CronWindow(cron="0 18 * * 5", for_s=62 * 3600.0), max=3),
    )


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{days: mon, from: "08:00", to: "09:00"}', "6:1: pools[0].schedules[0]: sets nothing"),
        ('{days: mon, from: "08:00", to: "09:00", min: 3, max: 2}', "max: the number 2 must be at"),
        ('{from: "08:00", to: "09:00", min: 3}', "6:1: pools[0].schedules[0]: needs days: a windo"),
        ("{min: 3}", "needs days and from and to: a window is days, from and to, or cron and for"),
        ('{cron: "0 18 * * 5", min: 3}', "6:1: pools[0].schedules[0]: needs for: a window is days"),
        ("{for: 62h, min: 3}", "needs cron: a window is"),
        (
            '{cron: "0 18 * * 5", for: 1h, days: mon, min: 3}',
            "has days and cron and for; take days",
        ),
        (
            '{cron: "0 18 * * 8", for: 1h, min: 3}',
            '6:8: pools[0].schedules[0].cron: "0 18 * * 8" has an impossible day-of-week: 8',
        ),
        (
            f'{{cron: "0 18 * * {"5," * 200}5", for: 1h, min: 3}}',
            "has 410 characters: 200 are the mo",
        ),
        ('{cron: "0 ١٨ * * 5", for: 1h, min: 3}', "holds '١', which no field of cron can have"),
        ('{cron: "0 1_8 * * 5", for: 1h, min: 3}', "holds '_', which no field of cron can have"),
        ('{days: mon, from: "٠٨:00", to: "09:00", min: 3}', "must be a time of the day, such as"),
        ('{cron: "0 18 *", for: 1h, min: 3}', '"0 18 *" must have five fields, minute hour'),
        ("{cron: 5, for: 1h, min: 3}", "6:8: pools[0].schedules[0].cron: must be text, not the n"),
        ('{cron: "0 18 * * 5", for: 0, min: 3}', "6:27: pools[0].schedules[0].for: the number 0 "),
        ('{cron: "0 18 * * 5", for: 745h, min: 3}', '"745h" must be between 1s and 744h'),
        ('{cron: "0 18 * * 5", for: 62h}', "6:1: pools[0].schedules[0]: sets nothing"),
        ('{days: mon, from: 8, to: "09:00", min: 3}', "6:19: pools[0].schedules[0].from: the numb"),
        ('{days: mon, from: "08:00", until: "09:00", to: "09:00", min: 1}', "until: unknown key"),
        ("mon-fri", 'must be a mapping, not "mon-fri": write {days: mon-fri, from: "08:00"'),
    ],
)
def test_each_problem_of_a_window_is_reported(
    complaints: Complain, line: str, complaint: str
) -> None:
    (found,) = complaints(windows(line))
    assert complaint in found


WORK = '{days: mon-fri, from: "08:00", to: "18:00", min: 5}'


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


def test_a_month_of_windows_is_compared_in_a_moment(complaints: Complain) -> None:
    hours = [f'{{cron: "{m} * * * *", for: 744h, max: {9 + m}}}' for m in range(30)]
    assert complaints(windows(*hours, '{cron: "* * * * *", for: 744h, min: 9}')) == []
    assert len(complaints(windows(*hours, '{cron: "* * * * *", for: 744h, min: 10}'))) == 1
