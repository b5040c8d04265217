"""A tenant's budget of tokens per day: its state, the pace that it allows, and the row for that.

Pacing limits the burn before the budget is spent, so that it lasts until its reset. A spent hard
budget sets the target to zero, and busy replicas finish. Numbers are exact; times are in minutes.
"""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction

from controller.model.decision import Bound
from controller.model.scarcity import Budget, Pacing
from controller.model.value import Value
from controller.planning.allocation.exact import exact
from controller.planning.allocation.values import Amount, AmountError, Row


class BudgetState(StrEnum):
    """OK below the budget's `warn` part, WARN from there on, HARD if a hard budget is spent."""

    OK = "ok"
    WARN = "warn"
    HARD = "hard"


class TokenUse(Value):
    """What was used of it: settled, `reserved` by running tasks, burnt per minute; and how long the
    period still lasts.
    """

    used: Amount
    reserved: Amount = 0
    burn_per_minute: Amount = 0
    minutes_to_reset: Amount = 1440


class BudgetStatus(Value):
    """The state of a budget.

    - `gone`: the part of the day's tokens that is used or reserved.
    - `pace`: tokens per minute that last until the reset; None at the reset itself.
    - `limit`: the pace that the tenant is held to; 0 if it is stopped, None if it is not held.
    - `exhausted_in`: minutes until nothing is left at the present burn, None if nothing burns.
    - `early`: by how many minutes that is before the reset, None if it is not.
    """

    state: BudgetState
    gone: Fraction
    pace: Fraction | None
    limit: Fraction | None
    exhausted_in: Fraction | None
    early: Fraction | None


def budget_status(budget: Budget, use: TokenUse) -> BudgetStatus:
    """The state of a budget after this use. Raises AmountError for a number that is negative or not
    exact, and for a budget without tokens per day.
    """
    if budget.tokens_per_day is None:
        raise AmountError("budget", "it says nothing of tokens")
    tokens, used = _exact(budget.tokens_per_day), _exact(use.used)
    rest = tokens - used - _exact(use.reserved)
    minutes, burn = _exact(use.minutes_to_reset), _exact(use.burn_per_minute)
    state, positive = _state(budget, tokens, rest), max(rest, Fraction(0))
    pace = positive / minutes if minutes else None
    exhausted_in = positive / burn if burn else None
    early = None if exhausted_in is None or exhausted_in >= minutes else minutes - exhausted_in
    return BudgetStatus(
        state=state,
        gone=(tokens - rest) / tokens if tokens else Fraction(1),
        pace=pace,
        limit=_limit(budget, state, pace),
        exhausted_in=exhausted_in,
        early=early,
    )


def budget_row(tenant: str, status: BudgetStatus) -> Row | None:
    """The budget's `limit` as a row in tokens per minute; None if there is no limit.

    A replica uses its burn of the row. While the tenant is not stopped, the first replica is
    granted even if the pace is below its burn.
    """
    if status.limit is None:
        return None
    return Row(
        name=f"budget:{tenant}",
        capacity=status.limit,
        bound=Bound.BUDGET,
        first_passes=status.state is not BudgetState.HARD,
    )


def _state(budget: Budget, tokens: Fraction, rest: Fraction) -> BudgetState:
    if rest <= 0:
        return BudgetState.HARD if budget.hard else BudgetState.WARN
    gone = tokens - rest
    return BudgetState.WARN if gone >= _exact(budget.warn) * tokens else BudgetState.OK


def _limit(budget: Budget, state: BudgetState, pace: Fraction | None) -> Fraction | None:
    if state is BudgetState.HARD:
        return Fraction(0)
    if budget.pacing is Pacing.NEVER or pace is None:
        return None
    if state is BudgetState.WARN:
        return pace
    return pace * _exact(budget.burst) if budget.pacing is Pacing.ALWAYS else None


def _exact(amount: Amount) -> Fraction:
    value = exact(amount, "budget")
    return value if isinstance(value, Fraction) else Fraction(value)
