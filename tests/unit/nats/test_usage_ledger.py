"""The ledger's arithmetic: days of the tenant's own clock, weights, reservations, burn."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.fleet import Fleet
from controller.model.ids import PoolKey, pool_key
from controller.model.observation import ModelTokens, TenantSpent, TierUsage, TokensByModel
from controller.model.scarcity import LlmModel, ModelTier, Price, TaskUsage, TokenCount
from controller.model.worker_messages import UsageEvent, UsedTokens
from controller.nats.ledger import (
    LOOK_BACK_S,
    MEASURED_FROM,
    MOST_MODELS,
    TASKS_KEPT,
    UsageLedger,
)
from support.table import tabled
from tests.unit.nats.fake_nats import pool
from tests.unit.nats.usage_world import NEW_YORK, fleet, tenant

RESEARCH = pool_key("acme", "research")
HOUR = 3600.0
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()


def in_new_york(*when: int, fold: int = 0) -> float:
    year, month, day, hour, minute = (*when, 0, 0)[:5]
    moment = datetime(year, month, day, hour, minute, fold=fold, tzinfo=ZoneInfo(NEW_YORK))
    return moment.timestamp()


def done(
    tokens: int = 0, *, role: str = "research", seconds: float | None = None, **kinds: int
) -> UsageEvent:
    return UsageEvent(
        tenant="acme", role=role, seconds=seconds, usage=UsedTokens(**({"input": tokens} | kinds))
    )


def ledger_of(tenants: Fleet | None = None) -> UsageLedger:
    return UsageLedger(tenants or fleet(tenant()))


def idle(_: PoolKey) -> int:
    """No task of any pool is running."""
    return 0


def used(ledger: UsageLedger, now: float) -> Decimal:
    return ledger.of["acme"].usage(now, idle).used


def reserved(ledger: UsageLedger, in_flight: int) -> Decimal:
    return ledger.of["acme"].usage(NOON, lambda _: in_flight).reserved


def test_each_kind_of_token_weighs_what_the_budget_says() -> None:
    count = TokenCount(input=Decimal(1), output=Decimal(4), cached_input=Decimal("0.1"))
    ledger = ledger_of(fleet(tenant(count=count)))
    ledger.take(done(input=100, output=10, cached_input=5), NOON)
    assert used(ledger, NOON) == Decimal("140.5")


def test_a_clock_set_back_over_midnight_finds_the_day_as_it_was() -> None:
    ledger = ledger_of(fleet(tenant(timezone=NEW_YORK)))
    midnight = in_new_york(2026, 11, 21)
    ledger.take(done(70), midnight - 60)
    ledger.take(done(5), midnight + 1)
    assert used(ledger, midnight - 1) == 70


@tabled(
    ("month", "day", "hours"),
    [(3, 8, 23), (11, 1, 25)],
    ids=["an hour is left out", "an hour comes twice"],
)
def test_a_day_whose_clocks_change_is_one_day(month: int, day: int, hours: int) -> None:
    ledger = ledger_of(fleet(tenant(timezone=NEW_YORK)))
    start, end = in_new_york(2026, month, day), in_new_york(2026, month, day + 1)
    assert end - start == hours * HOUR
    for quarter in range(hours * 4):
        ledger.take(done(1), start + quarter * 900)
    assert used(ledger, end - 1) == hours * 4
    assert used(ledger, end) == 0


def test_reading_begins_with_the_earliest_day_that_still_runs() -> None:
    ledger = ledger_of(fleet(tenant(), tenant("globex", timezone=NEW_YORK)))
    assert ledger.since(NOON) == datetime(2026, 11, 20, tzinfo=UTC).timestamp()
    early = datetime(2026, 11, 20, 3, tzinfo=UTC).timestamp()
    assert ledger.since(early) == in_new_york(2026, 11, 19)


def test_reading_begins_an_hour_back_where_the_day_is_younger() -> None:
    ledger = ledger_of()
    minute_past = datetime(2026, 11, 20, 0, 1, tzinfo=UTC).timestamp()
    assert ledger.since(minute_past) == minute_past - LOOK_BACK_S
    ledger.take(done(10), minute_past - 100)
    assert used(ledger, minute_past) == 0
    assert ledger.of["acme"].usage(minute_past, idle).burn_per_minute > 0


def test_a_steady_use_of_tokens_is_the_burn_rate() -> None:
    ledger = ledger_of()
    for minute in range(240):
        ledger.take(done(500), NOON + minute * 60)
    burn = float(ledger.of["acme"].usage(NOON + 240 * 60 - 30, idle).burn_per_minute)
    assert burn == pytest.approx(500, rel=0.01)


def test_only_the_latest_tasks_count() -> None:
    ledger = ledger_of()
    for _ in range(TASKS_KEPT // 5):
        ledger.take(done(1_000_000), NOON)
    for _ in range(TASKS_KEPT):
        ledger.take(done(10), NOON)
    assert reserved(ledger, 1) == 10


def test_the_assumed_task_is_reserved_until_enough_tasks_were_measured() -> None:
    assumed = TaskUsage(input_tokens=500, output_tokens=100, cached_input_tokens=1000)
    knows = replace(pool("research"), usage=assumed)
    ledger = ledger_of(fleet(tenant(), pools=(knows,)))
    assert reserved(ledger, 2) == 2 * 700
    for _ in range(MEASURED_FROM):
        ledger.take(done(10), NOON)
    assert reserved(ledger, 2) == 20


def test_a_task_larger_than_assumed_counts_while_few_are_known() -> None:
    ledger = ledger_of()
    assert reserved(ledger, 3) == 0
    ledger.take(done(9000), NOON)
    ledger.take(done(10), NOON)
    assert reserved(ledger, 3) == 27_000


def test_the_mean_does_not_move_while_tasks_are_alike() -> None:
    ledger, seen = ledger_of(), set()
    for number in range(400):
        ledger.take(done(input=10_000 + number % 7, seconds=6.5 + number % 5 / 100), NOON)
        seen.add(ledger.measured(RESEARCH))
    assert seen == {None, TaskUsage(input_tokens=10_000, seconds=Decimal("6.5"))}


def of_tier(tier: str, tokens: int, saved_usd: float = 0.0) -> UsageEvent:
    return replace(done(tokens), tier=tier, saved_usd=saved_usd)


def tiered(**of_tenant: object) -> UsageLedger:
    """A ledger of a fleet with models of three tiers."""
    return ledger_of(fleet(tenant(**of_tenant), tiers=ModelTier))  # type: ignore[arg-type]


def test_tokens_of_all_kinds_are_summed_by_tier_with_what_was_saved() -> None:
    ledger = tiered(tokens_per_day=None)
    assert ledger.tiers(NOON, 0.0) == {}
    ledger.take(replace(done(10, cached_input=2, output=3), tier="nano", saved_usd=0.5), NOON)
    ledger.take(of_tier("nano", 5, saved_usd=-0.25), NOON)
    ledger.take(of_tier("premium", 100), NOON)
    tokens = {ModelTier.NANO: 20, ModelTier.PREMIUM: 100}
    assert ledger.tiers(NOON, 0.0) == {"acme": TierUsage(tokens=tokens, saved_usd=0.25)}


def test_without_budgets_and_models_nothing_is_made_of_the_events() -> None:
    assert not ledger_of(fleet(tenant(tokens_per_day=None))).of
    assert ledger_of(fleet(tenant(tokens_per_day=None), tiers=["nano"])).of
    assert ledger_of(fleet(tenant())).of


def of_model(model: str, **kinds: int) -> UsageEvent:
    return replace(done(**kinds), model=model)


def named(*names: str) -> UsageLedger:
    """A ledger of a tenant without a budget, in a fleet with these models."""
    of_fleet = fleet(tenant(tokens_per_day=None))
    return ledger_of(replace(of_fleet, models=tuple(LlmModel(name=name) for name in names)))


def by_model(ledger: UsageLedger, now: float = NOON) -> TokensByModel:
    return ledger.by_model(now, 0.0)["acme"]


def test_tokens_are_summed_by_model_and_kind_without_a_budget_the_most_used_first() -> None:
    ledger = named("small", "large")
    assert ledger.by_model(NOON, 0.0) == {}
    ledger.take(of_model("small", input=10, cached_input=4, output=1, calls=2), NOON)
    ledger.take(of_model("large", input=100, output=20), NOON)
    ledger.take(of_model("small", input=5), NOON)
    small = ModelTokens(model="small", input=15, cached_input=4, output=1, calls=3)
    large = ModelTokens(model="large", input=100, output=20, calls=1)
    assert by_model(ledger).models == (large, small)
    assert by_model(ledger).total == 140


def test_however_many_models_a_tenant_uses_they_have_fixed_space() -> None:
    names = [f"model-{number}" for number in range(2 * MOST_MODELS)]
    ledger = named(*names)
    for name in names:
        ledger.take(of_model(name, input=1), NOON)
    models = by_model(ledger).models
    assert len(models) == MOST_MODELS + 1
    assert {each.model: each.input for each in models}[""] == MOST_MODELS
    assert by_model(ledger).total == 2 * MOST_MODELS


@given(
    events=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 3 * 86_400)), max_size=40),
    now=st.integers(0, 3 * 86_400),
)
def test_the_sum_is_that_of_the_day_in_any_order_of_events(
    events: list[tuple[int, int]], now: int
) -> None:
    start = datetime(2026, 10, 31, tzinfo=UTC).timestamp()
    zone = fleet(tenant(timezone=NEW_YORK))
    ledger, oracle = ledger_of(zone), 0
    moment = start + now
    begin = ledger.of["acme"].day_start(moment)
    for tokens, offset in sorted(events, key=lambda each: each[1]):
        if start + offset <= moment:
            ledger.take(done(tokens), start + offset)
            oracle += tokens if start + offset >= begin else 0
    assert used(ledger, moment) == oracle


PRICED = LlmModel(name="gpt", price=Price(input=Decimal(2), output=Decimal(10)))


def test_money_is_counted_by_model_and_pool_for_those_that_have_a_price() -> None:
    told = fleet(tenant(), pools=(pool("research"), pool("coder")))
    ledger = UsageLedger(replace(told, models=(PRICED, LlmModel(name="own"))))
    cost = done(1_000_000, output=100_000)
    for role, model in (("research", "gpt"), ("coder", "gpt"), ("coder", "own"), ("coder", "")):
        ledger.take(replace(cost, role=role, model=model), NOON)
    found = ledger.by_model(NOON, 0.0)["acme"]
    assert {each.model: each.usd for each in found.models} == {"gpt": 6.0, "own": None, "": None}
    assert found.usd == 6.0
    assert found.usd_by_pool == {RESEARCH: 3.0, pool_key("acme", "coder"): 3.0}


@tabled("events", range(1, 9))
def test_what_was_used_is_told_anew_at_an_even_pace(events: int) -> None:
    ledger = ledger_of()
    for look in range(1, 31):
        now = NOON + 61 * look
        for _ in range(events):
            ledger.take(done(1000), now - 61)
        assert ledger.by_model(now, 0.0)["acme"].total == 1000 * events * look


def test_what_the_day_will_cost_goes_by_the_last_hour_and_is_not_said_too_early() -> None:
    ledger = UsageLedger(replace(fleet(tenant(timezone="UTC")), models=(PRICED,)))

    def expected(now: float) -> float | None:
        return ledger.by_model(now, 0.0)["acme"].expected_usd

    for minute in range(0, 181, 5):  # 3 USD in five minutes, for three hours
        ledger.take(replace(done(1_000_000, output=100_000), model="gpt"), NOON + 60 * minute)
        if minute < 30:
            assert expected(NOON + 60 * minute) is None
    # 111 USD so far, and 12 x 3 USD an hour for the nine hours to midnight
    assert expected(NOON + 3 * HOUR) == pytest.approx(111 + 9 * 36, rel=0.05)
    # nothing for two hours: what is spent is all
    assert expected(NOON + 5 * HOUR) == pytest.approx(111, rel=0.05)


def test_the_month_goes_on_from_process_to_process_and_says_what_it_does_not_know() -> None:
    told = replace(fleet(tenant(timezone="UTC")), models=(PRICED,))
    task = replace(done(1_000_000, output=100_000), model="gpt")  # 3 USD
    first = NOON - 19 * 24 * HOUR  # 1 November
    # the day, USD of the month, whether days are missing; the last is 1 December
    days = ((3, 3, False), (4, 6, False), (4, 9, False), (9, 12, True), (31, 3, False))
    left: TenantSpent | None = None
    today: list[UsageEvent] = []
    day_before = 0
    for day, usd, has_gap in days:
        now = first + (day - 1) * 24 * HOUR
        today = [*today, task] if day == day_before else [task]
        day_before = day
        account = UsageLedger(told).of["acme"]
        account.begin(account.day_start(now))
        for event in today:  # the stream is read again from the beginning of the day
            account.take(event, now)
        if left is not None:
            account.go_on_from(left, "the same", now)
        found = account.by_model(now)
        assert found is not None
        assert found.month is not None
        assert (found.month.usd, found.month.has_gap) == (usd, has_gap)
        assert found.month.by_pool == {RESEARCH: usd}
        assert found.month.since == (0.0 if day == 31 else first + 2 * 24 * HOUR - 12 * HOUR)
        left = account.spent("the same")


def test_a_day_on_which_nothing_is_used_yet_keeps_the_month() -> None:
    ledger = UsageLedger(replace(fleet(tenant(timezone="UTC")), models=(PRICED,)))
    ledger.take(replace(done(1_000_000, output=100_000), model="gpt"), NOON)
    tomorrow = ledger.by_model(NOON + 24 * HOUR, 0.0)["acme"]
    assert (tomorrow.usd, tomorrow.total, tomorrow.month.usd) == (0.0, 0, 3.0)
    december = ledger.by_model(NOON + 31 * 24 * HOUR, 0.0)
    assert "acme" not in december, "and another month begins with nothing"


def test_what_a_flood_of_events_of_many_pools_takes_is_bounded() -> None:
    ledger = UsageLedger(replace(fleet(tenant()), models=(PRICED,)))
    task = replace(done(1_000_000), model="gpt")
    for number in range(20_000):
        ledger.take(replace(task, role=f"role-{number}"), NOON + number / 100)
    found = ledger.by_model(NOON + 200, 0.0)["acme"]
    assert found.usd == 40_000
    assert sum(found.usd_by_pool.values()) == 40_000
    assert len(found.usd_by_pool) < 20
