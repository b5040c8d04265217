"""What is asked for and what there is: the values of sharing.

Amounts are exact: int, Fraction or Decimal, never float.

    SharingError
    ├── AmountError        a number that is negative, not exact, or not a number
    ├── WeightError        a weight that is not above zero
    └── DeclarationError   a row that was not declared, or a pool or row declared twice
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple, TypeAlias

import msgspec

from controller.model.decision import Bound
from controller.model.value import Value

Amount: TypeAlias = int | Fraction | Decimal

HALF_FED: Final = Fraction(1, 2)
"""The part of its use that must be left of a soft row for one more replica to be worth it."""


class SharingError(ValueError):
    """Something that cannot be shared by; `subject` is the pool, tenant or row it is about."""

    def __init__(self, subject: str, message: str) -> None:
        super().__init__(f"{subject}: {message}")
        self.subject = subject


class AmountError(SharingError):
    """A capacity, use or count that is negative, inexact or not finite."""


class WeightError(SharingError):
    """A weight that is not above zero; a share of nothing is not a share."""


class DeclarationError(SharingError):
    """A row that was not declared, or a name that is declared twice."""


class Row(Value, gc=False):
    """Something scarce that several pools draw on, in any unit.

    A hard row is never overdrawn. With `soft`, a part between 0 and 1, the last replica may get
    only that part of its use; a soft row refuses neither baseline nor floors. `fair` rows measure a
    tenant's share. With `first_passes` one replica may always draw on the row, even if it uses more
    than there is (a budget's pace below one replica's burn).
    """

    name: str
    capacity: Amount
    bound: Bound = Bound.CAPACITY
    fair: bool = False
    soft: Amount | None = None
    first_passes: bool = False


class Ceiling(Value, gc=False):
    """The most replicas that one rule allows one pool; `name` tells rules of one bound apart."""

    limit: int
    bound: Bound = Bound.MAX
    name: str = ""


class ReplicaUses(NamedTuple):
    """What one replica takes of each row: everywhere, and beside it on each class of nodes that it
    may use, in order of preference. Both are read-only mappings.
    """

    everywhere: Mapping[str, Amount]
    flavors: tuple[Mapping[str, Amount], ...] = ()


class Asks(NamedTuple):
    """What pools ask for, in columns over the pools of a `Field`, in replicas.

    - `floors`, `needs`, `wants`: what each gets before every need, before every spare, and at most;
      all three are capped by the pool's own ceilings, and `floors <= needs <= wants`.
    - `current`: what each runs now. `works`: it has work, so its tenant has a baseline.
    - `fixed`: pools that keep `current`, even if others go short.
    - `waiting_since`: the time of the oldest waiting message, where it is known.
    """

    floors: list[int]
    needs: list[int]
    wants: list[int]
    current: list[int]
    works: list[bool]
    fixed: frozenset[int] = frozenset()
    waiting_since: Mapping[int, float] = {}


class SharingPolicy(Value):
    """How shares are counted.

    `baseline`: replicas that each tenant with work gets before any floor (0: pure strict tiers).
    `above_floor`: weights split what is above the floors, not the total. `reserves`: replicas of
    each tier's need that are served before the strict order.
    """

    baseline: int = 1
    above_floor: bool = False
    reserves: Mapping[int, int] = msgspec.field(default_factory=dict)


class Phases(NamedTuple):
    """What each pool had after each phase of sharing, by pool."""

    start: list[int]
    baseline: list[int]
    floor: list[int]
    reserve: list[int]
    share: list[int]


class Division(NamedTuple):
    """What each pool gets.

    - `have`: replicas by pool. `refused_by`: the row that refused more, or `GRANTED`.
    - `by_baseline`: pools that have only their tenant's baseline, and the row that would have
      refused even that.
    - `phases`: None where no row was short.
    """

    have: list[int]
    refused_by: list[int]
    by_baseline: Mapping[int, int]
    phases: Phases | None = None
