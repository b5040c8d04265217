"""Sharing: refused input, and numbers of any size. Its rules are compared with a naive division in
tests/property/test_allocation_oracle.py, and with worked cases in tests/conformance.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from support.sharing import (
    AmountError,
    Claim,
    DeclarationError,
    Row,
    WeightError,
    allocate,
)
from support.table import tabled


def places(capacity: object) -> Row:
    return Row(name="replicas", capacity=capacity, fair=True)  # type: ignore[arg-type]


def claim(pool: str, demand: int = 9, **fields: object) -> Claim:
    fields = {"tenant": pool, "uses": {"replicas": 1}, **fields}
    return Claim(pool=pool, demand=demand, **fields)  # type: ignore[arg-type]


def numbers(*claims: Claim, rows: object = (), **settings: object) -> dict[str, int]:
    result = allocate(claims, rows, **settings)  # type: ignore[arg-type]
    return {pool: allotment.replicas for pool, allotment in result.items()}


def test_the_largest_part_of_any_fair_row_is_a_tenants_share() -> None:
    """Dominant resource fairness: of 9 CPU and 18 GB, (1, 4) and (3, 1) a task give 3 and 2."""
    for times in (1, 3, 30):
        cpu, memory = (
            Row(name=name, capacity=capacity * times, fair=True)
            for name, capacity in (("cpu", 9), ("memory", 18))
        )
        pools = [
            claim("a", 4 * times, uses={"cpu": 1, "memory": 4}),
            claim("b", 4 * times, uses={"cpu": 3, "memory": 1}),
        ]
        assert numbers(*pools, rows=[cpu, memory]) == {"a": 3 * times, "b": 2 * times}
    rows = [Row(name="cpu", capacity=9, fair=True), Row(name="memory", capacity=18, fair=True)]
    without = [claim("a", uses={"cpu": 1}), claim("b", uses={"cpu": 1, "memory": 1})]
    assert numbers(*without, rows=rows) == {"a": 5, "b": 4}


@tabled("weight", [0, -1, Fraction(0), Decimal("NaN"), 1.5, float("inf")])
def test_a_weight_that_is_not_above_zero_is_refused(weight: object) -> None:
    with pytest.raises(WeightError, match=r"^a: "):
        numbers(claim("a", weight=weight))
    with pytest.raises(WeightError, match=r"^a: "):
        numbers(claim("a"), rows=[places(1)], tenant_weights={"a": weight})


@tabled("amount", [-1, Fraction(-1, 2), Decimal("Infinity"), 0.5, "1"])
def test_an_amount_that_is_not_exact_is_refused(amount: object) -> None:
    with pytest.raises(AmountError, match=r"^replicas: "):
        numbers(rows=[places(amount)])
    with pytest.raises(AmountError, match=r"^a: "):
        numbers(claim("a", uses={"replicas": amount}), rows=[places(1)])


def test_names_are_declared_once() -> None:
    with pytest.raises(DeclarationError, match="two pools"):
        numbers(claim("a"), claim("a"), rows=[places(1)])
    with pytest.raises(DeclarationError, match="two rows"):
        numbers(rows=[places(1), places(2)])
    with pytest.raises(DeclarationError, match="no such row"):
        numbers(claim("a"))
    with pytest.raises(DeclarationError, match="both"):
        numbers(claim("a", flavors=({"replicas": 1},)), rows=[places(1)])


def test_weights_of_any_size_are_compared_exactly() -> None:
    """As floats the two weights are equal, and the one that runs would keep the third place."""
    large = 10**18
    by_tenant = {"a": large, "b": large + 1, "c": large + 3}
    pools = [claim("a", current=2, has_work=False), claim("b", has_work=False), claim("c", 0)]
    result = numbers(*pools, rows=[places(3)], tenant_weights=by_tenant)
    assert result == {"a": 1, "b": 2, "c": 0}


def test_many_replicas_at_once_are_granted_as_one_by_one() -> None:
    """The last place of 1,000 is the first of a new round, and goes to the larger weight."""
    by_tenant = {"a": 1, "b": 2, "c": 3}
    pools = [claim("a", 999), claim("b", 100), claim("c", 999, min=7)]
    result = allocate(pools, [places(1_000)], by_tenant)
    assert {pool: one.replicas for pool, one in result.items()} == {"a": 225, "b": 100, "c": 675}
    one_more = numbers(*pools, rows=[places(1_001)], tenant_weights=by_tenant)
    assert one_more == {"a": 225, "b": 100, "c": 676}


@tabled("capacity", [3, 300])
def test_a_want_of_two_thousand_million_costs_no_more_than_what_there_is(capacity: int) -> None:
    most = 2**31 - 1
    pools = [claim("a", most), claim("b", most, tenant="b"), claim("c", most, tenant="b", uses={})]
    result = numbers(*pools, rows=[places(2 * capacity)])
    assert result == {"a": capacity, "b": capacity, "c": most}
