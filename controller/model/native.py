"""The memory of rule `native` about one pool, as values."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from controller.model.value import Value

# Stored memory is checked against these bounds, so that the rule can divide and take roots safely.
_MOST: Final = 1e30
NotNegative: TypeAlias = Annotated[float, Meta(ge=0.0, le=_MOST)]
Divisor: TypeAlias = Annotated[float, Meta(ge=1e-9, le=_MOST)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Signed: TypeAlias = Annotated[float, Meta(ge=-_MOST, le=_MOST)]

BINS: Final = 48
"""The number of bins in the histogram of demand changes."""
FIRST_SERVICE_S: Final = 30.0
"""The assumed duration of a task until one has finished."""


class Forecast(Value):
    """A forecast of the demand one time to ready after `at`: `anchor` slots, with error `scale`.

    `demand` and `mean` (slots) are those at `at`.
    """

    at: NotNegative
    anchor: Signed
    scale: Divisor
    demand: NotNegative
    mean: Signed


class ArrivalRate(Value):
    """Two running means of the arrival rate (1/s), a fast and a slow one, and how well each
    predicts.

    `…_predicted` are the arrivals that each mean alone would have predicted, `…_observed` those
    attributed to it. Each arrival is divided between the two in proportion to their predictions
    (expectation maximisation, one arrival at a time).
    """

    fast: NotNegative = 0.0
    slow: NotNegative = 0.0
    fast_predicted: Divisor = 20.0
    fast_observed: NotNegative = 10.0
    slow_predicted: Divisor = 20.0
    slow_observed: NotNegative = 10.0

    @property
    def expected(self) -> float:
        """The expected arrivals per second from now on."""
        fast = self.fast * self.fast_observed / self.fast_predicted
        return fast + self.slow * self.slow_observed / self.slow_predicted


class NativeState(Value):
    """What rule native has learned about one pool. Times are seconds of the caller's clock.

    - `at`: the time of the last update.
    - `arrivals`, `completions`: the counters then. `demand`: the slots needed then.
    - `mean`: the mean demand in slots. `square_error`: the mean square error of its forecasts.
    - `moved_together / moved`: the part of a deviation from the mean that lasts one time to ready.
    - `moves`: a histogram: the number of arrivals by the change of demand that they found.
    - `worked_s / worked`: the mean seconds of a task.
    - `wanted_at`: when all replicas were last worth keeping.
    - `worth`: the factor on the configured costs, learned from the arrivals that had to wait.
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
    """The memory of rule native about one pool: `learned`, and the queue when the rule learned.

    - `asked_at`: when it learned last. `quiet_since`: since when the queue is unchanged; None means
      since `asked_at`.
    - `pending`: messages waiting at `asked_at`. `delivered`, `sequence`: the consumer's and the
      stream's number of the last delivery then.
    - `in_flight`: messages in flight since `in_flight_at`; `worked_s`: the seconds of work from
      `asked_at` to `in_flight_at`.
    - `served`: finished tasks, counted only up to the number from which they are trusted.
    - `ready_s`: the measured time to ready of one replica; None before one was measured.
    - `starts`: how many such times pass until all replicas that were needed are ready: more than 1
      where replicas start one after the other.
    - `base`, `start`, `keep`: the advice given at `asked_at`, in replicas.
    - `surplus_since`: since when more replicas run than are worth keeping; None without surplus.
    """

    learned: NativeState
    asked_at: NotNegative
    pending: Count
    delivered: Count
    sequence: Count | None = None
    served: Count = 0
    ready_s: NotNegative | None = None
    starts: Count = 1
    base: Count = 0
    start: Count = 0
    keep: Count = 0
    in_flight: Count = 0
    in_flight_at: NotNegative = 0.0
    worked_s: NotNegative = 0.0
    quiet_since: NotNegative | None = None
    surplus_since: NotNegative | None = None
