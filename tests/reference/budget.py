"""A tenant's tokens per day: where it stands, how fast it may go on, and what that allows the
tenant's only pool. Numbers are exact; times are minutes.
"""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction
from math import floor

from controller.model.scarcity import Budget, Pacing
from controller.model.value import Value
from controller.planning.allocation.exact import exact
from support.sharing import Amount, AmountError


class BudgetState(StrEnum):
    """How much is left: enough, little, nothing."""

    OK = "ok"
    WARN = "warn"
    HARD = "hard"


class TokenUse(Value):
    """What was used of it: settled, `reserved` by running tasks, burnt per minute; and how long the
    period is and has left.
    """

    used: Amount
    reserved: Amount = 0
    burn_per_minute: Amount = 0
    minutes_to_reset: Amount = 1440
    period_minutes: Amount = 1440


class BudgetStatus(Value):
    """Where a budget stands.

    - `pace`: tokens per minute that last until the reset; None at the reset itself.
    - `limit`: the pace that the tenant is held to; 0 if it is stopped, None if it is not held.
    - `exhausted_in`: minutes until nothing is left at the present burn, None if nothing burns.
    - `before_reset`: whether that is before the reset.
    - `burn_ratio`: the part that is used by the part of the period that has passed.
    """

    state: BudgetState
    pace: Fraction | None
    limit: Fraction | None
    exhausted_in: Fraction | None
    before_reset: bool
    burn_ratio: Fraction | None


def budget_status(budget: Budget, use: TokenUse) -> BudgetStatus:
    """State, pace and outlook. Raises AmountError for what is negative or not exact, and for a
    budget that is not of tokens.
    """
    if budget.tokens_per_day is None:
        raise AmountError("budget", "it says nothing of tokens")
    tokens, used = _exact(budget.tokens_per_day), _exact(use.used)
    rest = tokens - used - _exact(use.reserved)
    minutes, period = _exact(use.minutes_to_reset), _exact(use.period_minutes)
    burn, elapsed = _exact(use.burn_per_minute), period - minutes
    state, positive = _state(budget, tokens, rest), max(rest, Fraction(0))
    pace = positive / minutes if minutes else None
    exhausted_in = positive / burn if burn else None
    return BudgetStatus(
        state=state,
        pace=pace,
        limit=_limit(budget, state, pace),
        exhausted_in=exhausted_in,
        before_reset=exhausted_in is not None and exhausted_in < minutes,
        burn_ratio=used * period / (tokens * elapsed) if tokens and elapsed > 0 else None,
    )


def budget_ceiling(status: BudgetStatus, replica_burn: Amount | None) -> int | None:
    """Replicas that a tenant's only pool may have, each burning so many tokens per minute; None is
    no limit, also where that burn is not known. A tenant that is paced keeps one.
    """
    stopped = status.state == BudgetState.HARD
    if status.limit is None or (not stopped and not replica_burn):
        return None
    return 0 if stopped else max(1, floor(status.limit / _exact(replica_burn or 1)))


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
