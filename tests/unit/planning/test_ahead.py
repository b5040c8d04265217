"""The next change of a pool, foreseen by the plan itself."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from msgspec.structs import replace

from controller.model.decision import Code
from controller.model.fleet import Fleet, Pool, Schedule, Tenant, Tier, WeeklyWindow
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory
from controller.model.observation import (
    Observation,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    QueueDepth,
    TenantObservation,
    TokenUsage,
    Workload,
)
from controller.model.readings import Fresh
from controller.model.scarcity import Budget
from controller.planning.whatif import NextChange, Starting, next_change, outlook_of
from support.asked import a_freeze, a_pin, intents_of
from support.crews import crew, pod, state
from support.planning import seen_pool
from support.table import tabled
from unit.planning.story import OBSERVED_FOR_LONG, START, Story, behavior, make_pool

DAY_S = 86_400.0
SLOW_DOWN = make_pool(behavior=behavior(down_window_s=60), cooldown_s=0.0)
TIER = Tier(name="growth", priority=500)
AT_ONCE = make_pool(behavior=behavior(down_window_s=0), cooldown_s=0.0)


def seen(replicas: int, *, pending: int, at: float) -> PoolObservation:
    return seen_pool(pending, Workload(replicas=replicas, current=replicas), at=at)


def next_of(story: Story, intents: Intents = Intents()) -> NextChange | None:  # noqa: B008
    """The next change of a pool that has one message now."""
    pools = {SLOW_DOWN.key: seen(story.replicas, pending=1, at=story.now)}
    return next_change(
        SLOW_DOWN,
        observation=Observation(pools=pools),
        fleet=Fleet(pools=(SLOW_DOWN,)),
        intents=intents,
        memory=story.memory,
        now=story.now,
    )


def shrinking() -> Story:
    """A pool of 3 that has had one message for 18 seconds, in a window of a minute."""
    story = Story(SLOW_DOWN, replicas=3).warmed_up(pending=3)
    return story.tell("18* 1 : 3")


def foreseen(
    replicas: int,
    *,
    pending: int = 0,
    intents: Intents = Intents(),  # noqa: B008 - a frozen value
    used: int | None = None,
    pool: Pool = AT_ONCE,
    observed: PoolObservation | None = None,
) -> NextChange | None:
    """`used`: so many of the 1000 tokens of the day's hard budget, None without one."""
    budget, tenants = Budget(tokens_per_day=None if used is None else 1000), {}
    if used is not None:
        usage = Fresh(value=TokenUsage(used=Decimal(used)), at=START)
        tenants = {"acme": TenantObservation(usage=usage)}
    tenant = Tenant(name="acme", tier=TIER, namespace="tenant-acme", budget=budget)
    pools = {pool.key: observed or seen(replicas, pending=pending, at=START)}
    return next_change(
        pool,
        observation=Observation(pools=pools, tenants=tenants),
        fleet=Fleet(tiers=(TIER,), tenants=(tenant,), pools=(pool,)),
        intents=intents,
        memory=Memory(pools={pool.key: OBSERVED_FOR_LONG}),
        now=START,
    )


