"""Schedules through plan(): which windows are open, and the bounds that follow from them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from controller.model.decision import Code, Decision
from controller.model.fleet import CronWindow, Fleet, Schedule, Tenant, Tier, WeeklyWindow
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation, Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Fresh
from support.planning import plan
from support.table import tabled
from unit.planning.story import behavior, codes, make_pool

NEW_YORK = ZoneInfo("America/New_York")
HOUR_S = 3600.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def cron(expression: str, hours: float, **bounds: int) -> Schedule:
    return Schedule(window=CronWindow(cron=expression, for_s=hours * HOUR_S), **bounds)


def decided(
    schedules: list[Schedule], now: float, zone: ZoneInfo, pending: int, least: int = 0
) -> Decision:
    """A pool of two replicas and a max of 20 with so much work."""
    pool = make_pool(
        min=least, max=20, schedules=tuple(schedules), behavior=behavior(down_window_s=0)
    )
    tenant = Tenant(
        name="acme", tier=Tier(name="growth", priority=500), namespace="a", timezone=str(zone)
    )
    seen = PoolObservation(
        queue=Fresh(value=QueueDepth(pending=pending, in_flight=0), at=now),
        workload=Fresh(value=Workload(replicas=2), at=now),
        pods=Fresh(value=Pods(ready=2), at=now),
    )
    fleet, seen_now = Fleet(tenants=(tenant,), pools=(pool,)), Observation(pools={pool.key: seen})
    result, _ = plan(seen_now, fleet, Intents(), Memory(), now)
    return result.decisions[pool.key]


def is_open(schedule: Schedule, now: str | float, zone: ZoneInfo = NEW_YORK) -> bool:
    """Whether its min is kept without work, or its max with much of it."""
    seconds = at(now) if isinstance(now, str) else now
    pending = 50 if schedule.min is None else 0
    return Code.SCHEDULED in codes(decided([schedule], seconds, zone, pending))


WEEKEND = cron("0 18 * * 5", 62, max=3)


@tabled(
    ("now", "opened"),
    [
        ("2026-11-20T17:59:59.9-05:00", False),
        ("2026-11-20T18:00-05:00", True),
        ("2026-11-21T00:00-05:00", True),
        ("2026-11-23T07:59:59.9-05:00", True),
        ("2026-11-23T08:00-05:00", False),
    ],
)
def test_a_cron_window_is_open_for_so_long(now: str, opened: bool) -> None:
    assert is_open(WEEKEND, now) is opened


@tabled(
    ("last_open", "closed"),
    [
        ("2026-03-09T08:59:59-04:00", "2026-03-09T09:00-04:00"),
        ("2026-11-02T06:59:59-05:00", "2026-11-02T07:00-05:00"),
    ],
    ids=["spring", "autumn"],
)
def test_its_length_is_the_time_that_passes(last_open: str, closed: str) -> None:
    assert is_open(WEEKEND, last_open)
    assert not is_open(WEEKEND, closed)


def test_a_window_longer_than_its_period_stays_open_while_it_fires_again() -> None:
    daily = cron("0 6 * * 1-5", 30, min=2)
    assert is_open(daily, "2026-11-20T05:59-05:00")
    assert is_open(daily, "2026-11-21T11:59-05:00")  # Friday 06:00 and 30 hours
    assert not is_open(daily, "2026-11-21T12:00-05:00")
    always = cron("*/5 * * * *", 1, min=2)
    for minute in range(0, 50 * 60, 7):
        assert is_open(always, at("2026-10-31T12:00-04:00") + 60.0 * minute)


def test_a_window_of_seconds_closes_inside_a_minute() -> None:
    short = Schedule(window=CronWindow(cron="0 18 * * *", for_s=90.5), min=2)
    assert is_open(short, "2026-11-20T18:01:30.4-05:00")
    assert not is_open(short, "2026-11-20T18:01:30.5-05:00")


def test_a_cron_window_fires_by_the_tenants_clock() -> None:
    morning = cron("0 9 * * *", 1, min=2)
    now = at("2026-11-20T09:30+01:00")
    assert is_open(morning, now, ZoneInfo("Europe/Berlin"))
    assert not is_open(morning, now, NEW_YORK)


def test_a_cron_expression_that_cannot_be_read_never_opens() -> None:
    assert not is_open(cron("every friday", 62, max=3), "2026-11-21T00:00-05:00")


def test_of_open_windows_the_largest_min_and_the_smallest_max_count() -> None:
    work = WeeklyWindow(days=(0, 1, 2, 3, 4), from_minute=480, until_minute=1200)
    windows = [
        Schedule(window=work, min=2),
        cron("0 18 * * 5", 62, max=6),
        cron("0 19 * * *", 2, min=4, max=9),
    ]
    bounds = [
        tuple(
            decided(
                windows, at(f"2026-11-20T{hour}:30-05:00"), NEW_YORK, pending, least=1
            ).recommendation
            for pending in (0, 50)
        )
        for hour in (17, 18, 19, 21)
    ]
    assert bounds == [(2, 20), (2, 6), (4, 6), (1, 6)]


@given(
    minute=st.integers(29_000_000, 31_000_000),
    expression=st.sampled_from(["0 18 * * 5", "30 2 * * *", "0 0 29 2 *", "*/20 1-3 * * *"]),
    hours=st.sampled_from([0.5, 1, 24, 62, 700]),
)
def test_a_window_opens_only_when_it_fires_and_closes_only_when_its_time_is_over(
    minute: int, expression: str, hours: float
) -> None:
    schedule, now = cron(expression, hours, min=1), minute * 60.0
    before, after = is_open(schedule, now - 60), is_open(schedule, now)
    shorter = cron(expression, hours / 2, min=1)
    fires = cron(expression, 1 / 60, min=1)
    if after and not before:
        assert is_open(fires, now)
    if before and not after:
        assert is_open(fires, now - hours * HOUR_S)
    assert is_open(shorter, now) <= after
