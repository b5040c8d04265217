"""Spare replicas: as many as are likely to be needed before a new one is ready, and a buffer as
Agones counts it.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal
from fractions import Fraction

from controller.planning.allocation.exact import exact
from support.sharing import Amount, AmountError

_CONTEXT = Context(prec=60)


def warm_spares(rate_per_s: Amount, notice_s: Amount, ready_s: Amount, slo: Amount) -> int:
    """Spares so that with probability `slo` no arrival waits: arrivals are Poisson over the time to
    notice one and to have a new replica ready. Raises AmountError unless 0 <= slo < 1.
    """
    arrivals = exact(rate_per_s, "rate") * (exact(notice_s, "notice") + exact(ready_s, "ready"))
    return poisson_quantile(Fraction(arrivals), Fraction(exact(slo, "slo")))


def poisson_quantile(mean: Fraction, probability: Fraction) -> int:
    """The smallest n with P(Poisson(mean) <= n) >= probability: the sum of its terms, 60 digits of
    each.
    """
    if not 0 <= probability < 1:
        raise AmountError("slo", f"{probability} is not a probability below 1")
    rate, wanted = _decimal(mean), _decimal(probability)
    number = 0
    term = total = _CONTEXT.exp(-rate)
    while total < wanted:
        number += 1
        term = _CONTEXT.divide(_CONTEXT.multiply(term, rate), Decimal(number))
        total = _CONTEXT.add(total, term)
    return number


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


def _decimal(number: Fraction) -> Decimal:
    return _CONTEXT.divide(Decimal(number.numerator), Decimal(number.denominator))
