"""What sharing promises: for any fleet, or, where it can only be had there, for any of one row.

That is: nothing overdrawn, work-conserving, strict tiers, envy-free up to one replica, monotone in
capacity, weight, tier and demand, proof against splitting and over-asking, idempotent.
"""

from __future__ import annotations

from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from property.sharing_worlds import (
    TIERS,
    UNHURRIED,
    Fleet,
    changed,
    equal_pods,
    fleets,
    replicas,
    shared,
    weights,
    weights_for,
)
from property.worlds import as_bytes
from support.examples import scaled
from support.sharing import Claim, Row, allocate, bounds

OneRow = tuple[list[Claim], Row]


def least(claim: Claim) -> int:
    """What it gets before any need: its floor, and its tenant's baseline."""
    return max(bounds(claim)[0], int(claim.works))


def drawn(claims: list[Claim], have: dict[str, int], row: str) -> Fraction:
    """What these replicas take of a row, wherever that is the same on any class of nodes."""
    return sum(
        (have[claim.pool] * Fraction(claim.uses.get(row, 0)) for claim in claims), Fraction(0)
    )


@UNHURRIED
@given(fleets())
def test_no_hard_row_is_overdrawn_by_what_is_handed_out(fleet: Fleet) -> None:
    claims, rows = fleet[:2]
    have = shared(*fleet)
    held = {claim.pool: claim.current if claim.fixed else 0 for claim in claims}
    for row in rows[:4]:
        if row.soft is None and not row.first_passes:
            most = max(Fraction(row.capacity), drawn(claims, held, row.name))
            assert drawn(claims, have, row.name) <= most


@UNHURRIED
@given(fleets())
def test_no_class_of_nodes_is_overdrawn(fleet: Fleet) -> None:
    claims, rows = fleet[:2]
    assume(not any(claim.fixed for claim in claims))
    have = shared(*fleet)
    spot, on_demand = rows[4].capacity, rows[5].capacity
    only_spot = [c for c in claims if c.flavors and all("spot" in one for one in c.flavors)]
    assert sum(have[claim.pool] for claim in only_spot) <= spot
    assert sum(have[claim.pool] for claim in claims if claim.flavors) <= spot + on_demand


@UNHURRIED
@given(fleets())
def test_nobody_gets_more_than_its_ceilings_or_than_it_wants(fleet: Fleet) -> None:
    have = shared(*fleet)
    for claim in fleet[0]:
        assert 0 <= have[claim.pool] <= bounds(claim)[2]


@UNHURRIED
@given(fleets())
def test_whoever_goes_short_is_told_the_row_that_is_full(fleet: Fleet) -> None:
    claims, rows = fleet[:2]
    by_name = {row.name: row for row in rows}
    result = allocate(*fleet)
    have = replicas(result)
    for claim in claims:
        allotment = result[claim.pool]
        if allotment.replicas < bounds(claim)[2]:
            row = by_name[allotment.limited_by]
            assert allotment.bound is row.bound
            if not claim.flavors:
                left = Fraction(row.capacity) - drawn(claims, have, row.name)
                assert left <= 0 or left < Fraction(claim.uses[row.name])
        elif allotment.limited_by and allotment.limited_by not in by_name:
            assert allotment.replicas == min(ceiling.limit for ceiling in claim.ceilings)


@UNHURRIED
@given(fleets())
def test_a_held_pool_keeps_what_it_has(fleet: Fleet) -> None:
    have = shared(*fleet)
    for claim in fleet[0]:
        assert not claim.fixed or have[claim.pool] == claim.current


@UNHURRIED
@given(equal_pods())
def test_floors_and_baselines_are_served_where_they_fit(world: OneRow) -> None:
    claims, row = world
    least = {c.pool: max(bounds(c)[0], min(bounds(c)[1], int(c.works))) for c in claims}
    have = shared(claims, row)
    if sum(least.values()) <= row.capacity:
        assert all(have[pool] >= floor for pool, floor in least.items())


