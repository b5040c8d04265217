"""One phase of sharing for one group of pools, in the quickest way that gives the same: everything
at once where it fits, then who meets no full row, then a leap, and the rest unit by unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from controller.planning.allocation.advancing import advance
from controller.planning.allocation.contest import Contest
from controller.planning.allocation.filling import Filling
from controller.planning.allocation.leaping import leap
from controller.planning.allocation.rows import GRANTED

PATIENCE: Final = 64
"""So many replicas are handed out one by one before it is worth looking ahead again."""


def fill(
    filling: Filling,
    pools: Iterable[int],
    goal: Sequence[int],
    *,
    strict: bool,
    above: Sequence[int] | None = None,
    units: int | None = None,
) -> None:
    """Bring these pools towards their goals until each is there or refused.

    Soft rows refuse only if `strict`. What a pool has counts only as far as it is `above` that
    number, if given. At most `units` replicas are handed out.
    """
    have, refused_by, rows = filling.have, filling.refused_by, filling.rows
    wanting = [pool for pool in pools if have[pool] < goal[pool] and refused_by[pool] == GRANTED]
    profile_of = rows.profile_of
    missing: dict[int, int] = {}
    for pool in wanting:
        profile = profile_of[pool]
        missing[profile] = missing.get(profile, 0) + goal[pool] - have[pool]
    full: set[int] = set()
    if units is None or sum(missing.values()) <= units:
        units, full = None, rows.give_all(missing, strict=strict)
        if not full:
            for pool in wanting:
                have[pool] = goal[pool]
            return
        wanting = _settle(filling, wanting, goal, full)
        leap(filling, wanting, goal, above, strict=strict)
        wanting = [pool for pool in wanting if have[pool] < goal[pool]]
        most = PATIENCE
        while wanting:
            before = sum(have)
            wanting = advance(filling, wanting, goal, above, full=full, strict=strict)
            if sum(have) - before < most:
                most *= 2
            if not Contest(filling, wanting, goal, above, strict=strict).run(most):
                return
            wanting = [
                pool for pool in wanting if have[pool] < goal[pool] and refused_by[pool] == GRANTED
            ]
        return
    Contest(filling, wanting, goal, above, strict=strict).run(units)


def _settle(
    filling: Filling, wanting: Sequence[int], goal: Sequence[int], full: set[int]
) -> list[int]:
    """Give the tenants that no full row can refuse all they want; the pools of the others are left.

    A tenant is settled as a whole, for what one of its pools has counts against the next.
    """
    rows, have, tenant_of = filling.rows, filling.have, filling.field.tenant_of
    rivals = {
        tenant
        for tenant in {tenant_of[pool] for pool in wanting}
        if not full.isdisjoint(filling.owners.rows_of[tenant])
    }
    left = []
    for pool in wanting:
        if tenant_of[pool] in rivals:
            left.append(pool)
        else:
            rows.seat(pool, goal[pool] - have[pool])
            have[pool] = goal[pool]
    return left
