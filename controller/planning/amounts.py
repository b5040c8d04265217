"""Exact amounts (int, Fraction or Decimal, never float), rows, and what cannot be shared.

SharingError
├── AmountError        a number that is negative, not exact, or not a number
├── WeightError        a weight that is not above zero
└── DeclarationError   a row that was not declared, or a pool or row declared twice
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import msgspec

from controller.model.decision import Bound
from controller.model.value import Value

Amount: TypeAlias = int | Fraction | Decimal

REPLICAS: Final = "replicas"
HALF_FED: Final = Fraction(1, 2)
"""The part of a replica's use that must be left of a rate limit's soft row to grant the replica."""


class SharingError(ValueError):
    """An input that cannot be used for sharing; `subject` names its pool, tenant or row."""

    def __init__(self, subject: str, message: str) -> None:
        super().__init__(f"{subject}: {message}")
        self.subject = subject


class AmountError(SharingError):
    """A capacity, use or count that is negative, inexact or not finite."""


class WeightError(SharingError):
    """A weight that is not above zero, or not an exact number."""


class DeclarationError(SharingError):
    """A row that was not declared, or a name that is declared twice."""


class Row(Value, gc=False):
    """A limited amount that several pools use together, in any unit.

    - `capacity`: what there is of it. `bound`: the rule that is named when the row refuses.
    - `soft`: None for a hard row, which is never overdrawn. Else a part from 0 to 1: a replica is
      granted if at least this part of its use is left. Baseline and floors are granted anyway.
    - `fair`: a tenant's share is its largest part of a fair row.
    - `first_passes`: the first replica is granted even if it uses more than there is, for example
      if a budget's pace is below the burn of one replica. Only for a row of one tenant.
    - `tenant`: the only tenant whose pools use it; empty if several may.
    """

    name: str
    capacity: Amount
    bound: Bound = Bound.CAPACITY
    fair: bool = False
    soft: Amount | None = None
    first_passes: bool = False
    tenant: str = ""


class Ceiling(Value, gc=False):
    """The most replicas that one rule allows one pool; `name` distinguishes rules of one bound."""

    limit: int
    bound: Bound = Bound.MAX
    name: str = ""


class ReplicaUses(NamedTuple):
    """What one replica uses of each row, by the row's name; all mappings are read-only.

    `everywhere` is used on any node. `flavors` are for the classes of nodes that the replica may
    run on, in order of preference; it uses one of them in addition.
    """

    everywhere: Mapping[str, Amount]
    flavors: tuple[Mapping[str, Amount], ...] = ()


class Claim(msgspec.Struct, frozen=True, gc=False):
    """What one pool asks for, in replicas.

    - `floor`: served before all needs. `need`: served before all spares. `want`: with spares, the
      most. All are capped by the pool's ceilings. `asked`: the most without them.
    - `demand`, `min`: the recommendation, and the floor without pins.
    - `fixed`: the pool keeps `current`, even if other pools get less. `works`: it has work.
    - `ceiling`: the lowest ceiling. `has_spares`: it asks for more spares than the pinned ones.
      Both only explain the result.
    """

    floor: int
    need: int
    want: int
    asked: int
    demand: int
    min: int
    current: int
    fixed: bool
    works: bool
    has_spares: bool
    ceiling: Ceiling | None


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
