"""Spare replicas: as many as arrivals will need before a new one is ready."""

from __future__ import annotations

import math
from decimal import Context, Decimal
from fractions import Fraction
from typing import Final

from controller.planning.allocation.exact import exact
from support.sharing import Amount, AmountError

NEAR: Final = 1e-9
"""Closer to the wanted probability than this, floating point does not decide."""
DIGITS: Final = 60


def warm_spares(rate_per_s: Amount, notice_s: Amount, ready_s: Amount, slo: Amount) -> int:
    """Spares so that with probability `slo` nobody waits: arrivals are Poisson over the time to
    notice one and to have a new replica ready. Raises AmountError unless 0 <= slo < 1.
    """
    arrivals = exact(rate_per_s, "rate") * (exact(notice_s, "notice") + exact(ready_s, "ready"))
    return poisson_quantile(Fraction(arrivals), Fraction(exact(slo, "slo")))


def poisson_quantile(mean: Fraction, probability: Fraction) -> int:
    """The smallest n with P(Poisson(mean) <= n) >= probability, exactly.

    The sum runs over the terms around the mean that matter, relative to the largest; where that is
    too close to call it is repeated with more digits. Time is O(sqrt(mean)).
    """
    if not 0 <= probability < 1:
        raise AmountError("slo", f"{probability} is not a probability below 1")
    if mean == 0 or probability == 0:
        return 0
    quantile, margin = _by_floats(float(mean), float(probability))
    return quantile if margin > NEAR else _by_digits(mean, probability)


def buffered(allocated: int, *, percent: Amount | None = None, replicas: int = 0) -> int:
    """Replicas so that a part of them is free, as Agones counts its buffer: the percentage is of
    the size to come, not of what is allocated (applyBufferPolicy). Else so many more.
    """
    if percent is None:
        return allocated + replicas
    part = exact(percent, "buffer")
    if part >= 100:
        raise AmountError("buffer", "a buffer is less than all of the replicas")
    return math.ceil(Fraction(100 * allocated) / (100 - part))


def _by_floats(mean: float, probability: float) -> tuple[int, float]:
    """The quantile, and how far the nearest sum is from the probability."""
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
