"""Budgets: what is used up never allows more, what is given never allows less."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.scarcity import Budget, Pacing
from controller.planning.share.budget import (
    BudgetState,
    TokenUse,
    admits,
    budget_ceiling,
    budget_row,
    budget_status,
)
from property.sharing_worlds import UNHURRIED
from support.sharing import Claim, allocate

UNLIMITED = 10**9
budgets = st.builds(
    Budget,
    tokens_per_day=st.integers(0, 10_000),
    hard=st.booleans(),
    pacing=st.sampled_from(Pacing),
    burst=st.sampled_from([Decimal(1), Decimal("1.5"), Decimal(3)]),
)
hard_budgets = st.builds(
    Budget,
    tokens_per_day=st.integers(0, 10_000),
    burst=st.just(Decimal(1)),
    pacing=st.sampled_from(Pacing),
)
token_uses = st.builds(
    TokenUse,
    used=st.integers(0, 12_000),
    reserved=st.integers(0, 3_000),
    burn_per_minute=st.integers(0, 50),
    minutes_to_reset=st.integers(0, 1440),
)
burns = st.one_of(st.integers(1, 40), st.fractions(Fraction(1, 3), 20, max_denominator=9))


def ceiling(budget: Budget, use: TokenUse, burn: int | Fraction) -> int:
    limit = budget_ceiling(budget_status(budget, use), burn)
    return UNLIMITED if limit is None else limit


@UNHURRIED
@given(hard_budgets | budgets, token_uses, burns, st.integers(1, 3_000))
def test_more_used_never_allows_more(
    budget: Budget, use: TokenUse, burn: int | Fraction, more: int
) -> None:
    before = ceiling(budget, use, burn)
    assert ceiling(budget, replace(use, used=int(use.used) + more), burn) <= before
    assert ceiling(budget, replace(use, reserved=int(use.reserved) + more), burn) <= before


@UNHURRIED
@given(budgets, token_uses, burns, st.integers(1, 3_000))
def test_a_larger_budget_never_allows_less(
    budget: Budget, use: TokenUse, burn: int | Fraction, more: int
) -> None:
    larger = replace(budget, tokens_per_day=(budget.tokens_per_day or 0) + more)
    assert ceiling(larger, use, burn) >= ceiling(budget, use, burn)


@UNHURRIED
@given(hard_budgets, token_uses, burns)
def test_an_empty_budget_is_zero_and_any_other_keeps_one(
    budget: Budget, use: TokenUse, burn: int | Fraction
) -> None:
    status = budget_status(budget, use)
    empty = int(use.used) + int(use.reserved) >= (budget.tokens_per_day or 0)
    assert (status.state is BudgetState.HARD) == empty
    assert (ceiling(budget, use, burn) == 0) == empty


@UNHURRIED
@given(budgets, token_uses, burns, st.integers(0, 30))
def test_a_row_over_one_pool_allows_what_the_ceiling_does(
    budget: Budget, use: TokenUse, burn: int | Fraction, demand: int
) -> None:
    status = budget_status(budget, use)
    row = budget_row("acme", status)
    drawn = {} if row is None else {row.name: burn}
    claim = Claim(pool="acme/research", tenant="acme", demand=demand, uses=drawn)
    result = allocate([claim], [] if row is None else [row])
    assert result["acme/research"].replicas == min(demand, ceiling(budget, use, burn))


@UNHURRIED
@given(
    st.integers(0, 2_000),
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 400)), max_size=20),
)
def test_admitted_work_overshoots_by_no_more_than_its_estimates_were_wrong(
    tokens: int, jobs: list[tuple[int, int]]
) -> None:
    budget, reserved, actual, wrong = Budget(tokens_per_day=tokens), 0, 0, 0
    for expected, really in jobs:
        status = budget_status(budget, TokenUse(used=0, reserved=reserved))
        if admits(status, expected):
            reserved += expected
            actual += really
            wrong += max(really - expected, 0)
    assert actual <= tokens + wrong
