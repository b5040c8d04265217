"""What rule `native` remembers of one pool, as values."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from controller.model.value import Value

# memory is read back through these bounds, so that the rule may divide and take roots
_MOST: Final = 1e30
NotNegative: TypeAlias = Annotated[float, Meta(ge=0.0, le=_MOST)]
Divisor: TypeAlias = Annotated[float, Meta(ge=1e-9, le=_MOST)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Signed: TypeAlias = Annotated[float, Meta(ge=-_MOST, le=_MOST)]

BINS: Final = 48
"""How many sizes of a move are told apart."""
FIRST_SERVICE_S: Final = 30.0
"""How long a task is assumed to take before one was seen done."""


class Forecast(Value):
    """The forecast made at `at` for one time to ready later: `anchor` slots, give or take `scale`.
    `demand` and `mean` are what they were when it was made.
    """

    at: NotNegative
    anchor: Signed
    scale: Divisor
    demand: NotNegative
    mean: Signed


class ArrivalRate(Value):
    """Two running means of the arrivals (1/s), a fast and a slow one, and how well each predicted.

    `…_predicted` are the arrivals that each would have predicted alone, `…_observed` those that
    were attributed to it: every arrival is divided between the two in proportion to their
    predictions (expectation maximisation, one arrival at a time).
    """

    fast: NotNegative = 0.0
    slow: NotNegative = 0.0
    fast_predicted: Divisor = 20.0
    fast_observed: NotNegative = 10.0
    slow_predicted: Divisor = 20.0
    slow_observed: NotNegative = 10.0

    @property
    def expected(self) -> float:
        """Arrivals a second from now on."""
        fast = self.fast * self.fast_observed / self.fast_predicted
        return fast + self.slow * self.slow_observed / self.slow_predicted


class NativeState(Value):
    """What rule native has learned of one pool. Times are the caller's seconds.

    - `arrivals`, `completions`: the counters as last seen. `demand`: the slots needed then.
    - `mean`, `square_error`: of the demand in slots, and of its forecasts.
    - `moved_together` by `moved`: how much of a deviation from the mean lasts one time to ready.
    - `moves`: how many arrivals found the demand moved by how far.
    - `worked_s` by `worked`: the mean seconds of a task.
    - `wanted_at`: when all replicas were last worth keeping.
    - `worth`: the factor on the setting's costs, learned from the arrivals that had to wait.
    - `asked`: the replicas advised last.
    """

    at: NotNegative
    arrivals: Count
    completions: Count
    moves: Annotated[tuple[NotNegative, ...], Meta(min_length=BINS, max_length=BINS)]
    demand: NotNegative = 0.0
    in_flight: Count = 0
    rate: ArrivalRate = ArrivalRate()
    mean: Signed = 0.0
    square_error: NotNegative = 0.0
    moved_together: Signed = 1.6
    moved: Divisor = 2.0
    worked_s: NotNegative = FIRST_SERVICE_S
    worked: Divisor = 1.0
    wanted_at: NotNegative = 0.0
    worth: Divisor = 1.0
    asked: Count = 0
    forecasts: tuple[Forecast, ...] = ()


class NativeMemory(Value):
    """One pool's past for rule native: `learned`, and the queue as it was when the rule learned.

    - `asked_at`: when it learned last. `quiet_since`: since when the queue has been the same, None
      where that is `asked_at`.
    - `delivered`, `sequence`: the consumer's and the stream's number of the last delivery.
    - `in_flight`: messages in flight since `in_flight_at`; `worked_s`: the seconds of work from
      `asked_at` until then.
    - `served`: tasks seen done, counted as far as it takes to trust them.
    - `ready_s`: the measured time to ready, None before one was measured.
    - `base`, `start`, `keep`: the advice of `asked_at`.
    - `surplus_since`: since when more replicas run than are worth keeping, None while fewer do.
    """

    learned: NativeState
    asked_at: NotNegative
    pending: Count
    delivered: Count
    sequence: Count | None = None
    served: Count = 0
    ready_s: NotNegative | None = None
    base: Count = 0
    start: Count = 0
    keep: Count = 0
    in_flight: Count = 0
    in_flight_at: NotNegative = 0.0
    worked_s: NotNegative = 0.0
    quiet_since: NotNegative | None = None
    surplus_since: NotNegative | None = None
