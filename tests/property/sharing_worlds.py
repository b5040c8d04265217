"""Fleets that go short, and sharing a second time: slow, unit by unit, in fractions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from support.sharing import (
    HALF_FED,
    Allotment,
    Amount,
    Ceiling,
    Claim,
    Row,
    SharingPolicy,
    allocate,
)

Weights = Mapping[str, Amount]
TIERS = (1000, 500, 100)
UNHURRIED = settings(deadline=None)  # a busy machine is no failure

weights = st.one_of(
    st.just(1),
    st.integers(1, 5),
    st.fractions(min_value=Fraction(1, 4), max_value=4, max_denominator=6),
    st.decimals(min_value="0.1", max_value=3, places=2),
)
uses = st.one_of(st.just(1), st.integers(1, 3), st.sampled_from([Fraction(1, 2), Fraction(4, 3)]))


@st.composite
def equal_pods(draw: st.DrawFn, *, shared_tenants: bool = False) -> tuple[list[Claim], Row]:
    """Pools of one row, a replica of each taking one place."""
    claims = [
        Claim(
            pool=f"p{number}",
            tenant=f"t{draw(st.integers(0, 2)) if shared_tenants else number}",
            tier=draw(st.sampled_from(TIERS)),
            demand=draw(st.integers(0, 9)),
            min=draw(st.sampled_from([0, 0, 0, 1, 3])),
            pin=draw(st.sampled_from([0, 0, 1])),
            warm=draw(st.sampled_from([0, 0, 2])),
            current=draw(st.integers(0, 9)),
            ceilings=tuple(
                Ceiling(limit=limit) for limit in draw(st.lists(st.integers(0, 9), max_size=1))
            ),
            uses={"replicas": 1},
        )
        for number in range(draw(st.integers(1, 6)))
    ]
    return claims, Row(name="replicas", capacity=draw(st.integers(0, 30)), fair=True)


@st.composite
def weights_for(draw: st.DrawFn, claims: Sequence[Claim]) -> dict[str, Amount]:
    return {tenant: draw(weights) for tenant in sorted({claim.tenant for claim in claims})}


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[Claim], list[Row], Weights, SharingPolicy]:
    """Anything at all: several rows hard and soft, unequal pods, classes of nodes, held pools."""
    amounts = st.one_of(st.integers(0, 40), st.sampled_from([Fraction(7, 2), Fraction(25, 3)]))
    rows = [
        Row(name="replicas", capacity=draw(amounts), fair=True),
        Row(name="memory", capacity=draw(amounts), fair=draw(st.booleans())),
        Row(name="rpm", capacity=draw(amounts), soft=draw(st.sampled_from([HALF_FED, 0, 1]))),
        Row(name="pace", capacity=draw(amounts), first_passes=draw(st.booleans())),
        Row(name="spot", capacity=draw(st.integers(0, 12))),
        Row(name="on-demand", capacity=draw(st.integers(0, 12))),
    ]
    classes = st.sampled_from(
        [(), ({"spot": 1},), ({"spot": 1}, {"on-demand": 1}), ({"on-demand": 1}, {"spot": 2})]
    )
    claims = []
    for number in range(draw(st.integers(0, 6))):
        drawn_on = draw(st.sets(st.sampled_from(["replicas", "memory", "rpm", "pace"])))
        claims.append(
            Claim(
                pool=f"p{number}",
                tenant=f"t{draw(st.integers(0, 3))}",
                tier=draw(st.sampled_from(TIERS)),
                demand=draw(st.integers(0, 9)),
                weight=draw(weights),
                min=draw(st.sampled_from([0, 0, 1, 3])),
                pin=draw(st.sampled_from([0, 0, 1])),
                warm=draw(st.sampled_from([0, 0, 2])),
                current=draw(st.integers(0, 9)),
                fixed=draw(st.sampled_from([False, False, False, True])),
                has_work=draw(st.sampled_from([None, None, True, False])),
                waiting_since=draw(st.sampled_from([None, 5.0, 9.0])),
                ceilings=tuple(
                    Ceiling(limit=limit) for limit in draw(st.lists(st.integers(0, 9), max_size=2))
                ),
                uses={name: draw(uses) for name in sorted(drawn_on)},
                flavors=draw(classes),
            )
        )
    policy = SharingPolicy(
        baseline=draw(st.sampled_from([0, 1, 1, 2])),
        above_floor=draw(st.booleans()),
        reserves=draw(st.dictionaries(st.sampled_from(TIERS), st.integers(0, 5), max_size=2)),
    )
    return claims, rows, draw(weights_for(claims)), policy


def replicas(result: Mapping[str, Allotment]) -> dict[str, int]:
    return {pool: allotment.replicas for pool, allotment in result.items()}


def shared(
    claims: Sequence[Claim],
    rows: Row | Sequence[Row],
    tenant_weights: Weights | None = None,
    policy: SharingPolicy | None = None,
) -> dict[str, int]:
    """The numbers alone."""
    listed = [rows] if isinstance(rows, Row) else rows
    return replicas(allocate(claims, listed, tenant_weights, policy))


def bounds(claim: Claim) -> tuple[int, int, int]:
    """Floor, need and want."""
    if claim.fixed:
        return (claim.current,) * 3
    cap = min((ceiling.limit for ceiling in claim.ceilings), default=10**9)
    floor = min(cap, claim.min + claim.pin)
    need = min(cap, max(claim.demand, floor))
    return floor, need, min(cap, max(claim.demand, claim.min) + claim.pin + claim.warm)


def changed(claims: Sequence[Claim], pool: str, **fields: object) -> list[Claim]:
    return [replace(claim, **fields) if claim.pool == pool else claim for claim in claims]


class Oracle:
    """The rule as it is written down, with nothing made faster: every step looks at everything."""

    def __init__(
        self,
        claims: Sequence[Claim],
        rows: Sequence[Row],
        tenant_weights: Weights,
        policy: SharingPolicy,
    ) -> None:
        self.claims = {claim.pool: claim for claim in claims}
        self.rows = {row.name: row for row in rows}
        self.left = {row.name: Fraction(row.capacity) for row in rows}
        self.drawn_on: set[str] = set()
        self.weights = tenant_weights
        self.policy = policy
        self.have = dict.fromkeys(self.claims, 0)
        self.dropped: dict[str, str] = {}

    def run(self) -> dict[str, int]:
        tiers = sorted({claim.tier for claim in self.claims.values()}, reverse=True)
        for claim in sorted(self.claims.values(), key=lambda one: one.pool):
            if claim.fixed:
                self._seat(claim)
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
                self._fill(tier, phase, soft=True, above=above)
        return dict(sorted(self.have.items()))

    def _in(self, claim: Claim, tier: int) -> bool:
        return claim.tier == tier and not claim.fixed

    def _seat(self, claim: Claim) -> None:
        self.have[claim.pool] = claim.current
        for _ in range(claim.current):
            self._draw(claim.uses)
            for flavor in claim.flavors:
                last = flavor is claim.flavors[-1]
                if last or all(self.left[row] >= Fraction(use) for row, use in flavor.items()):
                    self._draw(flavor)
                    break

    def _draw(self, uses: Mapping[str, Amount]) -> None:
        for row, use in uses.items():
            self.left[row] -= Fraction(use)
            self.drawn_on.add(row)

    def _refusing(self, uses: Mapping[str, Amount], *, soft: bool) -> str | None:
        for name, use in sorted(uses.items()):
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
        claim = self.claims[pool]
        since = claim.waiting_since
        return claim.current == 0, float("inf") if since is None else since, pool
