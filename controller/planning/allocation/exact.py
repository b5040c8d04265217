"""Exact numbers, and integer divisions whose results compare like the exact quotients."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from math import lcm

from controller.planning.allocation.values import Amount, AmountError, WeightError


def exact(amount: Amount, subject: str) -> int | Fraction:
    """The amount as an int or a Fraction. Raises AmountError if it is inexact or below zero."""
    value: int | Fraction
    if type(amount) is int or type(amount) is Fraction:
        value = amount
    elif isinstance(amount, Decimal) and amount.is_finite():
        value = _of_decimal(amount)
    else:
        raise AmountError(subject, f"{amount!r} is not an exact number")
    if value < 0:
        raise AmountError(subject, f"{amount} is below zero")
    return value


@lru_cache(maxsize=1024)
def _of_decimal(amount: Decimal) -> int | Fraction:
    value = Fraction(amount)
    return value.numerator if value.denominator == 1 else value


def exact_weight(weight: Amount, subject: str) -> int | Fraction:
    """The weight as an int or a Fraction. Raises WeightError unless it is exact and above zero."""
    if type(weight) is int and weight > 0:
        return weight
    try:
        value = exact(weight, subject)
    except AmountError as error:
        raise WeightError(subject, f"the weight {weight!r} is not a positive number") from error
    if value == 0:
        raise WeightError(subject, "a weight of 0 is no share; leave the pool out or pause it")
    return value


def divisors(weights: Sequence[int | Fraction]) -> list[tuple[int, int]]:
    """(m, d) for each weight, so that for integers n, `n * m // d` sorts as n / weight does.

    Two different quotients n/w differ by at least 1 / (product of the numerators of their weights).
    So a scale of twice the square of the largest numerator keeps them apart after rounding down. If
    the lcm of the numerators is not larger, it is used instead, as it needs no rounding.
    """
    if not weights:
        return []
    numerators = {weight.numerator for weight in weights}
    largest = max(numerators)
    scale = 1
    for numerator in numerators:
        scale = lcm(scale, numerator)
        if scale > 2 * largest * largest:
            scale = 2 * largest * largest
            break
    found: dict[int | Fraction, tuple[int, int]] = {}
    for weight in weights:
        if weight not in found:
            multiplied = weight.denominator * scale
            over = multiplied % weight.numerator
            found[weight] = (
                (multiplied, weight.numerator) if over else (multiplied // weight.numerator, 1)
            )
    return [found[weight] for weight in weights]
