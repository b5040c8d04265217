"""A model's rate limits in replicas: more replicas than the limit can feed are no faster (Little's
law).
"""

from __future__ import annotations

from fractions import Fraction
from math import floor

from controller.model.value import Value
from controller.planning.allocation.exact import exact
from support.sharing import HALF_FED, Amount, AmountError


class RateLimit(Value):
    """What a provider allows one key: calls and tokens per minute, calls at a time.

    `headroom` is the part of each per-minute limit that is left unused.
    """

    requests_per_minute: Amount | None = None
    input_tokens_per_minute: Amount | None = None
    output_tokens_per_minute: Amount | None = None
    parallel: int | None = None
    headroom: Amount = 0


class CallRate(Value):
    """What one replica does per minute while nothing throttles it, and its slots."""

    calls: Amount
    input_tokens: Amount = 0
    output_tokens: Amount = 0
    slots: int = 1


class RateCap(Value):
    """Replicas that a limit can feed, and the limit that decides: rpm, itpm, otpm or parallel."""

    replicas: int
    by: str


def calls_per_minute(slots: int, calls_per_task: Amount, task_seconds: Amount) -> Fraction:
    """What one replica asks for with all its slots at work. Raises AmountError for no time."""
    seconds = exact(task_seconds, "task")
    if seconds == 0:
        raise AmountError("task", "a task that takes no time has no rate")
    return Fraction(60 * slots * exact(calls_per_task, "task")) / seconds


def rate_cap(limit: RateLimit, replica: CallRate, theta: Amount = HALF_FED) -> RateCap | None:
    """Replicas of one pool that a key of its own can feed, at least 1; the last may get only part
    `theta` of what it could use. None where no limit is known or none applies.
    """
    usable = 1 - exact(limit.headroom, "headroom")
    if usable < 0:
        raise AmountError("headroom", "it cannot be more than all of the limit")
    least: tuple[Fraction, str] | None = None
    for name, capacity, use, part in (
        ("rpm", limit.requests_per_minute, replica.calls, usable),
        ("itpm", limit.input_tokens_per_minute, replica.input_tokens, usable),
        ("otpm", limit.output_tokens_per_minute, replica.output_tokens, usable),
        ("parallel", limit.parallel, replica.slots, 1),
    ):
        taken = exact(use, name)
        if capacity is None or not taken:
            continue
        fed = Fraction(exact(capacity, name) * part) / taken
        if least is None or fed < least[0]:
            least = fed, name
    if least is None:
        return None
    fed, name = least
    whole = floor(fed)
    return RateCap(replicas=max(whole + (fed - whole >= exact(theta, "theta")), 1), by=name)
