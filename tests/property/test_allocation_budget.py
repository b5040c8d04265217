"""Budgets: what is used up never allows more, what is given never allows less."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.observation import TokenUsage
from controller.model.scarcity import Budget, Pacing
from controller.model.value import Value
from controller.planning.share.rows import BudgetState, BudgetStatus, budget_row, budget_status
from property.sharing_worlds import UNHURRIED
from support.sharing import Claim, allocate

MOST = 40


class TokenUse(Value):
    """What was used, and for how many minutes it has to last."""

    used: int
    reserved: int
    burn_per_minute: int
    minutes_to_reset: int


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


def status_of(budget: Budget, use: TokenUse) -> BudgetStatus:
    counts = (use.used, use.reserved, use.burn_per_minute)
    return budget_status(budget, TokenUsage(*map(Decimal, counts)), use.minutes_to_reset)


def allowed(budget: Budget, use: TokenUse, burn: int | Fraction, demand: int = MOST) -> int:
    """The replicas of a tenant's only pool, each of which burns so many tokens a minute."""
    row = budget_row("acme", status_of(budget, use))
    drawn = {} if row is None else {row.name: burn}
    claim = Claim(pool="acme/research", tenant="acme", demand=demand, uses=drawn)
    return allocate([claim], [] if row is None else [row])["acme/research"].replicas


@UNHURRIED
@given(hard_budgets | budgets, token_uses, burns, st.integers(1, 3_000))
def test_more_used_never_allows_more(
    budget: Budget, use: TokenUse, burn: int | Fraction, more: int
) -> None:
    before = allowed(budget, use, burn)
    assert allowed(budget, replace(use, used=use.used + more), burn) <= before
    assert allowed(budget, replace(use, reserved=use.reserved + more), burn) <= before


@UNHURRIED
@given(budgets, token_uses, burns, st.integers(1, 3_000))
def test_a_larger_budget_never_allows_less(
    budget: Budget, use: TokenUse, burn: int | Fraction, more: int
) -> None:
    larger = replace(budget, tokens_per_day=(budget.tokens_per_day or 0) + more)
    assert allowed(larger, use, burn) >= allowed(budget, use, burn)


@UNHURRIED
@given(hard_budgets, token_uses, burns)
def test_an_empty_budget_allows_none_and_any_other_allows_one(
    budget: Budget, use: TokenUse, burn: int | Fraction
) -> None:
    status = status_of(budget, use)
    empty = use.used + use.reserved >= (budget.tokens_per_day or 0)
    assert (status.state is BudgetState.HARD) == empty
    assert (allowed(budget, use, burn) == 0) == empty


@UNHURRIED
@given(budgets, token_uses, burns, st.integers(0, MOST))
def test_a_budget_allows_as_many_replicas_as_its_pace_feeds(
    budget: Budget, use: TokenUse, burn: int | Fraction, demand: int
) -> None:
    status = status_of(budget, use)
    fed = demand
    if status.limit is not None:
        fed = int(status.limit / burn)
    if status.state is not BudgetState.HARD:
        fed = max(fed, 1)
    assert allowed(budget, use, burn, demand) == min(demand, fed)
