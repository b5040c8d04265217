"""What one step of a plan gives to the next, from the work of a pool to the size it is set to;
exact amounts (int, Fraction or Decimal, never float), rows, and what cannot be shared.

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

from controller.model.decision import Bound, Code, Drain, Gate, Number, Reason
from controller.model.memory import PoolMemory
from controller.model.value import Value


def because(code: Code, value: int | None = None, **numbers: Number) -> Reason:
    """The reason of a rule that was applied, with the replicas after it and its numbers."""
    return Reason(code=code, value=value, numbers=numbers)


class Demand(msgspec.Struct, frozen=True, gc=False):
    """What the work of one pool asks for; each part of step 1 adds what it finds.

    - `messages` wait or are in flight, None where the number is not known; `replicas`: the demand,
      that of the metrics included. If `counted`, complete answers gave both; else they are lower
      bounds. `woken`: a message was published that the count does not include yet.
    - `needed`: the replicas that the present work needs, without memory, windows, tolerance and the
      present size; None if not known.
    - `active`: it has work worth waking for. `forced`: an annotation says that it has.
      `activator`: the numbers of the metric that woke it, if it was one.
    - `settled`: the demand is what rule native has learned. `expects_work`: so replicas are worth
      running although no message waits, and the cooldown does not remove them.
    - `proposal`: for rule hpa the largest proposal of its metrics, None if there is none or it may
      not be followed.
    - `arrivals`: the expected arrivals during one time to ready; None if not known.
    - `unusable`: why the first metric that cannot be used cannot, so that the demand is incomplete.
    - `memory`: the pool's memory with what this step has learned and noted.
    """

    messages: int | None
    counted: bool
    woken: bool
    replicas: int | None
    needed: int | None
    active: bool
    forced: bool
    memory: PoolMemory
    reasons: tuple[Reason, ...]
    settled: bool = False
    expects_work: bool = False
    arrivals: float | None = None
    activator: dict[str, Number] | None = None
    proposal: int | None = None
    unusable: dict[str, Number] | None = None


class Limits(msgspec.Struct, frozen=True, gc=False):
    """One pool's size by its own rule, then with its limits, before anything is shared.

    - `replicas`: the size. `bound`: the rule that decided it.
    - `min`, `max`: the bounds in force; an idle pool may rest below its own min.
    - `unstabilized`: the size without windows and rate policies.
    - `memory`: the memory after this step.
    - `left_alone`: it was scaled to zero by hand; no limit and no gate applies.
    - `recommendation`: the recommended size within the bounds, before spares and ceilings.
    - `pinned`: replicas above min that belong to the floor. `spares`: replicas on top of the
      recommendation, including the pinned ones. `ceilings`: the limits besides max.
    - `is_moving`: a window or a rate policy still delays a change of the recommendation.
    - `held`: a gate will keep it from shrinking, so it takes part in sharing with its present size.
    """

    replicas: int
    bound: Bound
    min: int
    max: int
    unstabilized: int
    memory: PoolMemory
    recommendation: int = 0
    pinned: int = 0
    spares: int = 0
    ceilings: tuple[Ceiling, ...] = ()
    is_moving: bool = False
    left_alone: bool = False
    held: bool = False
    reasons: tuple[Reason, ...] = ()


class Target(msgspec.Struct, frozen=True, gc=False):
    """The number of replicas that one pool should have, and the rule that decided it."""

    replicas: int
    bound: Bound
    reasons: tuple[Reason, ...] = ()


class Next(msgspec.Struct, frozen=True, gc=False):
    """The size to set now, in replicas; if it is not the target, the gate and reasons say why.
    `drain`: what the workers are told, None for a pool whose workers never said what they do.
    """

    replicas: int
    gate: Gate | None = None
    reasons: tuple[Reason, ...] = ()
    drain: Drain | None = None


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
    current: int
    min: int = 0
    fixed: bool = False
    works: bool = False
    has_spares: bool = False
    ceiling: Ceiling | None = None

    @staticmethod
    def of_fixed(size: int, asked: int, demand: int, least: int = 0, *, works: bool) -> Claim:
        """The claim of a pool that keeps its size."""
        return Claim(size, size, size, asked, demand, size, least, fixed=True, works=works)


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
