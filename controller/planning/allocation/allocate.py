"""Step 3, share: everything that several pools draw on, divided in phases and explained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from controller.model.decision import Bound
from controller.planning.allocation.bounds import bounds_of
from controller.planning.allocation.fill import fill
from controller.planning.allocation.filling import Filling
from controller.planning.allocation.members import members_of, tiers_of
from controller.planning.allocation.rows import GRANTED, Rows
from controller.planning.allocation.values import (
    Allotment,
    Amount,
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
        sorted(claims, key=attrgetter("pool")),
        sorted(rows, key=attrgetter("name")),
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
        bounds = [bounds_of(claim) for claim in claims]
        self.floors = [bound.floor for bound in bounds]
        self.needs = [bound.need for bound in bounds]
        self.wants = [bound.want for bound in bounds]
        self.bounds = bounds
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
        return self._allotments()

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

    def _allotments(self) -> dict[str, Allotment]:
        phases: dict[tuple[int, ...], Phases] = {}
        result: dict[str, Allotment] = {}
        for pool, (claim, have) in enumerate(
            zip(self.claims, zip(*self.seen, strict=True), strict=True)
        ):
            if have not in phases:
                start, baseline, floor, reserve, share, warm = have
                phases[have] = Phases(
                    baseline=baseline - start,
                    floor=floor - baseline,
                    reserve=reserve - floor,
                    share=share - reserve,
                    warm=warm - share,
                )
            bound, name = self._bound(pool, claim)
            result[claim.pool] = Allotment(
                replicas=have[-1],
                wanted=self.bounds[pool].asked,
                bound=bound,
                limited_by=name,
                phases=phases[have],
            )
        return result

    def _bound(self, pool: int, claim: Claim) -> tuple[Bound, str]:
        """The rule that decided: the row that refused, the ceiling, or what was asked for."""
        refused, replicas = self.filling.refused_by[pool], self.filling.have[pool]
        if refused != GRANTED:
            return self.rows[refused].bound, self.rows[refused].name
        ceiling = self.bounds[pool].ceiling
        if ceiling is not None and ceiling.limit < self.bounds[pool].asked:
            return ceiling.bound, ceiling.name
        if replicas <= claim.demand:
            return Bound.DEMAND, ""
        if replicas <= claim.min:
            return Bound.MIN, ""
        return (Bound.WARM if claim.warm else Bound.PIN), ""