@pytest.mark.parametrize("steps", [0, 8], ids=["by its reason", "by its times"])
def test_a_window_downwards_says_when_it_lets_go_and_to_what_size(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many times are tried before, the end that a reason names is."""
    monkeypatch.setattr("controller.planning.whatif.MOST_STEPS", steps)
    story = shrinking()
    change = next_of(story)
    assert change is not None
    assert (change.before, change.after, change.ends) == (3, 1, Code.STABILIZED_DOWN)
    sizes = story.ticks(60, pending=1)
    assert change.at - story.now + 60 == pytest.approx(sizes.index(1), abs=1.0)


def test_a_pool_that_changes_now_or_never_has_no_next_change() -> None:
    assert foreseen(1, pending=5) is None
    assert foreseen(5, pending=5) is None


def test_a_freeze_is_named_with_its_end_though_a_window_that_held_the_pool_ended_before() -> None:
    story = shrinking()
    until = story.now + 1800
    freeze = a_freeze(scope=Scope(tenant="acme"), until=until, who="ann")
    change = next_of(story, intents_of(freezes=(freeze,)))
    assert change == NextChange(at=until, before=3, after=1, ends=Code.FROZEN)


def test_a_spent_budget_lasts_until_the_tenants_day_ends() -> None:
    change = foreseen(0, pending=4, used=1000)
    day_ends = START - START % DAY_S + DAY_S
    assert change == NextChange(at=day_ends, before=0, after=4, ends=Code.BUDGET_SPENT)


FOR_AN_HOUR = intents_of(
    freezes=(a_freeze(scope=Scope(tenant="acme"), until=START + 3600, who="ann"),)
)


@tabled(("used", "after"), [(0, 4), (1000, 0)])
def test_what_is_used_stays_known_while_only_time_passes(used: int, after: int) -> None:
    """A reading of the usage counts for ten minutes, and it is read again and again until then."""
    change = foreseen(2, pending=4, used=used, intents=FOR_AN_HOUR)
    assert change == NextChange(at=START + 3600, before=2, after=after, ends=Code.FROZEN)


@tabled("busy", [0, 1])
def test_a_pool_whose_workers_must_stop_first_waits_for_them(busy: int) -> None:
    """Its size is the same at first, also when the freeze ends that has held it."""
    at_work = crew([pod("a"), pod("b")], [state("a", busy), state("b")])
    observed = replace(at_work, queue=Fresh(value=QueueDepth(pending=0, in_flight=busy), at=START))
    draining = foreseen(2, observed=observed)
    assert draining == NextChange(at=None, before=2, after=busy, ends=Code.DRAINING)
    frozen = foreseen(2, observed=observed, intents=FOR_AN_HOUR)
    assert frozen == NextChange(at=START + 3600, before=2, after=busy, ends=Code.FROZEN)


def test_a_schedule_that_opens_in_days_is_foreseen_beside_a_budget() -> None:
    opens_at = START - START % DAY_S + 3 * DAY_S + 8 * 3600
    weekday = datetime.fromtimestamp(opens_at, UTC).weekday()
    window = WeeklyWindow(days=frozenset({weekday}), from_minute=480, until_minute=960)
    schedule = Schedule(window=window, min=3)
    pool = replace(AT_ONCE, schedules=(schedule,))
    assert foreseen(1, pending=1, used=0, pool=pool) == NextChange(at=opens_at, before=1, after=3)


def test_the_outlook_has_both_and_none_for_a_pool_that_was_not_seen() -> None:
    pin = a_pin(pool=AT_ONCE.key, replicas=2, until=START + 600, who="ann", why="")
    outlooks = [
        outlook_of(
            key,
            observation=Observation(pools={AT_ONCE.key: seen(2, pending=0, at=START)}),
            fleet=Fleet(pools=(AT_ONCE,)),
            intents=intents_of(pins=(pin,)),
            memory=Memory(pools={AT_ONCE.key: OBSERVED_FOR_LONG}),
            now=START,
        )
        for key in (AT_ONCE.key, "acme/other")
    ]
    assert outlooks[1] is None
    assert outlooks[0] is not None
    assert [(each.lifted, each.next) for each in outlooks[0].without] == [("pin", 0)]
    assert outlooks[0].next is not None


@tabled(
    ("workload", "ready_s"),
    [
        (Workload(replicas=2, current=2, ready=2), 9.0),
        (Workload(replicas=2, current=2, ready=2, first_ordinal=0), 9.0),
        (Workload(replicas=2, current=2, ready=2, first_ordinal=0, one_by_one=True), 27.0),
    ],
    ids=["Deployment", "Parallel", "OrderedReady"],
)
def test_the_outlook_says_when_the_replicas_that_start_are_ready(
    workload: Workload, ready_s: float
) -> None:
    observed = replace(seen(2, pending=5, at=START), workload=Fresh(value=workload, at=START))

    def starting(observed: PoolObservation) -> Starting | None:
        outlook = outlook_of(
            AT_ONCE.key,
            observation=Observation(pools={AT_ONCE.key: observed}),
            fleet=Fleet(pools=(AT_ONCE,)),
            intents=Intents(),
            memory=Memory(pools={AT_ONCE.key: OBSERVED_FOR_LONG}),
            now=START,
        )
        assert outlook is not None
        return outlook.starting

    found = starting(observed)
    assert found is not None
    assert (found.replicas, found.ready_s) == (3, ready_s), "2 are ready of 5"
    slow = Pod(name="a", phase=PodPhase.READY, created_at=START - 90, ready_at=START - 60)
    measured = starting(replace(observed, pods=Fresh(value=Pods(ready=2, items=(slow,)), at=START)))
    assert measured is not None
    assert measured.ready_s == ready_s / 9.0 * 30.0
    stuck = Fresh(value=Pods(ready=2, unscheduled=1), at=START)
    assert starting(replace(observed, pods=stuck)) is None, "nothing says when"
