"""Sharing in bulk gives what sharing unit by unit gives, whatever is kept."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.planning.share.divide import Divider
from property.sharing_worlds import (
    TIERS,
    UNHURRIED,
    Fleet,
    equal_pods,
    fleets,
    replicas,
    weights_for,
)
from reference.sharing import Oracle
from support.examples import scaled
from support.sharing import Claim, Row, allocate, field_for


def assert_as_written(fleet: Fleet, kept: Divider | None = None) -> None:
    """The same replicas, and whoever goes short is told the first row that refused."""
    oracle, result = Oracle(*fleet), allocate(*fleet, kept)
    assert replicas(result) == oracle.run()
    assert {name: one.limited_by for name, one in result.items() if one.limited_by} == (
        oracle.dropped
    )


@settings(UNHURRIED, max_examples=scaled(160))
@given(fleets())
def test_any_fleet_is_shared_as_the_rule_is_written(fleet: Fleet) -> None:
    assert_as_written(fleet)


@settings(UNHURRIED, max_examples=scaled(60))
@given(st.data())
def test_one_row_is_shared_as_the_rule_is_written(data: st.DataObject) -> None:
    claims, row = data.draw(equal_pods(shared_tenants=True))
    assert_as_written((claims, [row], data.draw(weights_for(claims))))


@st.composite
def crowds(draw: st.DrawFn) -> Fleet:
    """Many replicas of few pools, so that whole stretches can be granted at once; some tenants
    have a quota of their own.
    """
    tenants = draw(st.sampled_from([0, 2, 6]))
    tenant_of = [draw(st.integers(1, tenants)) if tenants else number for number in range(8)]
    own = draw(st.sampled_from([{}, {"own": 1}, {"own": 2}]))
    tiers = [draw(st.sampled_from(TIERS[:2])) for _ in range(9)]
    claims = [
        Claim(
            pool=f"p{number}",
            tenant=f"t{tenant_of[number]}",
            tier=tiers[tenant_of[number]],
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
        *(
            Row(name=f"own:{each}", capacity=draw(st.integers(0, 150)), tenant=f"t{each}")
            for each in range(9)
        ),
    ]
    return claims, rows, draw(weights_for(claims))


@settings(UNHURRIED, max_examples=scaled(80))
@given(crowds())
def test_a_crowd_is_shared_as_the_rule_is_written(crowd: Fleet) -> None:
    assert_as_written(crowd)


@settings(UNHURRIED, max_examples=scaled(60))
@given(st.one_of(fleets(), crowds()), st.data())
def test_what_is_kept_from_other_claims_and_capacities_changes_nothing(
    fleet: Fleet, data: st.DataObject
) -> None:
    claims, rows, weights = fleet
    kept = Divider(field_for(claims, weights))
    for _ in range(data.draw(st.integers(1, 5))):
        assert_as_written((claims, rows, weights), kept)
        if claims:
            one = data.draw(st.sampled_from(claims))
            factor = data.draw(st.sampled_from([1, 1, 2, Fraction(1, 7)]))
            other = replace(
                one,
                demand=data.draw(st.integers(0, 60)),
                current=data.draw(st.integers(0, 9)),
                uses={name: Fraction(use) * factor for name, use in one.uses.items()},
            )
            claims = [other if each is one else each for each in claims]
        one_row = data.draw(st.sampled_from(rows))
        soft = data.draw(st.sampled_from([None, Fraction(1, 2)])) if one_row.soft else one_row.soft
        less = replace(one_row, capacity=data.draw(st.integers(0, 300)), soft=soft)
        rows = [less if each is one_row else each for each in rows]
