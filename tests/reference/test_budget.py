"""What a token budget allows a tenant's only pool."""

from __future__ import annotations

from decimal import Decimal

import pytest

from controller.model.scarcity import Budget, Pacing
from reference.budget import BudgetState, TokenUse, budget_ceiling, budget_status


def use(used: int, left: int = 720) -> TokenUse:
    return TokenUse(used=used, minutes_to_reset=left)


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
def test_pacing_allows_what_lasts_until_the_reset(
    pacing: Pacing, burst: Decimal, used: int, ceiling: int | None
) -> None:
    status = budget_status(
        Budget(tokens_per_day=1000, pacing=pacing, burst=burst), use(used, left=50)
    )
    assert budget_ceiling(status, 1) == ceiling


def test_a_budget_that_is_not_hard_paces_and_never_stops() -> None:
    status = budget_status(Budget(tokens_per_day=1000, hard=False), use(1500))
    assert status.state is BudgetState.WARN
    assert budget_ceiling(status, 1) == 1


def test_an_unknown_burn_limits_nothing_but_an_empty_budget_stops_all() -> None:
    warned, empty = (budget_status(Budget(tokens_per_day=10), use(used)) for used in (9, 10))
    assert budget_ceiling(warned, None) is None
    assert budget_ceiling(empty, None) == 0


def test_at_the_reset_nothing_is_divided_by_zero() -> None:
    at_reset = budget_status(Budget(tokens_per_day=10), use(9, left=0))
    assert (at_reset.pace, budget_ceiling(at_reset, 1)) == (None, None)
