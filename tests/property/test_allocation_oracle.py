"""The fast way of sharing gives what the slow one gives, for anything at all."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Bound
from property.sharing_worlds import (
    TIERS,
    UNHURRIED,
    Oracle,
    Weights,
    equal_pods,
    fleets,
    replicas,
    shared,
    weights_for,
)
from support.examples import scaled
from support.sharing import Allotment, Amount, Claim, Row, SharingPolicy, allocate


def assert_named(result: Mapping[str, Allotment], oracle: Oracle) -> None:
    """Whoever goes short is told the first row that refused; a baseline, what would have."""
    for pool, row in oracle.dropped.items():
        if result[pool].bound is not Bound.BASELINE:
            assert result[pool].limited_by == row


@settings(UNHURRIED, max_examples=scaled(300))
@given(fleets())
def test_any_fleet_is_shared_as_the_rule_is_written(
    fleet: tuple[list[Claim], list[Row], Weights, SharingPolicy],
) -> None:
    oracle, result = Oracle(*fleet), allocate(*fleet)
    assert replicas(result) == oracle.run()
    assert_named(result, oracle)


@settings(UNHURRIED, max_examples=scaled(150))
@given(st.data())
def test_one_row_is_shared_as_the_rule_is_written(data: st.DataObject) -> None:
    claims, row = data.draw(equal_pods(shared_tenants=True))
    weights = data.draw(weights_for(claims))
    assert shared(claims, row, weights) == Oracle(claims, [row], weights, SharingPolicy()).run()


@st.composite
def crowds(draw: st.DrawFn) -> tuple[list[Claim], list[Row], dict[str, Amount]]:
    """Many replicas of few pools, so that whole stretches can be granted at once; some tenants
    have a quota of their own.
    """
    tenants = draw(st.sampled_from([0, 2, 6]))
    tenant_of = [draw(st.integers(1, tenants)) if tenants else number for number in range(8)]
    own = draw(st.sampled_from([{}, {"own": 1}, {"own": 2}]))
    claims = [
        Claim(
            pool=f"p{number}",
            tenant=f"t{tenant_of[number]}",
            tier=draw(st.sampled_from(TIERS[:2])),
            demand=draw(st.integers(0, 90)),
            weight=draw(st.integers(1, 4)),
            min=draw(st.sampled_from([0, 5, 20])),
            current=draw(st.integers(0, 60)),
            uses={
                "replicas": 1,
                "cpu": draw(st.sampled_from([1, 2, 5])),
                **draw(st.sampled_from([{}, {"rpm": 3}, {"rpm": 1, "quota": 1}, {"quota": 2}])),
                **{f"{name}:{tenant_of[number]}": use for name, use in own.items()},
            },
        )
        for number in range(draw(st.integers(1, 8)))
    ]
    rows = [
        Row(name="replicas", capacity=draw(st.integers(0, 300)), fair=True),
        Row(name="cpu", capacity=draw(st.integers(0, 600)), fair=draw(st.booleans())),
        Row(name="rpm", capacity=draw(st.integers(0, 200)), soft=draw(st.sampled_from([1, 0]))),
        Row(name="quota", capacity=draw(st.integers(0, 90))),
        *(Row(name=f"own:{each}", capacity=draw(st.integers(0, 150))) for each in range(8)),
    ]
    return claims, rows, draw(weights_for(claims))


@settings(UNHURRIED, max_examples=scaled(150))
@given(crowds())
def test_a_crowd_is_shared_as_the_rule_is_written(
    crowd: tuple[list[Claim], list[Row], dict[str, Amount]],
) -> None:
    claims, rows, weights = crowd
    oracle = Oracle(claims, rows, weights, SharingPolicy())
    result = allocate(claims, rows, weights)
    assert replicas(result) == oracle.run()
    assert_named(result, oracle)


@UNHURRIED
@given(fleets(), st.lists(st.lists(st.integers(0, 40), min_size=6, max_size=6), max_size=7))
def test_what_is_known_of_uses_from_before_changes_nothing(
    fleet: tuple[list[Claim], list[Row], Weights, SharingPolicy], moments: list[list[int]]
) -> None:
    """Uses in read-only mappings are read once, whatever is short at the moments that follow."""
    claims, rows, weights, policy = fleet
    lasting = [
        replace(
            claim,
            uses=MappingProxyType(dict(claim.uses)),
            flavors=tuple(MappingProxyType(dict(flavor)) for flavor in claim.flavors),
        )
        for claim in claims
    ]
    for capacities in moments:
        now = [replace(row, capacity=left) for row, left in zip(rows, capacities, strict=True)]
        assert allocate(lasting, now, weights, policy) == allocate(claims, now, weights, policy)
