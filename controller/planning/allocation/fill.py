"""One phase of sharing for one group of pools. The result is that of progressive filling.

Shortcuts come first: everything at once if it fits; then tenants that use no full row; then `leap`
and `advance`. Only the rest is handed out replica by replica.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from controller.planning.allocation.advancing import advance
from controller.planning.allocation.filling import Filling
from controller.planning.allocation.leaping import leap
from controller.planning.allocation.rows import GRANTED
from controller.planning.allocation.stepwise import StepwiseFilling

PATIENCE: Final = 64
"""The number of replicas handed out one by one before `advance` is tried again."""


def fill(
    filling: Filling,
    pools: Iterable[int],
    goal: Sequence[int],
    *,
    strict: bool,
    above: Sequence[int] | None = None,
    units: int | None = None,
) -> None:
    """Hand out replicas to these pools until each has reached its goal or is refused.

    Changes `filling`. `pools` are numbers; `goal` is in replicas, by pool number. Soft rows refuse
    only if `strict`. With `above` (by pool number), only replicas above that number count for
    shares. At most `units` replicas are handed out; None for no limit.
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
            if not StepwiseFilling(filling, wanting, goal, above, strict=strict).run(most):
                return
            wanting = [
                pool for pool in wanting if have[pool] < goal[pool] and refused_by[pool] == GRANTED
            ]
        return
    StepwiseFilling(filling, wanting, goal, above, strict=strict).run(units)


def _settle(
    filling: Filling, wanting: Sequence[int], goal: Sequence[int], full: set[int]
) -> list[int]:
    """Grant everything to the tenants that use no row in `full`; return the other tenants' pools.

    It goes by tenant, not by pool, because the replicas of one pool count for its tenant's share.
    """
    rows, have, tenant_of = filling.rows, filling.have, filling.field.tenant_of
    constrained = {
        tenant
        for tenant in {tenant_of[pool] for pool in wanting}
        if not full.isdisjoint(filling.owners.rows_of[tenant])
    }
    left = []
    for pool in wanting:
        if tenant_of[pool] in constrained:
            left.append(pool)
        else:
            rows.place_running(pool, goal[pool] - have[pool])
            have[pool] = goal[pool]
    return left
