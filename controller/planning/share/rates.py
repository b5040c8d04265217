"""A model's rate limits as rows. Replicas beyond what the limits can feed add no throughput
(Little's law).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from controller.model.decision import Bound
from controller.model.scarcity import LlmModel, RateLimits
from controller.model.value import Value
from controller.planning.allocation.exact import exact
from controller.planning.allocation.values import HALF_FED, Amount, AmountError, Row


class CallRate(Value):
    """The calls and tokens per minute of one replica without throttling, and its slots."""

    calls: Amount
    input_tokens: Amount = 0
    output_tokens: Amount = 0
    slots: int = 1


def rate_key(model: LlmModel, tenant: str) -> str:
    """The key in the names of a model's rows: the model's name if its limits are shared by all
    tenants, else `MODEL/TENANT`.
    """
    return model.name if model.shared else f"{model.name}/{tenant}"


def calls_per_minute(slots: int, calls_per_task: Amount, task_seconds: Amount) -> Fraction:
    """The calls per minute of one replica with all slots busy. Raises AmountError if a task takes
    no time.
    """
    seconds = exact(task_seconds, "task")
    if seconds == 0:
        raise AmountError("task", "a task that takes no time has no rate")
    return Fraction(60 * slots * exact(calls_per_task, "task")) / seconds


def rate_rows(key: str, limits: RateLimits, theta: Amount = HALF_FED) -> tuple[Row, ...]:
    """The limits of a key as soft rows: `rpm:KEY`, `tpm:KEY` (input and output tokens together),
    `itpm:KEY`, `otpm:KEY` and `parallel:KEY`.

    `theta` is the part of a replica's use that must be left to grant it. Raises AmountError for a
    number that is negative or not exact, and for a headroom above 1.
    """
    one_each = CallRate(calls=1, input_tokens=1, output_tokens=1)
    return tuple(
        Row(name=f"{name}:{key}", capacity=capacity, bound=Bound.RATE, soft=theta)
        for name, capacity, _ in _drawn(limits, one_each)
    )


def rate_uses(key: str, limits: RateLimits, replica: CallRate) -> dict[str, Amount]:
    """What one replica uses of each of these rows, by name. Raises AmountError like `rate_rows`."""
    return {f"{name}:{key}": use for name, _, use in _drawn(limits, replica)}


def _drawn(limits: RateLimits, replica: CallRate) -> Iterator[tuple[str, Fraction, Fraction]]:
    """(name, capacity, use of one replica) for each limit that is set and used."""
    usable = 1 - exact(limits.headroom, "headroom")
    if usable < 0:
        raise AmountError("headroom", "it cannot be more than the whole limit")
    both: Amount = 0
    if limits.tokens_per_minute is not None:
        both = exact(replica.input_tokens, "tpm") + exact(replica.output_tokens, "tpm")
    for name, capacity, use, part in (
        ("rpm", limits.requests_per_minute, replica.calls, usable),
        ("tpm", limits.tokens_per_minute, both, usable),
        ("itpm", limits.input_tokens_per_minute, replica.input_tokens, usable),
        ("otpm", limits.output_tokens_per_minute, replica.output_tokens, usable),
        ("parallel", limits.parallel, replica.slots, 1),
    ):
        taken = exact(use, name)
        if capacity is not None and taken:
            yield name, Fraction(exact(capacity, name) * part), Fraction(taken)
