"""Sharing a second time: as the rule is written down (planning.md 8.2), slow, unit by unit, in
fractions; every step looks at everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import msgspec

from controller.model.decision import Bound
from controller.model.value import Value
from support.sharing import Amount, Claim, Row, bounds


class SharingPolicy(Value):
    """What the cases choose and a fleet file cannot: replicas of a tenant's baseline; weights that
    count only what is above the floors; by tier, replicas reserved before higher tiers' needs.
    """

    baseline: int = 1
    above_floor: bool = False
    reserves: Mapping[int, int] = msgspec.field(default_factory=dict)


class Oracle:
    """The rule as it is written down, with nothing made faster: every step looks at everything."""

    def __init__(
        self,
        claims: Sequence[Claim],
        rows: Sequence[Row],
        tenant_weights: Mapping[str, Amount],
        policy: SharingPolicy | None = None,
    ) -> None:
        self.claims = {claim.pool: claim for claim in claims}
        self.rows = {row.name: row for row in rows}
        self.left = {row.name: Fraction(row.capacity) for row in rows}
        self.drawn_on: set[str] = set()
        self.weights = tenant_weights
        self.policy = policy or SharingPolicy()
        self.have = dict.fromkeys(self.claims, 0)
        self.dropped: dict[str, str] = {}
        self.beyond: list[Claim] = []
        self.charges: list[tuple[int, Mapping[str, Amount]]] = []

    def run(self) -> dict[str, int]:
        tiers = sorted({claim.tier for claim in self.claims.values()}, reverse=True)
        for claim in sorted(self.claims.values(), key=lambda one: one.pool):
            if claim.fixed:
                self._seat(claim)
        self._seat_above()
        for tier in tiers:
            self._baseline(tier)
        for tier in tiers:
            self._fill(tier, 0, soft=False, above=False)
        above = self.policy.above_floor
        for tier in tiers:
            there = [claim.pool for claim in self.claims.values() if self._in(claim, tier)]
            units = self.policy.reserves.get(tier, 0) - sum(self.have[pool] for pool in there)
            self._fill(tier, 1, soft=True, above=above, units=units)
        for phase in (1, 2):
            for tier in tiers:
                self._charge(tier, 1)
                self._fill(tier, phase, soft=True, above=above)
            for tier in tiers:
                self._charge(tier, -1)
        return dict(sorted(self.have.items()))

    def _in(self, claim: Claim, tier: int) -> bool:
        return claim.tier == tier and not claim.fixed

    def _seat(self, claim: Claim) -> None:
        self.have[claim.pool] = claim.current
        quotas = {
            row: use for row, use in claim.uses.items() if self.rows[row].bound is Bound.QUOTA
        }
        for _ in range(claim.current):
            if any(self.left[row] < Fraction(use) for row, use in quotas.items()):
                if claim.pool not in self.dropped:
                    self.dropped[claim.pool] = self._refusing(quotas, soft=True) or ""
                self._draw(quotas)  # a tenant beyond its quota takes no room from higher tiers
                self.beyond.append(claim)
                continue
            self._draw(claim.uses)
            self._draw(self._class_of(claim))

    def _seat_above(self) -> None:
        """What is held beyond a quota, one replica after the other, on classes that have room."""
        for claim in self.beyond:
            shared = {row: use for row, use in claim.uses.items() if not self.rows[row].tenant}
            for uses in (shared, self._class_of(claim)):
                self._change(uses, 1)
                self.charges.append((claim.tier, uses))
        for _, uses in self.charges:
            self._change(uses, -1)

    def _charge(self, tier: int, times: int) -> None:
        for of_tier, uses in self.charges:
            if of_tier == tier:
                self._change(uses, times)

    def _change(self, uses: Mapping[str, Amount], times: int) -> None:
        for row, use in uses.items():
            self.left[row] -= Fraction(use) * times

    def _class_of(self, claim: Claim) -> Mapping[str, Amount]:
        for flavor in claim.flavors:
            if all(self.left[row] >= Fraction(use) for row, use in flavor.items()):
                return flavor
        return claim.flavors[-1] if claim.flavors else {}

    def _draw(self, uses: Mapping[str, Amount]) -> None:
        for row, use in uses.items():
            self.left[row] -= Fraction(use)
            self.drawn_on.add(row)

    def _refusing(self, uses: Mapping[str, Amount], *, soft: bool) -> str | None:
        for name, use in sorted(
            uses.items(), key=lambda each: (not self.rows[each[0]].tenant, each)
        ):
            row, left = self.rows[name], self.left[name]
            if row.first_passes and name not in self.drawn_on:
                continue
            if row.soft is None:
                if left < Fraction(use):
                    return name
            elif soft and (left <= 0 or left < Fraction(row.soft) * Fraction(use)):
                return name
        return None

    def _give(self, pool: str, *, soft: bool) -> bool:
        claim = self.claims[pool]
        refused = self._refusing(claim.uses, soft=soft)
        flavor: Mapping[str, Amount] = {}
        if refused is None:
            for flavor in claim.flavors:
                refused = self._refusing(flavor, soft=soft)
                if refused is None:
                    break
        if refused is not None:
            self.dropped[pool] = refused
            return False
        self._draw(claim.uses)
        self._draw(flavor)
        self.have[pool] += 1
        return True

    def _share_of(self, tenant: str, *, above: bool) -> Fraction:
        fair = [row for row in self.rows.values() if row.fair and row.capacity > 0]
        totals = dict.fromkeys([row.name for row in fair], Fraction(0))
        count = 0
        for pool, claim in self.claims.items():
            if claim.tenant == tenant:
                counted = self._counted(pool, above=above)
                count += counted
                for row in fair:
                    totals[row.name] += counted * Fraction(claim.uses.get(row.name, 0))
        share = max(
            (totals[row.name] / Fraction(row.capacity) for row in fair), default=Fraction(count)
        )
        return share / Fraction(self.weights.get(tenant, 1))

    def _counted(self, pool: str, *, above: bool) -> int:
        floor = bounds(self.claims[pool])[0] if above else 0
        return max(self.have[pool] - floor, 0)

    def _pool_key(self, pool: str, *, above: bool) -> tuple[object, ...]:
        claim = self.claims[pool]
        weight = Fraction(claim.weight)
        running = claim.current > self.have[pool]
        return Fraction(self._counted(pool, above=above)) / weight, not running, -weight, pool

    def _tenant_key(self, tenant: str, pools: Sequence[str], *, above: bool) -> tuple[object, ...]:
        running = any(self.claims[pool].current > self.have[pool] for pool in pools)
        weight = Fraction(self.weights.get(tenant, 1))
        return self._share_of(tenant, above=above), not running, -weight, tenant

    def _fill(
        self, tier: int, phase: int, *, soft: bool, above: bool, units: int | None = None
    ) -> None:
        while units is None or units > 0:
            open_to: dict[str, list[str]] = {}
            for pool, claim in self.claims.items():
                short = self.have[pool] < bounds(claim)[phase]
                if self._in(claim, tier) and short and pool not in self.dropped:
                    open_to.setdefault(claim.tenant, []).append(pool)
            if not open_to:
                return
            heads = {
                tenant: min(pools, key=lambda pool: self._pool_key(pool, above=above))
                for tenant, pools in open_to.items()
            }
            tenant = min(heads, key=lambda one: self._tenant_key(one, [heads[one]], above=above))
            if self._give(heads[tenant], soft=soft) and units is not None:
                units -= 1

    def _baseline(self, tier: int) -> None:
        served = {
            claim.tenant
            for claim in self.claims.values()
            if claim.fixed and claim.works and claim.current
        }
        working: dict[str, list[str]] = {}
        for pool, claim in self.claims.items():
            eligible = self._in(claim, tier) and claim.works and bounds(claim)[1] > 0
            if eligible and claim.tenant not in served:
                working.setdefault(claim.tenant, []).append(pool)
        for _ in range(self.policy.baseline):
            order = sorted(
                working, key=lambda one: self._tenant_key(one, working[one], above=False)
            )
            for tenant in order:
                for pool in sorted(working[tenant], key=self._seniority):
                    short = self.have[pool] < bounds(self.claims[pool])[1]
                    if short and self._give(pool, soft=False):
                        break

    def _seniority(self, pool: str) -> tuple[object, ...]:
        return self.claims[pool].current == 0, pool
