"""Step 3, share: everything that several pools draw on, divided in phases and explained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter

from controller.model.decision import Bound
from controller.planning.allocation.baseline import Baseline, owed
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
        self.baseline = Baseline(self.filling, claims, self.needs)
        self.tiers = tiers_of(claims)
        self.seen: list[list[int]] = []

    def result(self) -> dict[str, Allotment]:
        self._fixed()
        above = self.floors if self.policy.above_floor else None
        self._note()
        self.baseline.grant(self.tiers.values(), self.policy.baseline)
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

    def _allotments(self) -> dict[str, Allotment]:
        by_baseline = self._by_baseline()
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
            if pool in by_baseline:
                bound, name = Bound.BASELINE, self.rows[by_baseline[pool]].name
            else:
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

    def _by_baseline(self) -> dict[int, int]:
        """The pools that were refused and have only what their tenants' baseline gave them, where
        their share would have given nothing; and the row that would have refused it.
        """
        lenient, refused_by = self.baseline.lenient, self.filling.refused_by
        only = [
            pool
            for pool, (before, after, have) in enumerate(
                zip(self.seen[0], self.seen[1], self.filling.have, strict=True)
            )
            if before < after == have > self.floors[pool] and refused_by[pool] != GRANTED
        ]
        rest = [pool for pool in only if pool not in lenient]
        found = owed(self.filling, self.claims, self.bounds, rest) if rest else set()
        return {
            pool: lenient.get(pool, refused_by[pool])
            for pool in only
            if pool in lenient or pool in found
        }
