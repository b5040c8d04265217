"""The first phase of sharing: one replica for every tenant with work, before anybody's floor."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from sys import maxsize
from typing import Final

from controller.planning.allocation.bounds import Bounds
from controller.planning.allocation.filling import Filling
from controller.planning.allocation.rows import GRANTED
from controller.planning.allocation.values import Claim

_ABOVE_ALL: Final = maxsize


class Baseline:
    """The baseline of all tenants. `lenient`: the pools which a soft row would have refused it, had
    it not been one; and that row.
    """

    def __init__(self, filling: Filling, claims: Sequence[Claim], needs: Sequence[int]) -> None:
        self._filling, self._claims, self._needs = filling, claims, needs
        self.lenient: dict[int, int] = {}

    def grant(self, tiers: Iterable[Sequence[int]], replicas: int) -> None:
        """So many replicas each, tier by tier: for the pool whose work runs, else the oldest
        waiting, else by name; where no row lets that pool have it, for the next.
        """
        claims, tenant_of = self._claims, self._filling.members.tenant_of
        served = {
            tenant_of[pool]
            for pool, claim in enumerate(claims)
            if claim.fixed and claim.works and claim.current > 0
        }
        for pools in tiers:
            lists: dict[int, list[int]] = {}
            for pool in pools:
                tenant = tenant_of[pool]
                if self._needs[pool] > 0 and tenant not in served and claims[pool].works:
                    lists.setdefault(tenant, []).append(pool)
            for candidates in lists.values():
                if len(candidates) > 1:
                    candidates.sort(key=self._seniority)
            for _ in range(replicas):
                self._one_each(lists)

    def _one_each(self, lists: Mapping[int, Sequence[int]]) -> None:
        """One replica for each tenant's first pool: at once if all fit, else the least served first
        and, where that pool is refused, the tenant's next.
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
        claim = self._claims[pool]
        since = claim.waiting_since
        return claim.current <= 0, float("inf") if since is None else since, pool

    def _by_level(self, lists: Mapping[int, Sequence[int]]) -> list[int]:
        filling, claims = self._filling, self._claims

        def key(tenant: int) -> tuple[int, bool, int]:
            runs = any(claims[pool].current > filling.have[pool] for pool in lists[tenant])
            level = filling.level(tenant, filling.drawn(tenant))
            return level, not runs, filling.members.tenant_ranks[tenant]

        return sorted(lists, key=key)


def owed(
    filling: Filling, claims: Sequence[Claim], bounds: Sequence[Bounds], pools: Collection[int]
) -> set[int]:
    """Those of `pools`, each refused by a row, who would have none of it if shares alone counted.

    Whoever is served before their share, which is any floor and the tiers above, goes short of so
    much of the row that it would take all that is left and all that they and the tiers below have,
    and is content with no more than they use: what it leaves is too little for them.
    """
    refused_by, rows = filling.refused_by, filling.rows
    accounts = {refused_by[pool]: _Account() for pool in pools}
    for pool, bound in enumerate(bounds):
        have, account = filling.have[pool], accounts.get(refused_by[pool])
        if account is not None and have < bound.need:
            need, use = rows.need(pool, refused_by[pool]), rows.use(pool, refused_by[pool])
            missing = bound.need - max(have, bound.floor)
            account.lack(claims[pool].tier, use * missing, need)
            account.lack(_ABOVE_ALL, use * (bound.floor - have), need)
    pools = [pool for pool in pools if accounts[refused_by[pool]].above(claims[pool].tier)]
    if not pools:
        return set()
    held: dict[tuple[int, int], int] = {}
    for claim, bound, have, profile in zip(
        claims, bounds, filling.have, rows.profile_of, strict=True
    ):
        if have > bound.floor and not claim.fixed:
            key = profile, claim.tier
            held[key] = held.get(key, 0) + have - bound.floor
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
            claims[pool].tier, rows.use(pool, refused_by[pool]), rows.left[refused_by[pool]]
        )
    }


class _Account:
    """By tier, what is lacking of one row, the least that would be of use, and what is held."""

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
