"""A model's rate limits as rows: replicas that a limit cannot feed are no faster (Little's law)."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from controller.model.decision import Bound
from controller.model.scarcity import LlmModel, RateLimits
from controller.model.value import Value
from controller.planning.allocation.exact import exact
from controller.planning.allocation.values import HALF_FED, Amount, AmountError, Row


class CallRate(Value):
    """What one replica does per minute while nothing throttles it, and its slots."""

    calls: Amount
    input_tokens: Amount = 0
    output_tokens: Amount = 0
    slots: int = 1


def rate_key(model: LlmModel, tenant: str) -> str:
    """What the rows of a model's limits are named by: the model's own key, or one per tenant."""
    return model.name if model.shared else f"{model.name}/{tenant}"


def calls_per_minute(slots: int, calls_per_task: Amount, task_seconds: Amount) -> Fraction:
    """What one replica asks for with all its slots at work. Raises AmountError for no time."""
    seconds = exact(task_seconds, "task")
    if seconds == 0:
        raise AmountError("task", "a task that takes no time has no rate")
    return Fraction(60 * slots * exact(calls_per_task, "task")) / seconds


def rate_rows(key: str, limits: RateLimits, theta: Amount = HALF_FED) -> tuple[Row, ...]:
    """The limits of a key that several pools share, as soft rows `rpm:KEY` and so on."""
    one_each = CallRate(calls=1, input_tokens=1, output_tokens=1)
    return tuple(
        Row(name=f"{name}:{key}", capacity=capacity * use, bound=Bound.RATE, soft=theta)
        for name, capacity, use in _drawn(limits, one_each)
    )


def rate_uses(key: str, limits: RateLimits, replica: CallRate) -> dict[str, Amount]:
    """What one replica takes of each of those rows."""
    return {f"{name}:{key}": use for name, _, use in _drawn(limits, replica)}


def _drawn(limits: RateLimits, replica: CallRate) -> Iterator[tuple[str, Fraction, Fraction]]:
    """(name, what there is, what one replica takes) of each limit that is known and drawn on."""
    usable = 1 - exact(limits.headroom, "headroom")
    if usable < 0:
        raise AmountError("headroom", "it cannot be more than all of the limit")
    for name, capacity, use, part in (
        ("rpm", limits.requests_per_minute, replica.calls, usable),
        ("itpm", limits.input_tokens_per_minute, replica.input_tokens, usable),
        ("otpm", limits.output_tokens_per_minute, replica.output_tokens, usable),
        ("parallel", limits.parallel, replica.slots, 1),
    ):
        taken = exact(use, name)
        if capacity is not None and taken:
            yield name, Fraction(exact(capacity, name) * part), Fraction(taken)
