"""What sharing promises: for any fleet, or, where it can only be had there, for any of one row.

That is: nothing overdrawn, work-conserving, strict tiers, envy-free up to one replica, monotone in
capacity, weight, tier and demand, proof against splitting and over-asking, idempotent. Each test
draws a world once and holds all rules of such worlds.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from property.sharing_worlds import (
    TIERS,
    UNHURRIED,
    Fleet,
    Weights,
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
from support.sharing import Allotment, Claim, Row, allocate, bounds

OneRow = tuple[list[Claim], Row]
Result = Mapping[str, Allotment]


def least(claim: Claim) -> int:
    """What it gets before any need: its floor, and its tenant's baseline."""
    return max(bounds(claim)[0], int(claim.works))


def drawn(claims: list[Claim], have: Mapping[str, int], row: str) -> Fraction:
    """What these replicas take of a row, wherever that is the same on any class of nodes."""
    uses = (have[claim.pool] * Fraction(claim.uses.get(row, 0)) for claim in claims)
    return sum(uses, Fraction(0))


# -- of any fleet --------------------------------------------------------------------------------


def no_hard_row_is_overdrawn_by_what_is_handed_out(fleet: Fleet, result: Result) -> None:
    """What a tenant holds above its quota takes no room from others, so it counts for that only."""
    claims, rows = fleet[:2]
    have, quotas = replicas(result), {row.name: row.capacity for row in rows}
    held = {
        claim.pool: claim.current
        for claim in claims
        if claim.fixed
        and claim.current * Fraction(claim.uses.get(f"quota:{claim.tenant}", 0))
        <= Fraction(quotas[f"quota:{claim.tenant}"])
    }
    counted = [claim for claim in claims if not claim.fixed or claim.pool in held]
    for row in rows[:4]:
        if row.soft is None and not row.first_passes:
            most = max(
                Fraction(row.capacity), drawn(counted, {**dict.fromkeys(have, 0), **held}, row.name)
            )
            assert drawn(counted, have, row.name) <= most
    if not any(claim.fixed for claim in claims):
        spot, on_demand = rows[4].capacity, rows[5].capacity
        only_spot = [c for c in claims if c.flavors and all("spot" in one for one in c.flavors)]
        assert sum(have[claim.pool] for claim in only_spot) <= spot
        assert sum(have[claim.pool] for claim in claims if claim.flavors) <= spot + on_demand


def no_pool_gets_more_than_it_wants_and_a_held_one_keeps_what_it_has(
    fleet: Fleet, result: Result
) -> None:
    for claim in fleet[0]:
        have = result[claim.pool].replicas
        assert have == claim.current if claim.fixed else 0 <= have <= bounds(claim)[2]


def a_pool_that_goes_short_is_told_the_row_that_is_full(fleet: Fleet, result: Result) -> None:
    claims, rows = fleet[:2]
    by_name, have = {row.name: row for row in rows}, replicas(result)
    for claim in claims:
        allotment = result[claim.pool]
        if allotment.replicas < bounds(claim)[2]:
            row = by_name[allotment.limited_by]
            assert allotment.bound is row.bound
            if not claim.flavors:
                left = Fraction(row.capacity) - drawn(claims, have, row.name)
                assert left <= 0 or left < Fraction(claim.uses[row.name])


@UNHURRIED
@given(fleets(), st.randoms(use_true_random=False), st.sampled_from([2, 7, Fraction(22, 7)]))
def test_rules_of_any_fleet(fleet: Fleet, random: object, factor: int | Fraction) -> None:
    result = allocate(*fleet)
    no_hard_row_is_overdrawn_by_what_is_handed_out(fleet, result)
    no_pool_gets_more_than_it_wants_and_a_held_one_keeps_what_it_has(fleet, result)
    a_pool_that_goes_short_is_told_the_row_that_is_full(fleet, result)
    # neither the order of the input nor the unit of the weights matters, also for the rows named
    claims, rows, tenant_weights = fleet
    mixed, mixed_rows = list(claims), list(rows)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    random.shuffle(mixed_rows)  # type: ignore[attr-defined]
    mixed = [replace(claim, uses=dict(reversed(claim.uses.items()))) for claim in mixed]
    turned = dict(reversed(tenant_weights.items()))
    assert as_bytes(allocate(mixed, mixed_rows, turned)) == as_bytes(result)
    heavier = {name: Fraction(weight) * factor for name, weight in tenant_weights.items()}
    heavy = [replace(claim, weight=Fraction(claim.weight) * factor) for claim in claims]
    assert shared(heavy, rows, heavier) == replicas(result)


@settings(UNHURRIED, max_examples=scaled(100))
@given(fleets(), st.data())
def test_what_is_handed_out_settles_and_more_never_lowers_a_pool(
    fleet: Fleet, data: st.DataObject
) -> None:
    claims, rows, tenant_weights = fleet
    assume(claims)
    pool = data.draw(st.sampled_from(claims))
    alone = [replace(claim, tenant=claim.pool) for claim in claims]
    fewer = shared(alone, rows, {})[pool.pool]
    raised = changed(alone, pool.pool, tier=TIERS[0])
    assert shared(raised, rows, {})[pool.pool] >= fewer
    more = changed(alone, pool.pool, demand=pool.demand + data.draw(st.integers(1, 5)))
    assert shared(more, rows, {})[pool.pool] >= fewer
    light = {claim.pool: data.draw(weights) for claim in alone}
    heavy = light | {pool.pool: Fraction(light[pool.pool]) * data.draw(st.integers(2, 5))}
    assert shared(alone, rows, heavy)[pool.pool] >= shared(alone, rows, light)[pool.pool]
    if not any(claim.fixed for claim in claims):
        seen = []
        for _ in range(4):
            have = shared(claims, rows, tenant_weights)
            claims = [replace(claim, current=have[claim.pool]) for claim in claims]
            seen.append(have)
        assert seen[1] == seen[2] == seen[3], "within one more tick"


