"""Rule native: how many replicas are worth running, learned from observations of a pool.

A replica costs one replica-second a second. Without it some arrivals wait, at most for one time to
ready. The n-th slot is worth starting while

    arrivals a second x P(an arrival needs the n-th slot, one time to ready from now) x wait cost

is above 1 (twenty tasks at once need twenty slots), and worth keeping while the same is above 1 at
a higher wait cost, because a replica that goes has to be started again. The probability is counted,
not assumed: at each arrival, the demand is compared with the forecast made one time to ready
earlier, in units of the usual forecast error. A forecast is the present demand, moved towards its
mean as far as the demand has returned to it before.

A cost of waiting does not determine how many arrivals wait. If the setting gives the share that may
wait, both costs are adjusted: they rise while more arrivals wait than that.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import lru_cache
from itertools import accumulate
from math import ceil, exp, floor, fsum, inf, log, sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

from msgspec.structs import replace

from controller.model.fleet import NativeCosts
from controller.model.memory import BINS, FIRST_SERVICE_S, ArrivalRate, Forecast, NativeState

# time constants: one fast enough for a burst, one slow enough for an arrival a minute
_FAST_RATE_S: Final = 60.0
_SLOW_RATE_S: Final = 900.0
_MEAN_S: Final = 300.0
_SPREAD_S: Final = 120.0
_RATE_KEPT: Final = 0.999  # per arrival: about the last 1,000 count
_SERVICE_S: Final = 6 * 3600 / log(2)  # half is forgotten after 6 hours
_LEAST_WORKED: Final = 1e-3
# forecast errors are counted in steps of a quarter of the usual error; old counts are halved
_STEPS: Final = 4
_LOWEST: Final = -2
_REMEMBERED: Final = 4000.0
_PAIR_KEPT: Final = 0.998  # per arrival: about the last 500 count
# the least squared error: counts are whole numbers, and a quiet time proves little
_LEAST_SQUARE: Final = 3.0
# an error counts as at most so many usual errors: a backlog at a cold start is not typical
_OUTLIER: Final = 3.0
# the number of forecasts kept for the last time to ready
_FORECASTS: Final = 20
# each late arrival beyond the share raises the costs by 5 %, within these limits
_WORTH_GAIN: Final = 0.05
_LEAST_WORTH: Final = 0.25
_MOST_WORTH: Final = 2.0
_LARGEST_BURST: Final = 1000
# (slots, arrivals): before anything is known, most arrivals find the demand as forecast
_FIRST_MOVES: Final = ((0, 2.4), (1, 4.0), (2, 1.2), (3, 0.4))

# almost no arrival waits
PROMPT: Final = NativeCosts(start_wait_cost=20.0, keep_wait_cost=74.0, late_share=0.035)
# many arrivals wait, none longer than one time to ready, at a low cost
THRIFTY: Final = NativeCosts(start_wait_cost=1.05, keep_wait_cost=9.0)
# replicas seldom change
CALM: Final = NativeCosts(start_wait_cost=13.0, keep_wait_cost=74.0, hold_s=600.0)


class NativeInput(NamedTuple):
    """What a controller sees of a pool: messages that wait and that are in flight; the counters of
    arrivals and completions, which may begin at any number; and the pool's size.

    `worked_s` are the seconds of work since the last call; None means that the messages in flight
    at that call have been in flight ever since.
    """

    pending: int
    in_flight: int
    arrivals: int
    completions: int
    replicas: int
    slots: int
    time_to_ready_s: float
    worked_s: float | None = None


class Advice(NamedTuple):
    """The rule's advice: `base` replicas for the present messages, `start` worth starting, `keep`
    worth keeping, `replicas` the present size within these two; arrivals per second.
    """

    replicas: int
    base: int
    start: int
    keep: int
    arrivals_per_s: float


def begin_native(seen: NativeInput, now: float, task_s: float = FIRST_SERVICE_S) -> NativeState:
    """The state of a pool seen for the first time; its tasks are assumed to take `task_s`."""
    moves = [0.0] * BINS
    for slots, count in _FIRST_MOVES:
        moves[(slots - _LOWEST) * _STEPS] = count
    return NativeState(
        at=now,
        arrivals=seen.arrivals,
        completions=seen.completions,
        demand=_demand(seen, task_s),
        in_flight=seen.in_flight,
        mean=_demand(seen, task_s),
        worked_s=task_s,
        moves=tuple(moves),
        wanted_at=now,
    )


def native(
    seen: NativeInput, state: NativeState | None, setting: NativeCosts, now: float
) -> tuple[Advice, NativeState]:
    """The replicas of one pool now, and what to remember.

    The advice is never below in flight / slots, is at least 1 if there is a message, and never
    falls if more messages wait. All arrivals since the last call count as arriving now, so the rule
    learns most from one call a second. While nothing happens, no call is needed.
    """
    before = begin_native(seen, now) if state is None else state
    state = before if state is None else _learned(seen, state, setting.late_share, now)
    demand = state.demand
    # what these arrivals teach is used from the next call on, so that more of them never lower the
    # advice
    lasting, worth = before.moved_together / before.moved, before.worth
    anchor = state.mean + min(max(lasting, 0.0), 1.0) * (demand - state.mean)
    scale = sqrt(_LEAST_SQUARE + state.square_error)
    task_s = service_s(state)
    rate = state.rate.expected

    # a waiting task is served by a new replica or by the next completion, whichever comes first
    longest_wait_s = min(_ready_s(seen), task_s / max(state.mean, 1.0))
    # it needs the next free slot, or one that is free again before a new replica is ready
    served = 1.0 + _ready_s(seen) / max(task_s, 1e-3)
    start_at, keep_at = _levels(
        before.moves,
        min(max(ceil(served / scale * _STEPS), 1), BINS),
        rate * longest_wait_s * setting.start_wait_cost * worth,
        # a replica that goes has to be started again, which costs one time to ready
        rate * (longest_wait_s * setting.keep_wait_cost * worth + _ready_s(seen) / scale),
    )
    base = replicas_needed(demand, seen.slots, seen.pending + seen.in_flight)
    start = max(base, _replicas(anchor + start_at * scale, seen.slots))
    keep = max(start, _replicas(anchor + keep_at * scale, seen.slots))

    replicas = min(max(seen.replicas, start), keep)
    wanted_at = state.wanted_at
    if seen.replicas <= keep:
        wanted_at = now
    elif now - wanted_at < setting.hold_s:
        replicas = seen.replicas
    forecast = Forecast(at=now, anchor=anchor, scale=scale, demand=demand, mean=state.mean)
    forecasts = state.forecasts
    if not forecasts or now - forecasts[-1].at >= _ready_s(seen) / _FORECASTS:
        forecasts = (*forecasts, forecast)
    unchanged = (state.wanted_at, state.asked) == (wanted_at, replicas)
    if not unchanged or forecasts is not state.forecasts:
        state = replace(state, wanted_at=wanted_at, asked=replicas, forecasts=forecasts)
    return Advice(replicas, base, start, keep, rate), state


def _worth(seen: NativeInput, state: NativeState, may_wait: float | None) -> float:
    """The factor on the costs of waiting with which the share of late arrivals is met.
    Of a burst, as many arrivals are late as wait. Nothing is learned from those that wait because
    the pool is smaller than was advised.
    """
    arrived = seen.arrivals - state.arrivals
    if may_wait is None:
        return 1.0
    if arrived <= 0 or seen.replicas < state.asked:
        return state.worth
    late = min(seen.pending, arrived)
    surplus = late * (1 - may_wait) - min(arrived - late, _LARGEST_BURST) * may_wait
    gain = min(_WORTH_GAIN * surplus, _MOST_WORTH / _LEAST_WORTH)  # of a million exp() raises
    return min(max(state.worth * exp(gain), _LEAST_WORTH), _MOST_WORTH)


def _learned(
    seen: NativeInput, state: NativeState, may_wait: float | None, now: float
) -> NativeState:
    """The state by what came and went since; a counter that went back counts as none."""
    passed_s = max(now - state.at, 0.0)
    arrived = max(seen.arrivals - state.arrivals, 0)
    completed = max(seen.completions - state.completions, 0)
    # from the last forecast on that was made one time to ready ago
    due = sum(each.at <= now - seen.time_to_ready_s for each in state.forecasts[1:])
    since = state.forecasts[due:] if due else state.forecasts
    forecast = since[0] if since else None

    kept = exp(-passed_s / _SPREAD_S)
    square = 0.0 if forecast is None else (state.demand - forecast.anchor) ** 2
    square = min(square, _OUTLIER**2 * (_LEAST_SQUARE + state.square_error))
    square_error = square + (state.square_error - square) * kept
    kept = exp(-passed_s / _MEAN_S)
    mean = state.demand + (state.mean - state.demand) * kept
    # the duration of a task is never forgotten completely, however long there is no work
    kept = max(exp(-passed_s / _SERVICE_S), min(1.0, _LEAST_WORKED / state.worked))
    lately_s = state.in_flight * passed_s if seen.worked_s is None else seen.worked_s
    worked_s = (state.worked_s + lately_s) * kept
    worked = state.worked * kept + completed
    moved_together, moved, moves = state.moved_together, state.moved, state.moves
    if arrived and forecast is not None:
        before, later = forecast.demand - forecast.mean, state.demand - forecast.mean
        faded = _PAIR_KEPT**arrived
        moved_together = moved_together * faded + arrived * before * later
        moved = max(moved * faded + arrived * before * before, 1e-6)
        taken = max(state.demand - completed, 0) - forecast.anchor
        moves = _counted(moves, arrived, taken, forecast.scale)
    return NativeState(
        at=max(now, state.at),
        arrivals=seen.arrivals,
        completions=seen.completions,
        demand=_demand(seen, worked_s / worked),
        in_flight=seen.in_flight,
        rate=_rate(state.rate, passed_s, arrived),
        mean=mean,
        square_error=square_error,
        moved_together=moved_together,
        moved=moved,
        worked_s=worked_s,
        worked=worked,
        moves=moves,
        wanted_at=state.wanted_at,
        worth=_worth(seen, state, may_wait),
        asked=state.asked,
        forecasts=since,
    )


def _rate(rate: ArrivalRate, passed_s: float, arrived: int) -> ArrivalRate:
    """The rate after so many seconds, and so many arrivals at their end."""
    fast = rate.fast * exp(-passed_s / _FAST_RATE_S)
    slow = rate.slow * exp(-passed_s / _SLOW_RATE_S)
    fast_predicted = rate.fast_predicted + (rate.fast - fast) * _FAST_RATE_S
    slow_predicted = rate.slow_predicted + (rate.slow - slow) * _SLOW_RATE_S
    fast_observed, slow_observed = rate.fast_observed, rate.slow_observed
    if arrived:
        by_fast = fast * fast_observed / fast_predicted
        predicted = by_fast + slow * slow_observed / slow_predicted
        share = by_fast / predicted if predicted > 0 else 0.5
        kept = _RATE_KEPT**arrived
        fast_predicted = max(fast_predicted * kept, 1e-3)
        slow_predicted = max(slow_predicted * kept, 1e-3)
        fast_observed = max((fast_observed + arrived * share) * kept, 1e-3)
        slow_observed = max((slow_observed + arrived * (1 - share)) * kept, 1e-3)
    return ArrivalRate(
        fast=fast + arrived / _FAST_RATE_S,
        slow=slow + arrived / _SLOW_RATE_S,
        fast_predicted=fast_predicted,
        fast_observed=fast_observed,
        slow_predicted=slow_predicted,
        slow_observed=slow_observed,
    )


def _counted(
    moves: tuple[float, ...], arrived: int, taken: float, scale: float
) -> tuple[float, ...]:
    """The counts with `arrived` more: each arrival finds one more slot taken than the last one. It
    goes by bin, not by arrival, so its time does not grow with their number.
    """

    def place_of(number: int) -> int:
        return max(0, floor(((taken + number) / scale - _LOWEST) * _STEPS))

    counts = list(moves)
    number = 1
    while number <= arrived:
        place = place_of(number)
        if place >= BINS - 1:  # all later ones belong there too
            counts[-1] += arrived - number + 1
            break
        following = number + bisect_right(range(number, arrived + 1), place, key=place_of)
        counts[place] += following - number
        number = following
    total = sum(counts)
    if total > _REMEMBERED:
        counts = [count * _REMEMBERED / (2 * total) for count in counts]
    return tuple(counts)


def _levels(
    moves: tuple[float, ...], width: int, start_worth: float, keep_worth: float
) -> tuple[float, float]:
    """How far above the forecast, in usual errors, a slot is still worth starting, and keeping.

    A slot serves the arrivals of `width` bins; `…_worth` is the worth of a slot that every arrival
    needs, per second.
    """
    total = sum(moves)
    start_at = keep_at = -inf
    # from the largest error down: the level for keeping is reached first
    served, largest = 0.0, BINS - 1
    while largest and not moves[largest]:
        largest -= 1
    for place in range(largest, -1, -1):
        served += moves[place]
        if place + width < BINS:
            served -= moves[place + width]
        if keep_at == -inf and served * keep_worth > total:
            keep_at = (place + 1) / _STEPS + _LOWEST
        if served * start_worth > total:
            start_at = (place + 1) / _STEPS + _LOWEST
            break
    return start_at, keep_at


def arrivals_per_s(state: NativeState, now: float) -> float:
    """The arrivals a second expected from `now` on, if none came since the last call."""
    passed_s = now - state.at
    return (state.rate if passed_s <= 0 else _rate(state.rate, passed_s, 0)).expected


def service_s(state: NativeState) -> float:
    """The mean seconds of a task, as far as is known."""
    return state.worked_s / state.worked


def slots_needed(pending: int, in_flight: int, task_s: float, ready_s: float) -> float:
    """A slot for each message in flight, and each that waits longer than a start takes."""
    return in_flight + pending * min(1.0, task_s / max(ready_s, 1e-3))


def replicas_needed(slots: float, per_replica: int, messages: int) -> int:
    """Replicas with so many slots; at least one where there is any message."""
    return max(ceil(slots / per_replica - 1e-9), 1 if messages else 0)


def _demand(seen: NativeInput, task_s: float) -> float:
    return slots_needed(seen.pending, seen.in_flight, task_s, seen.time_to_ready_s)


def _ready_s(seen: NativeInput) -> float:
    return max(seen.time_to_ready_s, 1e-3)


def _replicas(slots_needed: float, slots: int) -> int:
    return max(-(-floor(slots_needed) // slots), 0) if slots_needed > 0 else 0


SUMMED: Final = 1_000_000
"""Up to this mean, terms are summed."""
_FARTHEST: Final = 9.0
"""The score of a probability that is 1 once it is rounded."""
_NEGLIGIBLE: Final = 1e-18


@lru_cache(maxsize=4096)
def spares_for_arrivals(mean: float, slo: float) -> int:
    """The smallest n with P(Poisson(mean) <= n) >= slo: spares so that with probability `slo` no
    arrival waits; `mean` is the number of arrivals during one time to ready.

    Only the terms around the mean that can matter are summed, relative to the largest, which takes
    O(sqrt(mean)) time. Above `SUMMED`, the first terms of the Cornish-Fisher expansion give it; the
    next one is below 1/500 for such means.
    """
    if mean <= 0.0 or slo <= 0.0:
        return 0
    if mean > SUMMED:
        score = NormalDist().inv_cdf(slo) if slo < 1.0 else _FARTHEST
        return max(0, ceil(mean + score * sqrt(mean) + (score * score - 1) / 6 - 0.5))
    mode = int(mean)
    below: list[float] = []
    term = 1.0
    for number in range(mode, 0, -1):
        term *= number / mean
        if term < _NEGLIGIBLE:
            break
        below.append(term)
    first, terms = mode - len(below), [*reversed(below), 1.0]
    term, number = 1.0, mode
    while term > _NEGLIGIBLE:
        number += 1
        term *= mean / number
        terms.append(term)
    wanted = slo * fsum(terms)
    sums = list(accumulate(terms))
    return first + min(bisect_left(sums, wanted), len(sums))
