"""Fleets that go short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Bound
from support.sharing import (
    HALF_FED,
    Allotment,
    Amount,
    Ceiling,
    Claim,
    Row,
    allocate,
)

Weights = Mapping[str, Amount]
Fleet = tuple[list[Claim], list[Row], Weights]
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
    tiers = [draw(st.sampled_from(TIERS)) for _ in range(6)]
    tenants = [draw(st.integers(0, 2)) if shared_tenants else number for number in range(6)]
    claims = [
        Claim(
            pool=f"p{number}",
            tenant=f"t{tenants[number]}",
            tier=tiers[tenants[number]],
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
def fleets(draw: st.DrawFn) -> Fleet:
    """Anything at all: several rows hard and soft, unequal pods, classes of nodes, held pools, and
    rows of one tenant: a quota, a pace whose first replica passes, a rate limit.
    """
    amounts = st.one_of(st.integers(0, 40), st.sampled_from([Fraction(7, 2), Fraction(25, 3)]))
    tenants = [f"t{number}" for number in range(draw(st.integers(1, 4)))]
    tier_of = {tenant: draw(st.sampled_from(TIERS)) for tenant in tenants}
    rows = [
        Row(name="replicas", capacity=draw(amounts), fair=True),
        Row(name="memory", capacity=draw(amounts), fair=draw(st.booleans())),
        Row(name="rpm", capacity=draw(amounts), soft=draw(st.sampled_from([HALF_FED, 0, 1]))),
        Row(name="usd", capacity=draw(amounts)),
        Row(name="spot", capacity=draw(st.integers(0, 12))),
        Row(name="on-demand", capacity=draw(st.integers(0, 12))),
    ]
    for tenant in tenants:
        rows += [
            Row(name=f"quota:{tenant}", capacity=draw(amounts), bound=Bound.QUOTA, tenant=tenant),
            Row(
                name=f"budget:{tenant}",
                capacity=draw(amounts),
                bound=Bound.BUDGET,
                first_passes=draw(st.booleans()),
                tenant=tenant,
            ),
            Row(name=f"tpm:{tenant}", capacity=draw(amounts), soft=HALF_FED, tenant=tenant),
        ]
    classes = st.sampled_from(
        [(), ({"spot": 1},), ({"spot": 1}, {"on-demand": 1}), ({"on-demand": 1}, {"spot": 2})]
    )
    claims = []
    for number in range(draw(st.integers(0, 6))):
        tenant = draw(st.sampled_from(tenants))
        own = [f"{name}:{tenant}" for name in ("quota", "budget", "tpm")]
        drawn_on = draw(st.sets(st.sampled_from(["replicas", "memory", "rpm", "usd", *own])))
        claims.append(
            Claim(
                pool=f"p{number}",
                tenant=tenant,
                tier=tier_of[tenant],
                demand=draw(st.integers(0, 9)),
                weight=draw(weights),
                min=draw(st.sampled_from([0, 0, 1, 3])),
                pin=draw(st.sampled_from([0, 0, 1])),
                warm=draw(st.sampled_from([0, 0, 2])),
                current=draw(st.integers(0, 9)),
                fixed=draw(st.sampled_from([False, False, False, True])),
                has_work=draw(st.sampled_from([None, None, True, False])),
                ceilings=tuple(
                    Ceiling(limit=limit) for limit in draw(st.lists(st.integers(0, 9), max_size=2))
                ),
                uses={name: draw(uses) for name in sorted(drawn_on)},
                flavors=draw(classes),
            )
        )
    return claims, rows, draw(weights_for(claims))


def replicas(result: Mapping[str, Allotment]) -> dict[str, int]:
    return {pool: allotment.replicas for pool, allotment in result.items()}


def shared(
    claims: Sequence[Claim],
    rows: Row | Sequence[Row],
    tenant_weights: Weights | None = None,
) -> dict[str, int]:
    """The numbers alone."""
    listed = [rows] if isinstance(rows, Row) else rows
    return replicas(allocate(claims, listed, tenant_weights))


def changed(claims: Sequence[Claim], pool: str, **fields: object) -> list[Claim]:
    return [replace(claim, **fields) if claim.pool == pool else claim for claim in claims]
