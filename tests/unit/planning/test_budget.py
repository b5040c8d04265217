"""Budgets in tokens and dollars: states, pace, outlook, and what they allow."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from controller.model.decision import Bound
from controller.model.scarcity import Budget, Pacing
from controller.planning.share.budget import (
    BudgetState,
    TokenUse,
    admits,
    budget_ceiling,
    budget_row,
    budget_status,
    latest_throttle,
)
from controller.planning.share.cost import cost_ceiling, cost_row, replica_usd_per_hour
from support.sharing import AmountError, Claim, allocate

DAY = 1440


def use(used: int, left: int = 720, **fields: int) -> TokenUse:
    return TokenUse(used=used, minutes_to_reset=left, **fields)


@pytest.mark.parametrize(
    ("used", "reserved", "state"),
    [
        (0, 0, BudgetState.OK),
        (799, 0, BudgetState.OK),
        (800, 0, BudgetState.WARN),
        (700, 100, BudgetState.WARN),
        (999, 0, BudgetState.WARN),
        (1000, 0, BudgetState.HARD),
        (900, 100, BudgetState.HARD),
        (5000, 0, BudgetState.HARD),
    ],
)
def test_what_running_jobs_reserved_counts_as_gone(
    used: int, reserved: int, state: BudgetState
) -> None:
    assert budget_status(Budget(tokens_per_day=1000), use(used, reserved=reserved)).state is state


@pytest.mark.parametrize(
    ("pacing", "burst", "used", "ceiling"),
    [
        (Pacing.ON_WARNING, 1, 700, None),
        (Pacing.ON_WARNING, 1, 800, 4),
        (Pacing.ON_WARNING, 1, 990, 1),
        (Pacing.ON_WARNING, 1, 1000, 0),
        (Pacing.NEVER, 1, 990, None),
        (Pacing.NEVER, 1, 1000, 0),
        (Pacing.ALWAYS, 1, 700, 6),
        (Pacing.ALWAYS, Decimal("1.5"), 700, 9),
        (Pacing.ALWAYS, 3, 800, 4),
    ],
)
def test_pacing_holds_to_what_lasts_until_the_reset(
    pacing: Pacing, burst: Decimal, used: int, ceiling: int | None
) -> None:
    status = budget_status(
        Budget(tokens_per_day=1000, pacing=pacing, burst=burst), use(used, left=50)
    )
    assert budget_ceiling(status, 1) == ceiling


def test_without_hard_it_is_paced_and_never_stopped() -> None:
    status = budget_status(Budget(tokens_per_day=1000, hard=False), use(1500))
    assert status.state is BudgetState.WARN
    assert budget_ceiling(status, 1) == 1


def test_a_burn_that_is_not_known_limits_nothing_but_an_empty_budget_stops_all() -> None:
    warned, empty = (budget_status(Budget(tokens_per_day=10), use(used)) for used in (9, 10))
    assert budget_ceiling(warned, None) is None
    assert budget_ceiling(empty, None) == 0


def test_the_outlook() -> None:
    status = budget_status(Budget(tokens_per_day=1_000_000), use(400_000, burn_per_minute=500))
    assert status.exhausted_in == 1200
    assert not status.before_reset
    assert status.burn_ratio == Fraction(4, 5)
    assert not status.alarming


def test_alarm_takes_both_a_fast_burn_and_an_early_end() -> None:
    late = use(600, left=1200, burn_per_minute=1)
    assert budget_status(Budget(tokens_per_day=1000), late).alarming
    calm = use(570, left=216, burn_per_minute=1)  # 57 % used at 85 % of the day
    assert not budget_status(Budget(tokens_per_day=1000), calm).alarming
    recovered = use(600, left=1200, burn_per_minute=0)
    assert not budget_status(Budget(tokens_per_day=1000), recovered).alarming


def test_at_the_reset_and_without_a_budget_nothing_is_divided_by_zero() -> None:
    at_reset = budget_status(Budget(tokens_per_day=10), TokenUse(used=9, minutes_to_reset=0))
    assert (at_reset.pace, budget_ceiling(at_reset, 1)) == (None, None)
    nothing = budget_status(Budget(tokens_per_day=0), use(0))
    assert (nothing.state, nothing.burn_ratio) == (BudgetState.HARD, None)
    just_begun = budget_status(Budget(tokens_per_day=10), use(0, left=DAY))
    assert just_begun.burn_ratio is None


@pytest.mark.parametrize("amount", [-1, 0.5, Decimal("NaN")])
def test_what_is_negative_or_inexact_is_refused(amount: object) -> None:
    with pytest.raises(AmountError):
        budget_status(Budget(tokens_per_day=amount), use(0))  # type: ignore[arg-type]


def test_a_tenants_pools_share_its_pace() -> None:
    row = budget_row("acme", budget_status(Budget(tokens_per_day=1000), use(800, left=20)))
    assert row is not None
    assert (row.name, row.capacity, row.bound) == ("budget:acme", 10, Bound.BUDGET)
    pools = [
        Claim(pool=name, tenant="acme", demand=9, uses={row.name: burn})
        for name, burn in (("a", 1), ("b", 3))
    ]
    result = allocate(pools, [row])
    assert [one.replicas for one in result.values()] == [4, 2]


def test_an_empty_budget_takes_floors_and_pins_too() -> None:
    row = budget_row("acme", budget_status(Budget(tokens_per_day=10), use(10)))
    assert row is not None
    pool = Claim(pool="a", tenant="acme", demand=3, min=1, pin=1, uses={row.name: 1})
    allotment = allocate([pool], [row])["a"]
    assert (allotment.replicas, allotment.bound) == (0, Bound.BUDGET)


def test_a_job_is_admitted_only_if_it_fits_what_is_left() -> None:
    status = budget_status(Budget(tokens_per_day=100), use(60, reserved=20))
    assert admits(status, 20)
    assert not admits(status, 21)


def test_after_the_latest_throttle_even_the_baseline_overruns() -> None:
    at = latest_throttle(10_000, 100, 10, 500)
    assert at == Fraction(5_000, 90)
    assert 10_000 - 100 * at == 10 * (500 - at)
    assert latest_throttle(10_000, 10, 10, 500) is None
    assert latest_throttle(100, 10, 10, 500) == 0
    assert latest_throttle(100, 50, 10, 500) == 0
    assert latest_throttle(60_000, 100, 10, 500) is None


def test_a_replica_costs_its_pod_and_its_tokens() -> None:
    usd = replica_usd_per_hour(Decimal("0.17"), 1_000, Decimal("0.0000025"))
    assert usd == Fraction(32, 100)
    ceiling = cost_ceiling(Decimal("3.20"), usd)
    assert ceiling is not None
    assert (ceiling.limit, ceiling.bound) == (10, Bound.COST)
    assert cost_ceiling(Decimal("3.19"), usd).limit == 9  # type: ignore[union-attr]


@pytest.mark.parametrize("price", [None, 0])
def test_a_price_that_is_not_known_limits_nothing(price: int | None) -> None:
    assert cost_ceiling(Decimal(50), price) is None


def test_dollars_are_shared_by_a_tenant_and_by_the_fleet() -> None:
    rows = [cost_row(Decimal("0.3"), "acme"), cost_row(Decimal("0.5"))]
    pools = [
        Claim(
            pool=tenant,
            tenant=tenant,
            demand=9,
            uses={"usd": Decimal("0.1")} | ({"usd:acme": Decimal("0.1")} if not number else {}),
            tier=9 - number,
        )
        for number, tenant in enumerate(("acme", "globex"))
    ]
    result = allocate(pools, rows)
    assert [one.replicas for one in result.values()] == [3, 2]
    assert result["acme"].limited_by == "usd:acme"
    assert result["globex"].limited_by == "usd"