@UNHURRIED
@given(equal_pods())
def test_where_floors_do_not_fit_the_higher_tier_has_its_own_first(world: OneRow) -> None:
    claims, row = world
    claims = [replace(claim, has_work=False) for claim in claims]
    result = allocate(claims, [row])
    for upper in claims:
        if result[upper.pool].replicas < bounds(upper)[0]:
            below = [claim.pool for claim in claims if claim.tier < upper.tier]
            assert all(result[pool].replicas == 0 for pool in below)


@UNHURRIED
@given(equal_pods(shared_tenants=True), st.data())
def test_a_lower_tier_shares_nothing_while_a_higher_one_needs_more(
    world: OneRow, data: st.DataObject
) -> None:
    claims, row = world
    result = allocate(claims, [row], data.draw(weights_for(claims)))
    for upper in claims:
        if result[upper.pool].replicas < bounds(upper)[1]:
            for lower in claims:
                assert lower.tier >= upper.tier or result[lower.pool].replicas <= least(lower)


@UNHURRIED
@given(equal_pods(), st.data())
def test_nobody_in_a_tier_has_more_than_one_replica_to_envy(
    world: OneRow, data: st.DataObject
) -> None:
    claims, row = world
    by_tenant = data.draw(weights_for(claims))
    result = allocate(claims, [row], by_tenant)
    for short in claims:
        served = Fraction(result[short.pool].replicas) / Fraction(by_tenant[short.tenant])
        if result[short.pool].replicas < bounds(short)[1]:
            for other in claims:
                if other.tier == short.tier and result[other.pool].replicas > least(other):
                    fewer = result[other.pool].replicas - 1
                    assert fewer / Fraction(by_tenant[other.tenant]) <= served


@UNHURRIED
@given(equal_pods(shared_tenants=True))
def test_nobody_has_spares_while_somebody_needs_more(world: OneRow) -> None:
    claims, row = world
    result = allocate(claims, [row])
    if any(result[claim.pool].replicas < bounds(claim)[1] for claim in claims):
        assert all(result[claim.pool].replicas <= bounds(claim)[1] for claim in claims)


