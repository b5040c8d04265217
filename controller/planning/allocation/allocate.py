"""Step 3, share: everything that several pools draw on, divided in phases and explained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from controller.model.decision import Bound
from controller.planning.allocation.fill import fill
from controller.planning.allocation.filling import Filling
from controller.planning.allocation.members import members_of, tiers_of
from controller.planning.allocation.rows import GRANTED, Rows
from controller.planning.allocation.values import (
    Allotment,
    Amount,
    AmountError,
    Ceiling,
    Claim,
    Phases,
    Row,
    SharingPolicy,
)


def allocate(
    claims: Iterable[Claim],
    rows: Iterable[Row] = (),
    tenant_weights: Mapping[str, Amount] | None = None,
    policy: SharingPolicy | None = None,
) -> dict[str, Allotment]:
    """What each pool gets, by pool in the order of their names; the same for any order of input.

    Five phases, each tier by tier from the highest: the baseline of tenants with work, floors,
    reserves, the need (demand), spares. In each, the tenant with the least share per weight is
    next, then its pool with the least per weight; among equals who runs already, then the larger
    weight, then the name. Tenants weigh 1 unless said. Raises SharingError.
    """
    return _Sharing(
        sorted(claims, key=_by_name),
        sorted(rows, key=_by_row_name),
        tenant_weights or {},
        policy or SharingPolicy(),
    ).result()


class _Sharing:
    """One allocation: the pools' bounds, then the phases, in the order they are written here."""

    def __init__(
        self,
        claims: Sequence[Claim],
        rows: Sequence[Row],
        tenant_weights: Mapping[str, Amount],
        policy: SharingPolicy,
    ) -> None:
        self.claims = claims
        self.rows = rows
        self.policy = policy
        self.ceilings = [_ceiling(claim) for claim in claims]
        self.floors, self.needs, self.wants = [], [], []
        for claim, ceiling in zip(claims, self.ceilings, strict=True):
            floor, need, want = _bounds(claim, ceiling)
            self.floors.append(floor)
            self.needs.append(need)
            self.wants.append(want)
        self.members = members_of(claims, tenant_weights)
        self.filling = Filling(self.members, Rows(claims, rows, self.wants))
        self.tiers = tiers_of(claims)
        self.seen: list[list[int]] = []

    def result(self) -> dict[str, Allotment]:
        self._fixed()
        above = self.floors if self.policy.above_floor else None
        self._note()
        self._baseline()
        self._note()
        for pools in self.tiers.values():
            fill(self.filling, pools, self.floors, strict=False)
        self._note()
        for tier, pools in self.tiers.items():
            left = self.policy.reserves.get(tier, 0) - sum(self.filling.have[p] for p in pools)
            if left > 0:
                fill(self.filling, pools, self.needs, strict=True, above=above, units=left)
        self._note()
        for pools in self.tiers.values():
            fill(self.filling, pools, self.needs, strict=True, above=above)
        self._note()
        for pools in self.tiers.values():
            fill(self.filling, pools, self.wants, strict=True, above=above)
        self._note()
        return {
            claim.pool: self._allotment(pool, claim, have)
            for pool, (claim, have) in enumerate(
                zip(self.claims, zip(*self.seen, strict=True), strict=True)
            )
        }

    def _note(self) -> None:
        self.seen.append(list(self.filling.have))

    def _fixed(self) -> None:
        """A pool that a gate holds has what it has, so that nobody else is given it."""
        for pool, claim in enumerate(self.claims):
            if claim.fixed:
                self.filling.have[pool] = claim.current
                self.filling.rows.seat(pool, claim.current)

    def _baseline(self) -> None:
        """One replica each for the tenants with work: for the pool whose work runs, else the oldest
        waiting, else by name; where no row lets that pool have it, for the next.
        """
        served = {
            self.members.tenant_of[pool]
            for pool, claim in enumerate(self.claims)
            if claim.fixed and claim.works and claim.current > 0
        }
        for pools in self.tiers.values():
            lists: dict[int, list[int]] = {}
            for pool in pools:
                tenant = self.members.tenant_of[pool]
                if self.claims[pool].works and self.needs[pool] > 0 and tenant not in served:
                    lists.setdefault(tenant, []).append(pool)
            for candidates in lists.values():
                if len(candidates) > 1:
                    candidates.sort(key=self._seniority)
            for _ in range(self.policy.baseline):
                self._one_each(lists)

    def _one_each(self, lists: Mapping[int, Sequence[int]]) -> None:
        """One replica for each tenant's first pool: at once if all fit, else the least served first
        and, where that pool is refused, the tenant's next.
        """
        filling, needs = self.filling, self.needs
        first: dict[int, int] = {}
        for tenant, pools in lists.items():
            for pool in pools:
                if filling.have[pool] < needs[pool] and filling.refused_by[pool] == GRANTED:
                    first[tenant] = pool
                    break
        if filling.give_one_each(first.values()):
            return
        for tenant in self._by_level(lists):
            for pool in lists[tenant]:
                if filling.have[pool] < needs[pool] and filling.give(pool, strict=False):
                    break

    def _seniority(self, pool: int) -> tuple[bool, float, int]:
        claim = self.claims[pool]
        since = claim.waiting_since
        return claim.current <= 0, float("inf") if since is None else since, pool

    def _by_level(self, lists: Mapping[int, Sequence[int]]) -> list[int]:
        filling, claims = self.filling, self.claims

        def key(tenant: int) -> tuple[int, bool, int]:
            runs = any(claims[pool].current > filling.have[pool] for pool in lists[tenant])
            level = filling.level(tenant, filling.drawn(tenant))
            return level, not runs, self.members.tenant_ranks[tenant]

        return sorted(lists, key=key)

    def _allotment(self, pool: int, claim: Claim, have: Sequence[int]) -> Allotment:
        start, baseline, floor, reserve, share, warm = have
        bound, name = self._bound(pool, claim)
        return Allotment(
            replicas=warm,
            wanted=max(claim.demand, claim.min) + claim.pin + claim.warm,
            bound=bound,
            limited_by=name,
            phases=Phases(
                baseline=baseline - start,
                floor=floor - baseline,
                reserve=reserve - floor,
                share=share - reserve,
                warm=warm - share,
            ),
        )

    def _bound(self, pool: int, claim: Claim) -> tuple[Bound, str]:
        """The rule that decided: the row that refused, the ceiling, or what was asked for."""
        refused, replicas = self.filling.refused_by[pool], self.filling.have[pool]
        if refused != GRANTED:
            return self.rows[refused].bound, self.rows[refused].name
        ceiling = self.ceilings[pool]
        spares = claim.pin + claim.warm
        if ceiling is not None and ceiling.limit < max(claim.demand, claim.min) + spares:
            return ceiling.bound, ceiling.name
        if replicas <= claim.demand:
            return Bound.DEMAND, ""
        if replicas <= max(claim.demand, claim.min):
            return Bound.MIN, ""
        return (Bound.WARM if claim.warm else Bound.PIN), ""


def _by_name(claim: Claim) -> str:
    return claim.pool


def _by_row_name(row: Row) -> str:
    return row.name


def _ceiling(claim: Claim) -> Ceiling | None:
    """The lowest of a pool's ceilings; among equals the first that is listed."""
    lowest: Ceiling | None = None
    for ceiling in claim.ceilings:
        if ceiling.limit < 0:
            raise AmountError(claim.pool, f"a ceiling of {ceiling.limit}")
        if lowest is None or ceiling.limit < lowest.limit:
            lowest = ceiling
    return lowest


def _bounds(claim: Claim, ceiling: Ceiling | None) -> tuple[int, int, int]:
    """Floor, need and want of a pool, none above its ceiling. A fixed one wants what it has."""
    if min(claim.demand, claim.min, claim.pin, claim.warm, claim.current) < 0:
        raise AmountError(claim.pool, "replicas cannot be below zero")
    if claim.fixed:
        return claim.current, claim.current, claim.current
    floor = claim.min + claim.pin
    need = max(claim.demand, floor)
    want = max(claim.demand, claim.min) + claim.pin + claim.warm
    if ceiling is None:
        return floor, need, want
    limit = ceiling.limit
    return min(floor, limit), min(need, limit), min(want, limit)
