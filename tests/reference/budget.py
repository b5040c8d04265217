"""A tenant's tokens per day: where it stands, how fast it may go on, and what that allows.

Pacing throttles before the cap, so that the budget lasts until its reset; the cap itself takes the
target to zero and lets busy replicas finish. Numbers are exact; times are minutes.
"""

from __future__ import annotations

from enum import StrEnum
from fractions import Fraction
from math import floor

from controller.model.decision import Bound
from controller.model.scarcity import Budget, Pacing
from controller.model.value import Value
from controller.planning.allocation.exact import exact
from support.sharing import Amount, AmountError, Row


class BudgetState(StrEnum):
    """How much is left: enough, little, nothing."""

    OK = "ok"
    WARN = "warn"
    HARD = "hard"


class TokenUse(Value):
    """What was used of it: settled, `reserved` by running jobs, burnt a minute; and the period."""

    used: Amount
    reserved: Amount = 0
    burn_per_minute: Amount = 0
    minutes_to_reset: Amount = 1440
    period_minutes: Amount = 1440


class BudgetStatus(Value):
    """Where a budget stands.

    `gone` is the part of the day's tokens that is used or reserved. `pace` in tokens per minute
    lasts until the reset; None at the reset itself. `limit` is the pace the tenant is held to, 0 if
    it is stopped, None if it is not held. `exhausted_in` minutes at today's burn, None if nothing
    burns, is `early` minutes before the reset, None if it is after it. `burn_ratio`: part used by
    part of the period gone by.
    """

    state: BudgetState
    rest: Fraction
    gone: Fraction
    pace: Fraction | None
    limit: Fraction | None
    exhausted_in: Fraction | None
    early: Fraction | None
    burn_ratio: Fraction | None

    @property
    def before_reset(self) -> bool:
        """Whether it will be empty before its reset."""
        return self.early is not None

    @property
    def alarming(self) -> bool:
        """Ahead of the clock and empty before the reset; a percentage alone alarms nobody."""
        return self.before_reset and self.burn_ratio is not None and self.burn_ratio > 1


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
    early = None if exhausted_in is None or exhausted_in >= minutes else minutes - exhausted_in
    return BudgetStatus(
        state=state,
        rest=rest,
        gone=(tokens - rest) / tokens if tokens else Fraction(1),
        pace=pace,
        limit=_limit(budget, state, pace),
        exhausted_in=exhausted_in,
        early=early,
        burn_ratio=used * period / (tokens * elapsed) if tokens and elapsed > 0 else None,
    )


def budget_ceiling(status: BudgetStatus, replica_burn: Amount | None) -> int | None:
    """Replicas a tenant's only pool may have, each burning so many tokens a minute; None is no
    limit, also where that burn is not known. A tenant that is paced keeps one.
    """
    if status.limit is None or (status.state is not BudgetState.HARD and not replica_burn):
        return None
    if status.state is BudgetState.HARD:
        return 0
    return max(1, floor(status.limit / _exact(replica_burn or 1)))


def budget_row(tenant: str, status: BudgetStatus) -> Row | None:
    """The same limit as a row over a tenant's pools, of which a replica uses its burn. The first
    replica passes while the tenant is not stopped, however slow the pace.
    """
    if status.limit is None:
        return None
    return Row(
        name=f"budget:{tenant}",
        capacity=status.limit,
        bound=Bound.BUDGET,
        first_passes=status.state is not BudgetState.HARD,
    )


def admits(status: BudgetStatus, expected_tokens: Amount) -> bool:
    """Whether a new job fits what is left; then only errors in the estimates overshoot."""
    return status.rest >= _exact(expected_tokens)


def latest_throttle(
    rest: Amount, burn_per_minute: Amount, baseline_burn: Amount, minutes_to_reset: Amount
) -> Fraction | None:
    """Minutes until even the baseline alone would overrun, if the burn goes on; None if it never
    does, 0 if it is too late already.
    """
    left, burn, slow = _exact(rest), _exact(burn_per_minute), _exact(baseline_burn)
    minutes = _exact(minutes_to_reset)
    if burn <= slow:
        return None if slow * minutes <= left else Fraction(0)
    at = (left - slow * minutes) / (burn - slow)
    return None if at >= minutes else max(at, Fraction(0))


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