# -- of one row ----------------------------------------------------------------------------------


def floors_and_baselines_are_served_where_they_fit(world: OneRow, result: Result) -> None:
    claims, row = world
    promised = {c.pool: max(bounds(c)[0], min(bounds(c)[1], int(c.works))) for c in claims}
    if sum(promised.values()) <= row.capacity:
        assert all(result[pool].replicas >= floor for pool, floor in promised.items())


def tiers_are_strict(world: OneRow, result: Result) -> None:
    """A lower tier shares nothing while a higher one needs more."""
    for upper in world[0]:
        if result[upper.pool].replicas < bounds(upper)[1]:
            for lower in world[0]:
                assert lower.tier >= upper.tier or result[lower.pool].replicas <= least(lower)


def no_pool_in_a_tier_has_more_than_one_replica_to_envy(
    world: OneRow, result: Result, by_tenant: Weights
) -> None:
    for short in world[0]:
        served = Fraction(result[short.pool].replicas) / Fraction(by_tenant[short.tenant])
        if result[short.pool].replicas < bounds(short)[1]:
            for other in world[0]:
                if other.tier == short.tier and result[other.pool].replicas > least(other):
                    fewer = result[other.pool].replicas - 1
                    assert fewer / Fraction(by_tenant[other.tenant]) <= served


def no_pool_has_spares_while_another_needs_more(world: OneRow, result: Result) -> None:
    if any(result[claim.pool].replicas < bounds(claim)[1] for claim in world[0]):
        assert all(result[claim.pool].replicas <= bounds(claim)[1] for claim in world[0])


def one_place_more_takes_from_none(world: OneRow, result: Result, by_tenant: Weights) -> None:
    claims, row = world
    after = shared(claims, replace(row, capacity=int(row.capacity) + 1), by_tenant)
    gains = [after[pool] - one.replicas for pool, one in result.items()]
    assert min(gains) >= 0
    assert sum(gains) <= 1


@UNHURRIED
@given(equal_pods(shared_tenants=True), st.data())
def test_rules_of_one_row_whose_tenants_have_several_pools(
    world: OneRow, data: st.DataObject
) -> None:
    by_tenant = data.draw(weights_for(world[0]))
    result = allocate(world[0], [world[1]], by_tenant)
    tiers_are_strict(world, result)
    no_pool_has_spares_while_another_needs_more(world, result)
    one_place_more_takes_from_none(world, result, by_tenant)


@UNHURRIED
@given(equal_pods(), st.data())
def test_rules_of_one_row_whose_tenants_have_one_pool(world: OneRow, data: st.DataObject) -> None:
    claims, row = world
    by_tenant = data.draw(weights_for(claims))
    result = allocate(claims, [row], by_tenant)
    floors_and_baselines_are_served_where_they_fit(world, result)
    no_pool_in_a_tier_has_more_than_one_replica_to_envy(world, result, by_tenant)
    have = replicas(result)
    running = [replace(claim, current=have[claim.pool]) for claim in claims]
    assert shared(running, row, by_tenant) == have, "a result that runs is kept"
    gone = data.draw(st.sampled_from(claims))
    after = shared([claim for claim in claims if claim is not gone], row, by_tenant)
    assert all(after[pool] >= have[pool] for pool in after), "one that leaves takes from none"
    more = changed(claims, gone.pool, demand=gone.demand + data.draw(st.integers(1, 9)))
    greedy = shared(more, row, by_tenant)[gone.pool]
    assert not gone.demand or min(greedy, gone.demand) <= have[gone.pool], "useful ones"


@UNHURRIED
@given(equal_pods())
def test_where_floors_do_not_fit_the_higher_tier_has_its_own_first(world: OneRow) -> None:
    claims = [replace(claim, has_work=False) for claim in world[0]]
    result = allocate(claims, [world[1]])
    for upper in claims:
        if result[upper.pool].replicas < bounds(upper)[0]:
            below = [claim.pool for claim in claims if claim.tier < upper.tier]
            assert all(result[pool].replicas == 0 for pool in below)


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
@given(equal_pods(), st.data())
def test_in_one_tier_the_least_served_replicas_are_granted_and_splitting_gains_nothing(
    world: OneRow, data: st.DataObject
) -> None:
    """The same numbers by sorting: each replica by what its pool has before it, per weight."""
    nothing = {"min": 0, "pin": 0, "warm": 0, "current": 0, "has_work": False}
    claims = [replace(claim, tier=0, ceilings=(), **nothing) for claim in world[0]]
    row = world[1]
    by_tenant = {name: Fraction(w) for name, w in data.draw(weights_for(claims)).items()}
    places = sorted(
        (Fraction(number) / by_tenant[claim.tenant], -by_tenant[claim.tenant], claim.pool)
        for claim in claims
        for number in range(claim.demand)
    )[: int(row.capacity)]
    expected = {claim.pool: sum(place[2] == claim.pool for place in places) for claim in claims}
    assert shared(claims, row, by_tenant) == expected
    whole = data.draw(st.sampled_from(claims))
    first = data.draw(st.integers(0, whole.demand))
    parts = [
        replace(whole, pool=f"{whole.pool}-1", demand=first),
        replace(whole, pool=f"{whole.pool}-2", demand=whole.demand - first),
    ]
    others = [claim for claim in claims if claim is not whole]
    after = shared([*others, *parts], row, by_tenant)
    assert sum(after[part.pool] for part in parts) <= expected[whole.pool]
