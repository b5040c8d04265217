"""Schedules: days, times of the day, and windows that contradict each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from controller.config import parse
from controller.config.weekdays import days_of_week, end_of_window, minute_of_day
from controller.model.schedule import Schedule, WeeklyWindow

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
def test_what_are_no_days_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be days: mon-fri"):
        days_of_week(written)


def test_a_long_name_of_a_day_is_told_its_short_one() -> None:
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


def test_a_window_is_kept_as_days_and_minutes(fleet: dict[str, Any], dump: Dump) -> None:
    fleet["pools"][0]["schedules"] = [
        {"days": "mon-fri", "from": "08:00", "to": "18:00", "min": 2},
        {"days": ["fri"], "from": "22:00", "to": "06:00", "min": 0, "max": 3},
    ]
    (pool,) = parse(dump(fleet), "fleet.yaml").fleet.pools
    work = WeeklyWindow(days=(0, 1, 2, 3, 4), from_minute=480, until_minute=1080)
    night = WeeklyWindow(days=(4,), from_minute=1320, until_minute=360)
    assert pool.schedules == (
        Schedule(window=work, min=2, max=None),
        Schedule(window=night, min=0, max=3),
    )


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{days: mon, from: "08:00", to: "09:00"}', "6:1: pools[0].schedules[0]: sets nothing"),
        ('{days: mon, from: "08:00", to: "09:00", min: 3, max: 2}', "max: the number 2 must be at"),
        ('{from: "08:00", to: "09:00", min: 3}', "schedules[0].days: is required. Days it opens"),
        ('{days: mon, from: 8, to: "09:00", min: 3}', "6:19: pools[0].schedules[0].from: the numb"),
        ('{days: mon, from: "08:00", until: "09:00", to: "09:00", min: 1}', "until: unknown key"),
        ("mon-fri", 'must be a mapping, not "mon-fri": write {days: mon-fri, from: "08:00"'),
    ],
)
def test_what_is_wrong_with_a_window_is_said(
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
    ],
)
def test_windows_that_agree_or_never_meet_are_taken(complaints: Complain, other: str) -> None:
    assert complaints(windows(WORK, other)) == []