@UNHURRIED
@given(fleets(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(fleet: Fleet, random: object) -> None:
    claims, rows, tenant_weights = fleet
    before = as_bytes(allocate(*fleet))
    mixed, mixed_rows = list(claims), list(rows)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    random.shuffle(mixed_rows)  # type: ignore[attr-defined]
    mixed = [replace(claim, uses=dict(reversed(claim.uses.items()))) for claim in mixed]
    turned = dict(reversed(tenant_weights.items()))
    # which of two full rows is named may depend on neither
    assert as_bytes(allocate(mixed, mixed_rows, turned)) == before


@UNHURRIED
@given(equal_pods(), st.data())
def test_a_result_that_runs_is_kept(world: OneRow, data: st.DataObject) -> None:
    claims, row = world
    by_tenant = data.draw(weights_for(claims))
    have = shared(claims, row, by_tenant)
    running = [replace(claim, current=have[claim.pool]) for claim in claims]
    assert shared(running, row, by_tenant) == have


@settings(UNHURRIED, max_examples=scaled(150))
@given(fleets())
def test_what_is_handed_out_settles_within_one_more_tick(fleet: Fleet) -> None:
    claims, rows, tenant_weights = fleet
    assume(not any(claim.fixed for claim in claims))
    seen = []
    for _ in range(4):
        have = shared(claims, rows, tenant_weights)
        claims = [replace(claim, current=have[claim.pool]) for claim in claims]
        seen.append(have)
    assert seen[2] == seen[1]
    assert seen[3] == seen[2]


@UNHURRIED
@given(equal_pods(shared_tenants=True), st.data())
def test_one_place_more_takes_from_nobody(world: OneRow, data: st.DataObject) -> None:
    claims, row = world
    by_tenant = data.draw(weights_for(claims))
    before = shared(claims, row, by_tenant)
    after = shared(claims, replace(row, capacity=int(row.capacity) + 1), by_tenant)
    gains = [after[pool] - before[pool] for pool in before]
    assert min(gains) >= 0
    assert sum(gains) <= 1


@settings(UNHURRIED, max_examples=scaled(150))
@given(fleets(), st.data())
def test_more_weight_never_lowers_a_pool(fleet: Fleet, data: st.DataObject) -> None:
    claims, rows, _ = fleet
    assume(claims)
    pool = data.draw(st.sampled_from(claims))
    alone = [replace(claim, tenant=claim.pool) for claim in claims]
    before = {claim.pool: data.draw(weights) for claim in alone}
    after = before | {pool.pool: Fraction(before[pool.pool]) * data.draw(st.integers(2, 5))}
    fewer = shared(alone, rows, before)[pool.pool]
    assert shared(alone, rows, after)[pool.pool] >= fewer


@settings(UNHURRIED, max_examples=scaled(150))
@given(fleets(), st.data())
def test_a_higher_tier_never_lowers_a_pool(fleet: Fleet, data: st.DataObject) -> None:
    claims, rows, _ = fleet
    assume(claims)
    pool = data.draw(st.sampled_from(claims))
    alone = [replace(claim, tenant=claim.pool) for claim in claims]
    fewer = shared(alone, rows, {})[pool.pool]
    raised = changed(alone, pool.pool, tier=TIERS[0])
    assert shared(raised, rows, {})[pool.pool] >= fewer


@settings(UNHURRIED, max_examples=scaled(150))
@given(fleets(), st.data())
def test_more_demand_never_lowers_a_pool(fleet: Fleet, data: st.DataObject) -> None:
    claims, rows, _ = fleet
    assume(claims)
    pool = data.draw(st.sampled_from(claims))
    alone = [replace(claim, tenant=claim.pool) for claim in claims]
    more = changed(alone, pool.pool, demand=pool.demand + data.draw(st.integers(1, 5)))
    fewer = shared(alone, rows, {})[pool.pool]
    assert shared(more, rows, {})[pool.pool] >= fewer


@UNHURRIED
@given(equal_pods(), st.data())
def test_whoever_leaves_takes_nothing_from_the_others(world: OneRow, data: st.DataObject) -> None:
    claims, row = world
    by_tenant = data.draw(weights_for(claims))
    gone = data.draw(st.sampled_from(claims))
    before = shared(claims, row, by_tenant)
    after = shared([claim for claim in claims if claim is not gone], row, by_tenant)
    assert all(after[pool] >= before[pool] for pool in after)


@UNHURRIED
@given(fleets(), st.sampled_from([2, 7, Fraction(1, 3), Fraction(22, 7)]))
def test_only_the_ratios_of_weights_matter(fleet: Fleet, factor: int | Fraction) -> None:
    claims, rows, tenant_weights = fleet
    heavier = {name: Fraction(weight) * factor for name, weight in tenant_weights.items()}
    scaled = [replace(claim, weight=Fraction(claim.weight) * factor) for claim in claims]
    assert shared(scaled, rows, heavier) == shared(*fleet)


def _one_tier(claims: list[Claim]) -> list[Claim]:
    return [
        replace(claim, tier=0, min=0, pin=0, warm=0, current=0, ceilings=(), has_work=False)
        for claim in claims
    ]


@UNHURRIED
@given(equal_pods(), st.data())
def test_in_one_tier_the_least_served_replicas_are_the_ones_granted(
    world: OneRow, data: st.DataObject
) -> None:
    """The same numbers by sorting: each replica by what its pool has before it, per weight."""
    claims, row = _one_tier(world[0]), world[1]
    by_tenant = {name: Fraction(w) for name, w in data.draw(weights_for(claims)).items()}
    places = sorted(
        (Fraction(number) / by_tenant[claim.tenant], -by_tenant[claim.tenant], claim.pool)
        for claim in claims
        for number in range(claim.demand)
    )[: int(row.capacity)]
    expected = {claim.pool: sum(place[2] == claim.pool for place in places) for claim in claims}
    assert shared(claims, row, by_tenant) == expected


def _divisions(capacity: int, most: list[int]) -> list[list[int]]:
    if not most:
        return [[]]
    return [
        [first, *rest]
        for first in range(min(capacity, most[0]) + 1)
        for rest in _divisions(capacity - first, most[1:])
    ]


@settings(UNHURRIED, max_examples=scaled(50))
@given(st.data())
def test_no_division_at_all_leaves_the_least_served_better_off(data: st.DataObject) -> None:
    demands = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    claims = [
        Claim(pool=f"p{number}", tenant=f"t{number}", demand=demand, uses={"replicas": 1})
        for number, demand in enumerate(demands)
    ]
    by_tenant = {name: Fraction(w) for name, w in data.draw(weights_for(claims)).items()}
    capacity = data.draw(st.integers(0, sum(demands)))

    def served(numbers: list[int]) -> Fraction:
        """The least part of its weight among those that go short."""
        short = [
            number / by_tenant[f"t{pool}"]
            for pool, number in enumerate(numbers)
            if number < demands[pool]
        ]
        return min(short, default=Fraction(10**6))

    have = shared(claims, Row(name="replicas", capacity=capacity, fair=True), by_tenant)
    best = max(served(numbers) for numbers in _divisions(capacity, demands))
    assert served([have[f"p{number}"] for number in range(len(demands))]) == best


@UNHURRIED
@given(equal_pods(), st.data())
def test_a_deployment_split_in_parts_gets_a_tenant_no_more(
    world: OneRow, data: st.DataObject
) -> None:
    claims, row = [replace(claim, ceilings=()) for claim in world[0]], world[1]
    by_tenant = data.draw(weights_for(claims))
    whole = data.draw(st.sampled_from(claims))
    first = data.draw(st.integers(0, whole.demand))
    parts = [
        replace(whole, pool=f"{whole.pool}-1", demand=first, current=0, min=0, pin=0, warm=0),
        replace(whole, pool=f"{whole.pool}-2", demand=whole.demand - first, current=0),
    ]
    others = [claim for claim in claims if claim is not whole]
    assume(whole.min + whole.pin + whole.warm == 0)
    fresh = [*others, replace(whole, current=0)]
    before = shared(fresh, row, by_tenant)[whole.pool]
    after = shared([*others, *parts], row, by_tenant)
    assert sum(after[part.pool] for part in parts) <= before


@UNHURRIED
@given(equal_pods(), st.data())
def test_asking_for_more_than_there_is_work_gets_nothing_useful(
    world: OneRow, data: st.DataObject
) -> None:
    claims, row = world
    honest = data.draw(st.sampled_from(claims))
    assume(honest.demand > 0)
    before = shared(claims, row)[honest.pool]
    greedy = changed(claims, honest.pool, demand=honest.demand + data.draw(st.integers(1, 9)))
    assert min(shared(greedy, row)[honest.pool], honest.demand) <= before


@UNHURRIED
@given(equal_pods())
def test_an_equally_fair_division_that_runs_is_kept(world: OneRow) -> None:
    claims, row = world
    others = [
        replace(claim, pool=f"q{99 - number}", tenant=f"q{99 - number}", current=0)
        for number, claim in enumerate(claims)
    ]
    turned = shared(others, row)  # the same fleet, ties broken the other way
    running = [
        replace(claim, current=turned[f"q{99 - number}"]) for number, claim in enumerate(claims)
    ]
    assert shared(running, row) == {claim.pool: claim.current for claim in running}


@UNHURRIED
@given(equal_pods())
def test_who_was_taken_from_cannot_take_it_back_next_tick(world: OneRow) -> None:
    claims, row = world
    first = shared(claims, row)
    second = shared([replace(claim, current=first[claim.pool]) for claim in claims], row)
    gained = {claim.pool for claim in claims if first[claim.pool] > claim.current}
    assert all(second[pool] >= first[pool] for pool in gained)
