"""Budgets in tokens and dollars: states, pace, outlook, and the rows that they are."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from controller.model.decision import Bound
from controller.model.scarcity import Budget, Pacing
from controller.planning.share.rows import (
    BudgetState,
    TokenUse,
    budget_row,
    budget_status,
    cost_row,
    replica_usd_per_hour,
)
from support.sharing import AmountError, Claim, allocate


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
def test_tokens_reserved_by_running_tasks_count_as_used(
    used: int, reserved: int, state: BudgetState
) -> None:
    assert budget_status(Budget(tokens_per_day=1000), use(used, reserved=reserved)).state is state


def test_when_the_budget_will_be_spent() -> None:
    status = budget_status(Budget(tokens_per_day=1_000_000), use(400_000, burn_per_minute=500))
    assert status.exhausted_in == 1200
    assert status.early is None


def test_an_early_end_is_told_only_where_the_present_burn_leads_to_it() -> None:
    late = use(600, left=1200, burn_per_minute=1)
    assert budget_status(Budget(tokens_per_day=1000), late).early == 800
    calm = use(570, left=216, burn_per_minute=1)  # 57 % used at 85 % of the day
    assert budget_status(Budget(tokens_per_day=1000), calm).early is None
    recovered = use(600, left=1200, burn_per_minute=0)
    assert budget_status(Budget(tokens_per_day=1000), recovered).early is None


def test_at_the_reset_and_without_a_budget_nothing_is_divided_by_zero() -> None:
    at_reset = budget_status(Budget(tokens_per_day=10), TokenUse(used=9, minutes_to_reset=0))
    assert at_reset.pace is None
    assert budget_row("acme", at_reset) is None
    nothing = budget_status(Budget(tokens_per_day=0), use(0))
    assert (nothing.state, nothing.gone) == (BudgetState.HARD, 1)


@pytest.mark.parametrize("amount", [-1, 0.5, Decimal("NaN")])
def test_an_amount_that_is_negative_or_inexact_is_refused(amount: object) -> None:
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


def test_a_replica_costs_its_pod_and_its_tokens() -> None:
    usd = replica_usd_per_hour(Decimal("0.17"), 1_000, Decimal("0.0000025"))
    assert usd == Fraction(32, 100)
    for limit, replicas in (("3.20", 10), ("3.19", 9)):
        row = cost_row(Decimal(limit), "acme")
        pool = Claim(pool="a", tenant="acme", demand=99, uses={row.name: usd})
        allotment = allocate([pool], [row])["a"]
        assert (allotment.replicas, allotment.bound) == (replicas, Bound.COST)


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


@pytest.mark.parametrize(
    ("pacing", "burst", "used", "replicas"),
    [
        (Pacing.ON_WARNING, 1, 700, 99),
        (Pacing.ON_WARNING, 1, 800, 4),
        (Pacing.ON_WARNING, 1, 990, 1),
        (Pacing.ON_WARNING, 1, 1000, 0),
        (Pacing.NEVER, 1, 990, 99),
        (Pacing.NEVER, 1, 1000, 0),
        (Pacing.ALWAYS, 1, 700, 6),
        (Pacing.ALWAYS, Decimal("1.5"), 700, 9),
        (Pacing.ALWAYS, 3, 800, 4),
    ],
)
def test_pacing_allows_what_lasts_until_the_reset(
    pacing: Pacing, burst: Decimal, used: int, replicas: int
) -> None:
    """The same cases as in `reference/test_budget.py`, as a row over a tenant's only pool."""
    budget = Budget(tokens_per_day=1000, pacing=pacing, burst=burst)
    row = budget_row("acme", budget_status(budget, use(used, left=50)))
    uses = {} if row is None else {row.name: 1}
    pool = Claim(pool="a", tenant="acme", demand=99, uses=uses)
    assert allocate([pool], [] if row is None else [row])["a"].replicas == replicas


def test_a_budget_that_is_not_hard_paces_and_never_stops() -> None:
    status = budget_status(Budget(tokens_per_day=1000, hard=False), use(1500))
    assert status.state is BudgetState.WARN
    row = budget_row("acme", status)
    assert row is not None
    assert row.first_passes
