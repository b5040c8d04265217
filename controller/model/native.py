"""What rule `native` remembers of one pool, as values."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from controller.model.value import Value

# what is read back is bounded here, once, so that the rule may divide and take roots
_MOST: Final = 1e30
Amount: TypeAlias = Annotated[float, Meta(ge=0.0, le=_MOST)]
Divisor: TypeAlias = Annotated[float, Meta(ge=1e-9, le=_MOST)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Signed: TypeAlias = Annotated[float, Meta(ge=-_MOST, le=_MOST)]

BINS: Final = 48
"""How many sizes of a move are told apart."""
FIRST_SERVICE_S: Final = 30.0
"""What a task takes before any was seen done."""


class Forecast(Value):
    """What was expected at `at` of one time to ready later: `anchor` slots, and the usual move
    `scale`; `demand` and `mean` are what they were then.
    """

    at: Amount
    anchor: Signed
    scale: Divisor
    demand: Amount
    mean: Signed


class ArrivalRate(Value):
    """Two running means of the arrivals (1/s), and how much of each the pool's own past believes.

    `…_told` are the arrivals each would have foretold alone, `…_came` those put down to it: every
    arrival is divided between the two as they foretold it (expectation maximisation, one arrival at
    a time).
    """

    fast: Amount = 0.0
    slow: Amount = 0.0
    fast_told: Divisor = 20.0
    fast_came: Amount = 10.0
    slow_told: Divisor = 20.0
    slow_came: Amount = 10.0

    @property
    def expected(self) -> float:
        """Arrivals a second from now on."""
        fast = self.fast * self.fast_came / self.fast_told
        return fast + self.slow * self.slow_came / self.slow_told


class NativeState(Value):
    """What the rule remembers of one pool; times in the caller's seconds.

    `arrivals` and `completions` are the counters as last seen, `demand` the slots then needed.
    `mean` and `square_error` in slots; `moved_together` and `moved` are the sums of which the
    quotient says how much of a deviation lasts; `moves` counts arrivals by how far the demand had
    moved; `wanted_at` is when the whole pool was last worth keeping. `worth` is how many times the
    setting's costs count, as learned from who waited; `asked` the replicas last advised.
    """

    at: Amount
    arrivals: Count
    completions: Count
    moves: Annotated[tuple[Amount, ...], Meta(min_length=BINS, max_length=BINS)]
    demand: Amount = 0.0
    in_flight: Count = 0
    rate: ArrivalRate = ArrivalRate()
    mean: Signed = 0.0
    square_error: Amount = 0.0
    moved_together: Signed = 1.6
    moved: Divisor = 2.0
    worked_s: Amount = FIRST_SERVICE_S
    worked: Divisor = 1.0
    wanted_at: Amount = 0.0
    worth: Divisor = 1.0
    asked: Count = 0
    forecasts: tuple[Forecast, ...] = ()


class NativeMemory(Value):
    """One pool's past for rule `native`: `learned`, and how the queue was when it was last asked.

    `delivered` and `sequence` are the consumer's and the stream's numbers of the last delivery.
    `in_flight` is what it is since `in_flight_at`, and `worked_s` the work from `asked_at` to then;
    `served` counts the tasks seen done; `ready_s` is the time to ready as measured, None until it
    was. `base`, `start` and `keep` are the advice of `asked_at`.
    """

    learned: NativeState
    asked_at: Amount
    pending: Count
    delivered: Count
    sequence: Count | None = None
    served: Count = 0
    ready_s: Amount | None = None
    base: Count = 0
    start: Count = 0
    keep: Count = 0
    in_flight: Count = 0
    in_flight_at: Amount = 0.0
    worked_s: Amount = 0.0
