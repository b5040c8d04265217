"""A model's rate limits in replicas: more than the limit can feed are no faster (Little's law)."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Final

from controller.model.decision import Bound
from controller.model.value import Value
from controller.planning.allocation.exact import exact
from support.sharing import HALF_FED, Amount, AmountError, Row

GROWTH_PER_MINUTE: Final = 1.05
CALM: Final = 0.01
CROWDED: Final = 0.02


class RateLimit(Value):
    """What a provider allows one key: calls and tokens per minute, calls at a time.

    `headroom` is the part of each per-minute limit that is left alone.
    """

    requests_per_minute: Amount | None = None
    input_tokens_per_minute: Amount | None = None
    output_tokens_per_minute: Amount | None = None
    parallel: int | None = None
    headroom: Amount = 0


class CallRate(Value):
    """What one replica does while nothing throttles it, per minute, and its slots."""

    calls: Amount
    input_tokens: Amount = 0
    output_tokens: Amount = 0
    slots: int = 1


class RateCap(Value):
    """Replicas a limit can feed and the limit that says so: rpm, itpm, otpm or parallel."""

    replicas: int
    by: str


def calls_per_minute(slots: int, calls_per_task: Amount, task_seconds: Amount) -> Fraction:
    """What one replica asks for, with all its slots at work. Raises AmountError for no time."""
    seconds = exact(task_seconds, "task")
    if seconds == 0:
        raise AmountError("task", "a task that takes no time has no rate")
    return Fraction(60 * slots * exact(calls_per_task, "task")) / seconds


def rate_cap(limit: RateLimit, replica: CallRate, theta: Amount = HALF_FED) -> RateCap | None:
    """Replicas one pool can keep fed from a key of its own, at least 1; the last may get only part
    `theta` of what it could use. None where no limit is known or none applies.
    """
    least: tuple[Fraction, str] | None = None
    for name, capacity, use in _pairs(limit, replica):
        fed = capacity / use
        if least is None or fed < least[0]:
            least = fed, name
    if least is None:
        return None
    fed, name = least
    whole = floor(fed)
    return RateCap(replicas=max(whole + (fed - whole >= exact(theta, "theta")), 1), by=name)


def rate_rows(key: str, limit: RateLimit, theta: Amount = HALF_FED) -> tuple[Row, ...]:
    """The limits of a key that several pools share, as soft rows `rpm:KEY` and so on."""
    nothing = CallRate(calls=1, input_tokens=1, output_tokens=1)
    return tuple(
        Row(name=f"{name}:{key}", capacity=capacity * use, bound=Bound.RATE, soft=theta)
        for name, capacity, use in _pairs(limit, nothing)
    )


def rate_uses(key: str, limit: RateLimit, replica: CallRate) -> dict[str, Amount]:
    """What one replica takes of each of those rows."""
    return {f"{name}:{key}": use for name, _, use in _pairs(limit, replica)}


class LearnedLimit(Value):
    """A limit nobody wrote down, in calls per minute, as the refusals teach it."""

    per_minute: float


def learn(
    learned: LearnedLimit,
    *,
    successes_per_minute: float,
    refused_part: float,
    minutes: float,
    most: float,
) -> LearnedLimit:
    """The limit after so many minutes: up 5 % a minute while under 1 % of calls are refused, to
    `most` at most; half way down to what succeeds when over 2 % are.
    """
    limit = learned.per_minute
    if refused_part > CROWDED:
        limit = min(limit, successes_per_minute + max(limit - successes_per_minute, 0.0) / 2)
    elif refused_part < CALM:
        limit = min(limit * GROWTH_PER_MINUTE**minutes, most)
    return LearnedLimit(per_minute=limit)


def _pairs(limit: RateLimit, replica: CallRate) -> list[tuple[str, Fraction, Fraction]]:
    """(name, what there is, what one replica takes) of each limit that is known and drawn on."""
    usable = 1 - exact(limit.headroom, "headroom")
    if usable < 0:
        raise AmountError("headroom", "it cannot be more than all of the limit")
    found = []
    for name, capacity, use, part in (
        ("rpm", limit.requests_per_minute, replica.calls, usable),
        ("itpm", limit.input_tokens_per_minute, replica.input_tokens, usable),
        ("otpm", limit.output_tokens_per_minute, replica.output_tokens, usable),
        ("parallel", limit.parallel, replica.slots, 1),
    ):
        taken = exact(use, name)
        if capacity is not None and taken:
            found.append((name, Fraction(exact(capacity, name) * part), Fraction(taken)))
    return found
