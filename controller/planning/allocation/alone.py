"""Tenants whose only short row is drawn on by no other tenant: they share it among their own pools,
so their first replicas are granted at once, as many as fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from controller.planning.allocation.filling import Filling
from controller.planning.allocation.order import Order

_SEVERAL: Final = -1


def fill_alone(
    filling: Filling,
    wanting: Sequence[int],
    goal: Sequence[int],
    above: Sequence[int] | None,
    *,
    full: set[int],
    strict: bool,
) -> list[int]:
    """Bring such tenants as far as their row has room; it then refuses. The pools of all others are
    left. The rows that are `full` are those that cannot give all of `wanting` all they want.
    """
    found = _alone(filling, wanting, full, strict=strict)
    if not found:
        return list(wanting)
    tenant_of, left = filling.field.tenant_of, []
    pools: dict[int, list[int]] = {}
    for pool in wanting:
        if tenant_of[pool] in found:
            pools.setdefault(tenant_of[pool], []).append(pool)
        else:
            left.append(pool)
    for tenant, (row, use) in found.items():
        _fill(filling, pools[tenant], Order(filling, pools[tenant], goal, above), row, use)
        for pool in pools[tenant]:
            if filling.have[pool] < goal[pool]:
                filling.refused_by[pool] = row
    return left


def _alone(
    filling: Filling, wanting: Sequence[int], full: set[int], *, strict: bool
) -> Mapping[int, tuple[int, int]]:
    """The tenants whose pools all draw the same on one full row, which nobody else draws on: that
    row and that use.
    """
    rows, tenant_of = filling.rows, filling.field.tenant_of
    profiles, profile_of = rows.profiles, rows.profile_of
    owners: dict[int, int] = {}
    uses: dict[int, set[tuple[int, int]]] = {}
    others: set[int] = set()
    unshared = len(full)
    for pool in wanting:
        tenant, (draw, flavors) = tenant_of[pool], profiles[profile_of[pool]]
        drawn = [use for use in draw.takes if use[0] in full]
        if flavors or len(drawn) != 1 or drawn[0] not in (draw.strict if strict else draw.lenient):
            others.add(tenant)
            drawn.extend(use for flavor in flavors for use in flavor.takes)
        for use in drawn:
            uses.setdefault(tenant, set()).add(use)
            if owners.setdefault(use[0], tenant) not in (tenant, _SEVERAL):
                owners[use[0]] = _SEVERAL
                unshared -= use[0] in full
        if not unshared:
            return {}
    return {
        tenant: next(iter(drawn_on))
        for tenant, drawn_on in uses.items()
        if len(drawn_on) == 1
        and tenant not in others
        and all(owners[row] == tenant and row not in rows.passes for row, _ in drawn_on)
    }


def _fill(filling: Filling, pools: Sequence[int], order: Order, row: int, use: int) -> None:
    """Grant the first replicas in this order, as many as the row has room for."""
    rows, have, pool_at = filling.rows, filling.have, filling.field.pool_at
    before = [have[pool] for pool in pools]
    room = max(rows.left[row], 0) // use
    while room and order.head() is not None:
        granted = order.ahead[-room:]
        del order.ahead[-room:]
        for key in granted:
            have[pool_at[key % len(pool_at)]] += 1
        room -= len(granted)
    for pool, had in zip(pools, before, strict=True):
        rows.take(rows.profiles[rows.profile_of[pool]].everywhere.takes, have[pool] - had)
