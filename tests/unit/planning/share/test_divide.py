"""Sharing, one rule at a time."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest

from controller.model.decision import Bound
from support.sharing import (
    HALF_FED,
    AmountError,
    Claim,
    DeclarationError,
    Row,
    WeightError,
    allocate,
)


def places(capacity: object) -> Row:
    return Row(name="replicas", capacity=capacity, fair=True)  # type: ignore[arg-type]


def claim(pool: str, demand: int = 9, **fields: object) -> Claim:
    fields = {"tenant": pool, "uses": {"replicas": 1}, **fields}
    return Claim(pool=pool, demand=demand, **fields)  # type: ignore[arg-type]


def numbers(*claims: Claim, rows: object = (), **settings: object) -> dict[str, int]:
    result = allocate(claims, rows, **settings)  # type: ignore[arg-type]
    return {pool: allotment.replicas for pool, allotment in result.items()}


def test_the_higher_tier_has_all_it_needs_before_the_lower_shares() -> None:
    upper, lower = claim("z", 6, tier=1000), claim("a", 6, tier=100)
    assert numbers(upper, lower, rows=[places(8)]) == {"a": 2, "z": 6}
    assert numbers(upper, lower, rows=[places(6)]) == {"a": 1, "z": 5}


def test_the_baseline_goes_to_the_pool_whose_work_runs() -> None:
    pools = [
        claim("a", tenant="x"),
        claim("b", tenant="x", current=1),
    ]
    result = allocate([*pools, claim("y", tier=9)], [places(2)])
    assert (result["a"].replicas, result["b"].replicas) == (0, 1)


def test_a_baseline_that_fits_on_no_node_goes_to_the_tenants_next_pool() -> None:
    pools = [
        claim("a", tenant="x", current=1, flavors=({"spot": 1},)),
        claim("b", tenant="x", flavors=({"on-demand": 1},)),
        claim("y", tier=9, flavors=({"on-demand": 1},)),
    ]
    rows = [Row(name="spot", capacity=0), Row(name="on-demand", capacity=2), places(9)]
    assert numbers(*pools, rows=rows) == {"a": 0, "b": 1, "y": 1}


def test_a_held_pool_counts_as_it_is_and_no_other_pool_gets_its_places() -> None:
    held = claim("a", 0, current=4, fixed=True)
    assert numbers(held, claim("b"), rows=[places(6)]) == {"a": 4, "b": 2}
    assert numbers(held, claim("b"), rows=[places(3)]) == {"a": 4, "b": 0}


def test_a_held_pool_that_works_is_its_tenants_baseline() -> None:
    held = claim("a", 3, tenant="x", current=1, fixed=True)
    rows = [places(3)]
    assert numbers(held, claim("b", tenant="x"), claim("y", tier=9), rows=rows)["b"] == 0


def test_held_replicas_stand_on_the_preferred_nodes_first() -> None:
    held = claim("a", current=3, fixed=True, flavors=({"spot": 1}, {"on-demand": 1}))
    rows = [Row(name="spot", capacity=2), Row(name="on-demand", capacity=2)]
    other = claim("b", uses={}, flavors=({"on-demand": 1},))
    held = Claim(pool="a", tenant="a", current=3, fixed=True, flavors=held.flavors)
    assert numbers(held, other, rows=rows) == {"a": 3, "b": 1}


def test_a_soft_row_grants_a_half_fed_replica_and_no_less() -> None:
    for capacity, replicas in ((100, 3), (99, 2), (80, 2)):
        rows = [Row(name="rpm", capacity=capacity, bound=Bound.RATE, soft=HALF_FED)]
        result = allocate([claim("a", uses={"rpm": 40})], rows)["a"]
        assert (result.replicas, result.bound, result.limited_by) == (replicas, Bound.RATE, "rpm")


def test_a_soft_row_refuses_neither_baseline_nor_floors() -> None:
    rows = [Row(name="rpm", capacity=0, soft=HALF_FED)]
    assert numbers(claim("a", uses={"rpm": 9}), rows=rows) == {"a": 1}
    assert numbers(claim("a", min=3, uses={"rpm": 9}), rows=rows) == {"a": 3}
    idle = claim("a", 0, warm=3, uses={"rpm": 9})
    assert numbers(idle, rows=rows) == {"a": 0}


def test_a_row_whose_first_passes_lets_one_replica_through() -> None:
    rows = [Row(name="pace", capacity=Fraction(1, 2), first_passes=True, tenant="x")]
    pools = [claim("a", tenant="x", uses={"pace": 2}), claim("b", tenant="x", uses={"pace": 1})]
    assert numbers(*pools, rows=rows) == {"a": 1, "b": 0}


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


@pytest.mark.parametrize("weight", [0, -1, Fraction(0), Decimal("NaN"), 1.5, float("inf")])
def test_a_weight_that_is_not_above_zero_is_refused(weight: object) -> None:
    with pytest.raises(WeightError, match=r"^a: "):
        numbers(claim("a", weight=weight))
    with pytest.raises(WeightError, match=r"^a: "):
        numbers(claim("a"), rows=[places(1)], tenant_weights={"a": weight})


@pytest.mark.parametrize("amount", [-1, Fraction(-1, 2), Decimal("Infinity"), 0.5, "1"])
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


def test_a_large_demand_is_put_in_order_piece_by_piece() -> None:
    """Shares of one tenant and of two, by weights of 3 to 1, far beyond what is ordered at once."""
    own = [claim("a", 900, tenant="x", weight=3), claim("b", 900, tenant="x")]
    assert numbers(*own, rows=[places(800)]) == {"a": 600, "b": 200}
    halves = [claim("a", 900, tenant="x", weight=Fraction(3, 2)), own[1], claim("c", 300)]
    assert numbers(*halves, rows=[places(1_100)]) == {"a": 480, "b": 320, "c": 300}


def test_a_large_demand_on_classes_of_nodes_is_served_completely() -> None:
    nodes = ({"spot": 1}, {"on-demand": 1})
    pools = [claim(name, 600, uses={}, flavors=nodes) for name in "ab"]
    rows = [Row(name="spot", capacity=700), Row(name="on-demand", capacity=300)]
    assert numbers(*pools, rows=rows) == {"a": 500, "b": 500}


def test_the_first_row_that_refuses_is_the_one_that_is_named() -> None:
    """It is b's turn only when no memory is left, but its second replica had no CPU before."""
    rows = [Row(name="cpu", capacity=3), Row(name="memory", capacity=4)]
    pools = [claim("a", uses={"memory": 1}), claim("b", uses={"cpu": 2, "memory": 1})]
    result = allocate(pools, rows, {"a": 9})
    assert {pool: one.replicas for pool, one in result.items()} == {"a": 3, "b": 1}
    assert {pool: one.limited_by for pool, one in result.items()} == {"a": "memory", "b": "cpu"}


