"""What a task of a pool takes, measured from the latest tasks that were done."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from decimal import Decimal
from math import ceil
from typing import Final

from controller.model.scarcity import TaskUsage, TokenCount
from controller.model.usage_event import UsageEvent
from controller.nats.usage_tokens import Tokens

TASKS_KEPT: Final = 200
MEASURED_FROM: Final = 5
"""Fewer tasks than this say little about the next one."""
P95: Final = 0.95
SHORTEST_S: Final = Decimal("0.001")
"""A task that took no time would have no rate."""


class MeasuredTasks:
    """What the latest tasks of one pool took. Each event costs the same, however many are kept."""

    def __init__(self, count: TokenCount, assumed: TaskUsage | None) -> None:
        """`assumed` is what a task takes while too few are known."""
        self._count = count
        self._assumed = Decimal(0)
        if assumed is not None:
            self._assumed = Tokens(
                assumed.input_tokens, assumed.cached_input_tokens, assumed.output_tokens
            ).counted(count)
        self._sizes = SortedAmounts()
        self._timed: deque[UsageEvent] = deque()
        self._tokens, self._calls, self._milliseconds = Tokens(), 0, 0
        self._mean: TaskUsage | None = None

    def take(self, event: UsageEvent) -> None:
        """One more task is done."""
        self._sizes.add(Tokens().plus(event.usage).counted(self._count))
        self._mean = None
        if event.seconds:
            self._timed.append(event)
            self._add(event, 1)
        if len(self._timed) > TASKS_KEPT:
            self._add(self._timed.popleft(), -1)

    def expected(self) -> Decimal:
        """Counted tokens to expect of a running task: the 95th percentile of the latest tasks.
        While those are few, the larger of the assumed amount and the largest of them.
        """
        if len(self._sizes) >= MEASURED_FROM:
            return self._sizes.percentile(P95)
        return max(self._assumed, self._sizes.percentile(1))

    def mean(self) -> TaskUsage | None:
        """One task on average; None while too few tasks have reported how long they took."""
        if self._mean is None and len(self._timed) >= MEASURED_FROM:
            self._mean = self._mean_of(len(self._timed))
        return self._mean

    def _mean_of(self, number: int) -> TaskUsage:
        def mean(total: int) -> int:
            return int(_two_digits(Decimal(total) / number))

        seconds = _two_digits(Decimal(self._milliseconds) / number / 1000)
        return TaskUsage(
            input_tokens=mean(self._tokens.input),
            cached_input_tokens=mean(self._tokens.cached_input),
            output_tokens=mean(self._tokens.output),
            calls=max(1, mean(self._calls)),
            seconds=max(seconds, SHORTEST_S),
        )

    def _add(self, event: UsageEvent, sign: int) -> None:
        tokens, usage = self._tokens, event.usage
        self._tokens = Tokens(
            tokens.input + sign * usage.input,
            tokens.cached_input + sign * usage.cached_input,
            tokens.output + sign * usage.output,
        )
        self._calls += sign * usage.calls
        self._milliseconds += sign * round((event.seconds or 0) * 1000)


def _two_digits(amount: Decimal) -> Decimal:
    """Rounded, so that limits which depend on the mean do not move with every task."""
    return amount and amount.quantize(Decimal(1).scaleb(amount.adjusted() - 1))


class SortedAmounts:
    """The latest amounts, in the order they came and in the order of their size."""

    def __init__(self) -> None:
        self._came: deque[Decimal] = deque()
        self._sorted: list[Decimal] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, amount: Decimal) -> None:
        """Add one amount and forget the oldest beyond those kept."""
        self._came.append(amount)
        insort(self._sorted, amount)
        if len(self._came) > TASKS_KEPT:
            del self._sorted[bisect_left(self._sorted, self._came.popleft())]

    def percentile(self, part: float) -> Decimal:
        """By nearest rank; 0 if there are no amounts."""
        return self._sorted[ceil(part * len(self._sorted)) - 1] if self._sorted else Decimal(0)
