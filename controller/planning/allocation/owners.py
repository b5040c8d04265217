"""Which tenants use which rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from controller.planning.allocation.field import Field
from controller.planning.allocation.tariff import Draw, Tariff

SHARED: Final = -1
UNUSED: Final = -2


class Owners(NamedTuple):
    """The rows of each tenant, and the tenants of each row.

    - `rows_of`: by tenant, the rows that its pools use. `simple`: by tenant, whether none of its
      pools uses classes of nodes.
    - `owner_of`: by row, the only tenant that uses it, or `SHARED`, or `UNUSED`.
    - `known`: a cache by tenant: the inputs and the result of its last `prospect_of`.
    """

    rows_of: list[frozenset[int]]
    owner_of: list[int]
    simple: list[bool]
    known: dict[int, tuple[object, Any]]


def owners_of(field: Field, tariff: Tariff, profile_of: Sequence[int]) -> Owners:
    """The owners; `profile_of` is each pool's profile, by pool number."""
    rows_of: list[frozenset[int]] = []
    owner_of, simple = [UNUSED] * len(tariff.scales), []
    for tenant, pools in enumerate(field.pools_of):
        rows: set[int] = set()
        flavored = False
        for profile in {profile_of[pool] for pool in pools}:
            everywhere, flavors = tariff.profiles[profile]
            flavored = flavored or bool(flavors)
            for draw in (everywhere, *flavors):
                rows.update(_rows_of(draw))
        for row in rows:
            owner_of[row] = tenant if owner_of[row] == UNUSED else SHARED
        rows_of.append(frozenset(rows))
        simple.append(not flavored)
    return Owners(rows_of, owner_of, simple, {})


def same_rows(tariff: Tariff, one: int, other: int) -> bool:
    """Whether two profiles use the same rows. False for two profiles with classes of nodes."""
    if one == other:
        return True
    (first, flavors), (second, others) = tariff.profiles[one], tariff.profiles[other]
    return not flavors and not others and _rows_of(first) == _rows_of(second)


def _rows_of(draw: Draw) -> list[int]:
    return [row for row, _ in draw.takes]