def test_of_several_full_rows_that_of_its_own_tenant_is_named() -> None:
    """A quota is what the tenant's people can do something about; the cluster is not."""
    quota = Row(name="quota", capacity=2, bound=Bound.QUOTA, tenant="a")
    result = allocate(
        [claim("a", uses={"cpu": 1, "quota": 1})], [Row(name="cpu", capacity=2), quota]
    )
    assert (result["a"].replicas, result["a"].bound) == (2, Bound.QUOTA)


def test_what_a_quota_refuses_one_pool_goes_to_the_next_where_a_row_of_all_is_full() -> None:
    """Where the cluster closes a pool early, its tenant's quota is left to its other pools."""
    quota = Row(name="quota", capacity=10, bound=Bound.QUOTA, tenant="x")
    pools = [
        claim("a", tenant="x", uses={"quota": 1, "rpm": 1}),
        claim("b", tenant="x", uses={"quota": 1}),
        claim("c", uses={"rpm": 1}),
    ]
    result = numbers(*pools, rows=[quota, Row(name="rpm", capacity=4)])
    assert result == {"a": 1, "b": 9, "c": 3}


@pytest.mark.parametrize("capacity", [3, 300])
def test_a_want_of_two_thousand_million_costs_no_more_than_what_there_is(capacity: int) -> None:
    most = 2**31 - 1
    pools = [claim("a", most), claim("b", most, tenant="b"), claim("c", most, tenant="b", uses={})]
    result = numbers(*pools, rows=[places(2 * capacity)])
    assert result == {"a": capacity, "b": capacity, "c": most}
