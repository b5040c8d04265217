"""What is asked for, what there is, and what everybody gets: the values of sharing.

Amounts are exact: int, Fraction or Decimal, never float.

    SharingError
    ├── AmountError        a number that is negative, not exact, or not a number
    ├── WeightError        a weight that is not above zero
    └── DeclarationError   a row nobody declared, or a pool or row declared twice
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final, Protocol, TypeAlias

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
    """A row that nobody declared, or a name that is declared twice."""


class Member(Protocol):
    """A pool that shares, as far as its place among the others and its use of the rows go."""

    @property
    def pool(self) -> str:
        """Its name."""

    @property
    def tenant(self) -> str:
        """Whose it is."""

    @property
    def weight(self) -> Amount:
        """Its weight among its tenant's pools."""

    @property
    def current(self) -> int:
        """The replicas it has."""

    @property
    def uses(self) -> Mapping[str, Amount]:
        """What one replica takes of each row."""

    @property
    def flavors(self) -> tuple[Mapping[str, Amount], ...]:
        """What it takes beside that on each class of nodes, in order of preference."""


class Row(Value, gc=False):
    """Something scarce that several pools draw on, in any unit.

    A hard row is never overdrawn. With `soft`, a part between 0 and 1, it is one whose last replica
    may be half fed: it takes one more while that part of its use is left, and refuses neither
    baseline nor floors. `fair` rows measure a tenant's share. With `first_passes` one replica may
    always draw on it, though it asks for more than there is (a budget's pace below its burn).
    """

    name: str
    capacity: Amount
    bound: Bound = Bound.CAPACITY
    fair: bool = False
    soft: Amount | None = None
    first_passes: bool = False


class Ceiling(Value, gc=False):
    """The most replicas one rule allows one pool; `name` tells rules of one bound apart."""

    limit: int
    bound: Bound = Bound.MAX
    name: str = ""


class Claim(Value, gc=False):
    """What one pool asks for, in replicas, and what each replica takes of each row.

    `demand` is the pool's own recommendation; min and pin are floors, `warm` are spares served
    last. `flavors` are classes of nodes in order of preference, each with what a replica takes
    there beside `uses`. A `fixed` pool keeps `current`, whoever else goes short. `has_work` is
    whether messages wait or run, by default whether there is demand; `waiting_since` is the time of
    the oldest that waits, in Unix seconds.
    """

    pool: str
    tenant: str
    tier: int = 0
    demand: int = 0
    weight: Amount = 1
    min: int = 0
    pin: int = 0
    warm: int = 0
    current: int = 0
    fixed: bool = False
    has_work: bool | None = None
    waiting_since: float | None = None
    ceilings: tuple[Ceiling, ...] = ()
    uses: Mapping[str, Amount] = msgspec.field(default_factory=dict)
    flavors: tuple[Mapping[str, Amount], ...] = ()

    @property
    def works(self) -> bool:
        """Whether the pool counts as one that has work."""
        return self.demand > 0 if self.has_work is None else self.has_work


class SharingPolicy(Value):
    """How shares are counted.

    `baseline`: replicas each tenant with work gets before anybody's floor (0: pure strict tiers).
    `above_floor`: weights split what is above the floors, not the total. `reserves`: replicas of
    each tier's need that are served before the strict order.
    """

    baseline: int = 1
    above_floor: bool = False
    reserves: Mapping[int, int] = msgspec.field(default_factory=dict)


class Phases(Value, gc=False):
    """In which phase a pool got its replicas."""

    baseline: int = 0
    floor: int = 0
    reserve: int = 0
    share: int = 0
    warm: int = 0


class Allotment(Value, gc=False):
    """What a pool gets. `wanted` is all it would have liked, spares included, without any limit;
    `bound` is the rule that decided, `limited_by` the name of the row or the ceiling if it was one:
    for a baseline, of the row that left the pool nothing else.
    """

    replicas: int
    wanted: int
    bound: Bound = Bound.DEMAND
    limited_by: str = ""
    phases: Phases = Phases()
