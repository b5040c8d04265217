"""The first phase of sharing: replicas for each tenant with work, by default 1, before floors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from sys import maxsize
from typing import Final

from controller.planning.allocation.filling import Filling
from controller.planning.allocation.rows import GRANTED
from controller.planning.allocation.values import ClaimColumns

_ABOVE_ALL: Final = maxsize


class Baseline:
    """Grants the tenants' baselines.

    `lenient`: the pools that got a baseline replica although a soft row had too little left, with
    that row's index.
    """

    def __init__(self, filling: Filling, claims: ClaimColumns) -> None:
        self._filling, self._claims, self._needs = filling, claims, claims.needs
        self.lenient: dict[int, int] = {}

    def grant(self, tiers: Iterable[Sequence[int]], replicas: int) -> None:
        """Grant so many replicas to each tenant with work, tier by tier.

        Within a tenant and tier the order is: pools with running replicas, then those with the
        oldest waiting message, then by number. If rows refuse the first pool, the next is tried.
        """
        claims, tenant_of, needs = self._claims, self._filling.field.tenant_of, self._needs
        works, fixed = claims.works, claims.fixed
        served = {tenant_of[pool] for pool in fixed if works[pool] and claims.current[pool] > 0}
        for pools in tiers:
            lists: dict[int, list[int]] = {}
            for pool in pools:
                if works[pool] and needs[pool] > 0 and pool not in fixed:
                    tenant = tenant_of[pool]
                    if tenant not in served:
                        lists.setdefault(tenant, []).append(pool)
            for candidates in lists.values():
                if len(candidates) > 1:
                    candidates.sort(key=self._seniority)
            for _ in range(replicas):
                self._one_each(lists)

    def _one_each(self, lists: Mapping[int, Sequence[int]]) -> None:
        """Grant one replica to each tenant's first pool, all at once if all fit. Else the tenant
        with the least share per weight is first, and a refused pool is followed by the tenant's
        next.
        """
        filling, needs = self._filling, self._needs
        first: list[int] = []
        for pools in lists.values():
            for pool in pools:
                if filling.have[pool] < needs[pool] and filling.refused_by[pool] == GRANTED:
                    first.append(pool)
                    break
        if filling.give_one_each(first):
            return
        for tenant in self._by_level(lists):
            for pool in lists[tenant]:
                if filling.have[pool] < needs[pool] and self._give(pool):
                    break

    def _give(self, pool: int) -> bool:
        filling = self._filling
        refused = filling.rows.give(pool, strict=True)
        if refused == GRANTED:
            filling.have[pool] += 1
            return True
        if filling.give(pool, strict=False):
            self.lenient[pool] = refused
            return True
        return False

    def _seniority(self, pool: int) -> tuple[bool, float, int]:
        since = self._claims.waiting_since.get(pool, float("inf"))
        return self._claims.current[pool] <= 0, since, pool

    def _by_level(self, lists: Mapping[int, Sequence[int]]) -> list[int]:
        filling, current = self._filling, self._claims.current

        def key(tenant: int) -> tuple[int, bool, int]:
            runs = any(current[pool] > filling.have[pool] for pool in lists[tenant])
            level = filling.level(tenant, filling.drawn(tenant))
            return level, not runs, filling.field.tenant_ranks[tenant]

        return sorted(lists, key=key)


def without_share(filling: Filling, claims: ClaimColumns, pools: Collection[int]) -> set[int]:
    """The pools of `pools` that would have no share of the row that refused them.

    Floors and higher tiers are served before a pool's share. If they still lack at least as much of
    the row as is left of it, together with what this tier and lower ones hold of it, nothing
    remains for the pool's share. What they lack counts only if they could use what the pool holds.
    """
    refused_by, rows, have_of = filling.refused_by, filling.rows, filling.have
    floors, needs, tier_of = claims.floors, claims.needs, filling.field.tier_of
    accounts = {refused_by[pool]: _Account() for pool in pools}
    for pool, have in enumerate(have_of):
        account = accounts.get(refused_by[pool])
        if account is not None and have < needs[pool]:
            floor = floors[pool]
            use, need = rows.most(pool, refused_by[pool])
            account.lack(tier_of[pool], use * (needs[pool] - max(have, floor)), need)
            account.lack(_ABOVE_ALL, use * (floor - have), need)
    pools = [pool for pool in pools if accounts[refused_by[pool]].above(tier_of[pool])]
    if not pools:
        return set()
    held: dict[tuple[int, int], int] = {}
    for pool, have in enumerate(have_of):
        above = have - floors[pool]
        if above > 0 and pool not in claims.fixed:
            key = rows.profile_of[pool], tier_of[pool]
            held[key] = held.get(key, 0) + above
    for (profile, tier), replicas in held.items():
        everywhere, flavors = rows.profiles[profile]
        for draw in (everywhere, *flavors):
            for row, use in draw.takes:
                if row in accounts:
                    accounts[row].hold(tier, use * replicas)
    return {
        pool
        for pool in pools
        if accounts[refused_by[pool]].leaves_nothing(
            tier_of[pool], rows.most(pool, refused_by[pool])[0], rows.left[refused_by[pool]]
        )
    }


class _Account:
    """By tier, the units of one row that pools lack, the least that one of them can use, and the
    units that pools hold above their floors.
    """

    __slots__ = ("_held", "_lacking", "_least")

    def __init__(self) -> None:
        self._lacking: dict[int, int] = {}
        self._least: dict[int, int] = {}
        self._held: dict[int, int] = {}

    def lack(self, tier: int, units: int, need: int) -> None:
        if units > 0:
            self._lacking[tier] = self._lacking.get(tier, 0) + units
            self._least[tier] = min(self._least.get(tier, need), need)

    def hold(self, tier: int, units: int) -> None:
        self._held[tier] = self._held.get(tier, 0) + units

    def above(self, tier: int) -> list[int]:
        return [each for each in self._lacking if each > tier]

    def leaves_nothing(self, tier: int, use: int, left: int) -> bool:
        above = self.above(tier)
        return min(self._least[each] for each in above) <= use and sum(
            self._lacking[each] for each in above
        ) >= left + sum(held for each, held in self._held.items() if each <= tier)
