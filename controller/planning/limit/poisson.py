"""Poisson quantiles: the most arrivals there are with a given probability. Up to a million expected
arrivals they are exact.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal
from fractions import Fraction
from statistics import NormalDist
from typing import Final

from controller.planning.allocation.exact import exact
from controller.planning.allocation.values import Amount, AmountError

NEAR: Final = 1e-9
"""If a sum is closer to the wanted probability than this, floating point is not trusted."""
DIGITS: Final = 60
SUMMED: Final = 1_000_000
"""Up to this mean, terms are summed."""
_FARTHEST: Final = 9.0
"""The score of a probability that is 0 or 1 once it is rounded."""


def spares_for_arrivals(arrivals: Amount, slo: Amount) -> int:
    """Spares so that with probability `slo` no arrival waits; `arrivals` are the mean number during
    one time to ready. Raises AmountError unless 0 <= slo < 1.
    """
    return poisson_quantile(Fraction(exact(arrivals, "arrivals")), Fraction(exact(slo, "slo")))


def poisson_quantile(mean: Fraction, probability: Fraction) -> int:
    """The smallest n with P(Poisson(mean) <= n) >= probability.

    Only the terms around the mean that can matter are summed, relative to the largest. If the
    result is too close to decide, it is computed again with more digits. It takes O(sqrt(mean))
    time. Above `SUMMED` the result may be off by one; it takes the same time for any mean.
    """
    if not 0 <= probability < 1:
        raise AmountError("slo", f"{probability} is not a probability below 1")
    if mean == 0 or probability == 0:
        return 0
    if mean > SUMMED:
        return _by_expansion(float(mean), float(probability))
    quantile, margin = _by_floats(float(mean), float(probability))
    return quantile if margin > NEAR else _by_digits(mean, probability)


def _by_expansion(mean: float, probability: float) -> int:
    """The quantile by the first terms of the Cornish-Fisher expansion; the next one is below 1/500
    for such means.
    """
    if 0.0 < probability < 1.0:
        score = NormalDist().inv_cdf(probability)
    else:
        score = math.copysign(_FARTHEST, probability - 0.5)
    return max(0, math.ceil(mean + score * math.sqrt(mean) + (score * score - 1) / 6 - 0.5))


def _by_floats(mean: float, probability: float) -> tuple[int, float]:
    """The quantile, and the relative distance of the nearest sum from the probability."""
    mode = int(mean)
    below: list[float] = []
    term = 1.0
    for number in range(mode, 0, -1):
        term *= number / mean
        if term < 1e-18:
            break
        below.append(term)
    first, terms = mode - len(below), [*reversed(below), 1.0]
    term, number = 1.0, mode
    while term > 1e-18:
        number += 1
        term *= mean / number
        terms.append(term)
    wanted = probability * math.fsum(terms)
    total, margin = 0.0, math.inf
    for number, term in enumerate(terms, start=first):
        total += term
        margin = min(margin, abs(total - wanted) / wanted)
        if total >= wanted:
            return number, margin
    return first + len(terms), 0.0


def _by_digits(mean: Fraction, probability: Fraction) -> int:
    context = Context(prec=DIGITS)
    rate = context.divide(Decimal(mean.numerator), Decimal(mean.denominator))
    wanted = context.divide(Decimal(probability.numerator), Decimal(probability.denominator))
    number = 0
    term = total = context.exp(-rate)
    while total < wanted:
        number += 1
        term = context.divide(context.multiply(term, rate), Decimal(number))
        total = context.add(total, term)
    return number
