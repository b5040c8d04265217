"""The input and output values of sharing.

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
      if a budget's pace is below the burn of one replica.
    """

    name: str
    capacity: Amount
    bound: Bound = Bound.CAPACITY
    fair: bool = False
    soft: Amount | None = None
    first_passes: bool = False


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


class ClaimColumns(NamedTuple):
    """What pools ask for, in replicas; the lists are by pool number of a `Field`.

    - `floors`: served before all needs. `needs`: served before all spares. `wants`: with spares,
      the most. All are capped by the pool's own ceilings, and `floors <= needs <= wants`.
    - `current`: what runs now. `works`: the pool has work, so its tenant gets a baseline.
    - `fixed`: pools that keep `current`, even if other pools get less.
    - `waiting_since`: the time of a pool's oldest waiting message (Unix seconds), if known.
    """

    floors: list[int]
    needs: list[int]
    wants: list[int]
    current: list[int]
    works: list[bool]
    fixed: frozenset[int] = frozenset()
    waiting_since: Mapping[int, float] = {}


class SharingPolicy(Value):
    """The rules of sharing that can be chosen.

    - `baseline`: replicas that each tenant with work gets before any floor; 0 for none.
    - `above_floor`: weights divide only the replicas above the floors, instead of all.
    - `reserves`: by tier, replicas of its needs that are served before the needs of higher tiers.
    """

    baseline: int = 1
    above_floor: bool = False
    reserves: Mapping[int, int] = msgspec.field(default_factory=dict)


class Phases(NamedTuple):
    """The replicas that each pool had after each phase of sharing, by pool number."""

    start: list[int]
    baseline: list[int]
    floor: list[int]
    reserve: list[int]
    share: list[int]


class Division(NamedTuple):
    """The result of sharing; lists are by pool number.

    - `have`: replicas. `refused_by`: the index of the row that refused more, or `GRANTED`.
    - `by_baseline`: pools that have a replica only by their tenant's baseline, with the index of
      the row that would have refused it otherwise.
    - `phases`: None if no row was short.
    """

    have: list[int]
    refused_by: list[int]
    by_baseline: Mapping[int, int]
    phases: Phases | None = None
