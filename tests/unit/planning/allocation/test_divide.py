"""Sharing, one rule at a time."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

import pytest

from controller.model.decision import Bound
from support.sharing import (
    HALF_FED,
    AmountError,
    Ceiling,
    Claim,
    DeclarationError,
    PhaseCounts,
    Row,
    SharingPolicy,
    WeightError,
    allocate,
)

NO_BASELINE = SharingPolicy(baseline=0)


def places(capacity: object) -> Row:
    return Row(name="replicas", capacity=capacity, fair=True)  # type: ignore[arg-type]


def claim(pool: str, demand: int = 9, **fields: object) -> Claim:
    fields = {"tenant": pool, "uses": {"replicas": 1}, **fields}
    return Claim(pool=pool, demand=demand, **fields)  # type: ignore[arg-type]


def numbers(*claims: Claim, rows: object = (), **settings: object) -> dict[str, int]:
    result = allocate(claims, rows, **settings)  # type: ignore[arg-type]
    return {pool: allotment.replicas for pool, allotment in result.items()}


def test_without_rows_every_pool_gets_what_it_asks_for() -> None:
    result = allocate([claim("a", 3, min=1, pin=1, warm=2, uses={})])
    assert result["a"].replicas == result["a"].wanted == 6
    assert result["a"].phases == PhaseCounts(baseline=1, floor=1, share=1, warm=3)


def test_a_ceiling_wins_over_a_floor() -> None:
    """Floors raise, ceilings lower, and a ceiling wins over a floor."""
    capped = (Ceiling(limit=2, bound=Bound.BUDGET, name="budget"), Ceiling(limit=5))
    assert numbers(claim("a", 1, min=4, uses={})) == {"a": 4}
    result = allocate([claim("a", 9, min=4, uses={}, ceilings=capped)])["a"]
    assert (result.replicas, result.bound, result.limited_by) == (2, Bound.BUDGET, "budget")


def test_weights_split_a_tier() -> None:
    by_tenant = {"a": Fraction(3, 2), "b": Decimal("0.5")}
    result = numbers(claim("a"), claim("b"), rows=[places(8)], tenant_weights=by_tenant)
    assert result == {"a": 6, "b": 2}


def test_pools_split_what_their_tenant_has_by_their_own_weights() -> None:
    pools = [claim("a", tenant="x", weight=2), claim("b", tenant="x"), claim("c")]
    assert numbers(*pools, rows=[places(12)]) == {"a": 4, "b": 2, "c": 6}


def test_a_tenant_with_many_pools_has_no_larger_share() -> None:
    many = [claim(f"a{number}", tenant="a") for number in range(5)]
    result = numbers(*many, claim("b"), rows=[places(10)])
    assert result["b"] == 5


def test_the_higher_tier_has_all_it_needs_before_the_lower_shares() -> None:
    upper, lower = claim("z", 6, tier=1000), claim("a", 6, tier=100)
    assert numbers(upper, lower, rows=[places(8)]) == {"a": 2, "z": 6}
    assert numbers(upper, lower, rows=[places(6)]) == {"a": 1, "z": 5}
    assert numbers(upper, lower, rows=[places(6)], policy=NO_BASELINE) == {"a": 0, "z": 6}


def test_among_equals_the_pool_that_runs_already_is_first() -> None:
    assert numbers(claim("a"), claim("b"), rows=[places(1)]) == {"a": 1, "b": 0}
    assert numbers(claim("a"), claim("b", current=1), rows=[places(1)]) == {"a": 0, "b": 1}
    running = claim("b", current=2, min=2)
    assert numbers(claim("a"), running, rows=[places(3)]) == {"a": 1, "b": 2}
    assert numbers(claim("a", current=2), claim("b", current=1), rows=[places(3)])["a"] == 2
    assert numbers(claim("a", current=1), claim("b", current=2), rows=[places(3)])["b"] == 2


def test_among_equals_the_larger_weight_is_first_then_the_name() -> None:
    by_tenant = {"b": 2}
    two = [claim("a"), claim("b")]
    assert numbers(*two, rows=[places(1)], tenant_weights=by_tenant) == {"a": 0, "b": 1}


def test_the_baseline_goes_to_the_pool_whose_work_runs() -> None:
    pools = [
        claim("a", tenant="x", waiting_since=1.0),
        claim("b", tenant="x", current=1, waiting_since=5.0),
    ]
    result = allocate([*pools, claim("y", tier=9)], [places(2)])
    assert result["b"].phases.baseline == 1
    assert result["a"].replicas == 0


def test_the_baseline_goes_to_the_oldest_waiting_else_by_name() -> None:
    waiting = [
        claim("a", tenant="x", waiting_since=5.0),
        claim("b", tenant="x", waiting_since=1.0),
        claim("c", tenant="x"),
    ]
    assert allocate(waiting, [places(1)])["b"].phases.baseline == 1
    unknown = [claim("b", tenant="x"), claim("a", tenant="x")]
    assert allocate(unknown, [places(1)])["a"].phases.baseline == 1


def test_a_baseline_that_fits_on_no_node_goes_to_the_tenants_next_pool() -> None:
    pools = [
        claim("a", tenant="x", current=1, flavors=({"spot": 1},)),
        claim("b", tenant="x", flavors=({"on-demand": 1},)),
        claim("y", tier=9, flavors=({"on-demand": 1},)),
    ]
    rows = [Row(name="spot", capacity=0), Row(name="on-demand", capacity=2), places(9)]
    assert numbers(*pools, rows=rows) == {"a": 0, "b": 1, "y": 1}


def test_a_baseline_that_decides_is_named() -> None:
    """Of 6 places the tier above would have had all; in one tier the share gives one to each."""
    upper, lower = claim("z", 6, tier=1000), claim("a", 6, tier=100)
    assert allocate([upper, lower], [places(6)])["a"].bound is Bound.BASELINE
    assert allocate([upper, lower], [places(6)])["a"].limited_by == "replicas"
    assert allocate([upper, lower], [places(6)])["z"].bound is Bound.CAPACITY
    assert allocate([upper, lower], [places(7)])["a"].bound is Bound.CAPACITY
    assert allocate([claim("a"), claim("b")], [places(2)])["a"].bound is Bound.CAPACITY
    floor = claim("a", 6, tier=100, min=1)
    assert allocate([upper, floor], [places(6)])["a"].bound is Bound.CAPACITY
    large = claim("z", 6, tier=1000, uses={"replicas": 4})
    assert allocate([large, lower], [places(6)])["a"].replicas == 2
    assert allocate([large, claim("a", 1)], [places(9)])["a"].bound is Bound.DEMAND


def test_a_baseline_that_a_rate_limit_could_not_feed_is_named() -> None:
    rows = [Row(name="rpm", capacity=10, bound=Bound.RATE, soft=HALF_FED)]
    pools = [claim("a", uses={"rpm": 9}), claim("b", uses={"rpm": 9})]
    result = allocate(pools, rows)
    assert [one.bound for one in result.values()] == [Bound.RATE, Bound.BASELINE]
    assert [one.replicas for one in result.values()] == [1, 1]


def test_a_tenant_without_work_has_no_baseline() -> None:
    """A pool that is only cooling down does not hold a place against those with work."""
    cooling = claim("a", 2, has_work=False)
    assert numbers(cooling, claim("b", 5, tier=9), rows=[places(5)]) == {"a": 0, "b": 5}


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
    assert numbers(claim("a", warm=3, uses={"rpm": 9}), rows=rows, policy=NO_BASELINE) == {"a": 0}


def test_a_row_whose_first_passes_lets_one_replica_through() -> None:
    rows = [Row(name="pace", capacity=Fraction(1, 2), first_passes=True)]
    pools = [claim("a", uses={"pace": 2}), claim("b", uses={"pace": 1})]
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


def test_above_floor_splits_only_what_is_above_the_floors() -> None:
    pools = [claim("a", min=4), claim("b", min=0)]
    assert numbers(*pools, rows=[places(8)]) == {"a": 4, "b": 4}
    above = SharingPolicy(baseline=0, above_floor=True)
    assert numbers(*pools, rows=[places(8)], policy=above) == {"a": 6, "b": 2}


def test_a_reserve_is_served_before_the_strict_order() -> None:
    pools = [claim("a", tier=1000), claim("b", 4, tier=100), claim("c", 4, tier=100)]
    reserved = SharingPolicy(reserves={100: 3})
    result = allocate(pools, [places(10)], policy=reserved)
    assert {pool: one.replicas for pool, one in result.items()} == {"a": 7, "b": 2, "c": 1}
    assert result["b"].phases == PhaseCounts(baseline=1, reserve=1)


@pytest.mark.parametrize(
    ("fields", "bound"),
    [
        ({"demand": 4}, Bound.DEMAND),
        ({"demand": 1, "min": 2}, Bound.MIN),
        ({"demand": 3, "min": 2, "pin": 1}, Bound.PIN),
        ({"demand": 3, "pin": 1, "warm": 1}, Bound.WARM),
        ({"demand": 9, "ceilings": (Ceiling(limit=3, bound=Bound.COST),)}, Bound.COST),
    ],
)
def test_the_rule_that_decided_is_named(fields: dict[str, object], bound: Bound) -> None:
    assert allocate([claim("a", **fields)], [places(99)])["a"].bound is bound  # type: ignore[arg-type]


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


def test_numbers_of_replicas_below_zero_are_refused() -> None:
    for field in ("demand", "min", "pin", "warm", "current"):
        with pytest.raises(AmountError):
            numbers(claim("a", **{field: -1}))  # type: ignore[arg-type]
    with pytest.raises(AmountError):
        numbers(claim("a", uses={}, ceilings=(Ceiling(limit=-1),)))
    with pytest.raises(AmountError):
        numbers(rows=[Row(name="rpm", capacity=1, soft=2)])


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
    pools = [claim("a", current=2), claim("b"), claim("c", 0)]
    result = numbers(*pools, rows=[places(3)], tenant_weights=by_tenant, policy=NO_BASELINE)
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


def test_a_row_of_one_tenant_stops_that_tenant_alone() -> None:
    rows = [Row(name="quota", capacity=7, bound=Bound.QUOTA), places(20)]
    uses = {"replicas": 1, "quota": 2}
    own = [claim("a", tenant="x", uses=uses), claim("b", tenant="x", uses=uses)]
    result = allocate([*own, claim("c", 20, tier=-1)], rows)
    assert {pool: one.replicas for pool, one in result.items()} == {"a": 2, "b": 1, "c": 17}
    assert [result[pool].bound for pool in "ab"] == [Bound.QUOTA, Bound.QUOTA]


def test_the_first_row_that_refuses_is_the_one_that_is_named() -> None:
    """It is b's turn only when no memory is left, but its second replica had no CPU before."""
    rows = [Row(name="cpu", capacity=3), Row(name="memory", capacity=4)]
    pools = [claim("a", uses={"memory": 1}), claim("b", uses={"cpu": 2, "memory": 1})]
    result = allocate(pools, rows, {"a": 9})
    assert {pool: one.replicas for pool, one in result.items()} == {"a": 3, "b": 1}
    assert {pool: one.limited_by for pool, one in result.items()} == {"a": "memory", "b": "cpu"}


def test_uses_known_from_an_earlier_division_are_not_taken_for_other_rows() -> None:
    """The same read-only mappings, first where b's row is large, then where a's is; then softly."""
    pools = [
        claim("a", uses=MappingProxyType({"first": 1})),
        claim("b", uses=MappingProxyType({"second": 2})),
    ]
    for first, second, expected in ((2, 20, [2, 9]), (20, 2, [9, 1]), (20, 3, [9, 1])):
        rows = [Row(name="first", capacity=first), Row(name="second", capacity=second)]
        assert list(numbers(*pools, rows=rows).values()) == expected
    rows = [Row(name="second", capacity=3, soft=HALF_FED), Row(name="first", capacity=2)]
    assert list(numbers(*pools, rows=rows).values()) == [2, 2]
    with pytest.raises(DeclarationError, match="no such row"):
        numbers(*pools, rows=rows[:1])
