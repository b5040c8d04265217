"""What holds of every fleet over time: restarts, order, noise, and room that becomes free."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Code
from controller.model.fleet import Fleet, Rule
from controller.model.intents import IntentKind, Intents
from controller.model.memory import Memory
from controller.model.scarcity import Capacity, Resources
from property.clusters import Cluster, clusters
from property.fleets import HURRIED, fleets, intents_for, some_sizes
from property.ledger import accounts, bounds_of, is_frozen
from property.queues import Load, Past, loads, pasts
from property.worlds import as_bytes
from support.planning import plan

T = TypeVar("T")
work_now = st.lists(loads, min_size=1, max_size=3)


def restarted(memory: Memory) -> Memory:
    return msgspec.json.decode(msgspec.json.encode(memory), type=Memory)


@HURRIED
@given(cluster=clusters(), future=pasts)
def test_a_planner_that_restarts_at_every_tick_decides_the_same(
    cluster: Cluster, future: Past
) -> None:
    other = cluster.twin()
    other.memory = restarted(cluster.memory)
    for wait_s, work in future:
        assert as_bytes(cluster.tick(work)) == as_bytes(other.tick(work))
        other.memory = restarted(other.memory)
        assert as_bytes(cluster.memory) == as_bytes(other.memory)
        cluster.now += wait_s
        other.now += wait_s


@HURRIED
@given(cluster=clusters(), work=work_now, data=st.data())
def test_no_order_of_pools_tenants_intents_or_keys_matters(
    cluster: Cluster, work: list[Load], data: st.DataObject
) -> None:
    def shuffled(values: Iterable[T]) -> list[T]:
        return data.draw(st.permutations(list(values)))

    seen, fleet, intents = cluster.seen(work), cluster.fleet, cluster.intents
    others = (each for each in intents if each.kind is not IntentKind.PIN)
    other = plan(
        replace(
            seen,
            pools=dict(shuffled(seen.pools.items())),
            tenants=dict(shuffled(seen.tenants.items())),
        ),
        replace(fleet, pools=tuple(shuffled(fleet.pools)), tenants=tuple(shuffled(fleet.tenants))),
        Intents(asked=(*shuffled(intents.of(IntentKind.PIN)), *others)),
        replace(cluster.memory, pools=dict(shuffled(cluster.memory.pools.items()))),
        cluster.now,
    )
    assert as_bytes(other) == as_bytes(cluster.ask(seen))


@HURRIED
@given(
    fleet=fleets(scarce=False, measured=False),
    size=st.integers(1, 10),
    noise=st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=30),
)
def test_noise_inside_the_tolerance_changes_no_size(
    fleet: Fleet, size: int, noise: list[int]
) -> None:
    """Rule hpa: ten messages a replica, one more or less in every ten."""
    pools = tuple(
        replace(pool, rule=Rule.HPA, target=10, min=1, max=max(size, 12), idle=None, schedules=())
        for pool in fleet.pools
    )
    cluster = Cluster(replace(fleet, pools=tuple(replace(one, warm=None) for one in pools)), [size])
    for change in noise:
        messages = 10 * size + change * size
        cluster.tick([Load(pending=messages, in_flight=0, lag=0)])
        cluster.now += 1
        assert set(cluster.replicas.values()) == {size}


@HURRIED
@given(
    fleet=fleets(scarce=False, measured=False, most=3),
    sizes=some_sizes,
    rule=st.sampled_from(Rule),
    noise=st.lists(st.integers(0, 14), min_size=20, max_size=50),
)
def test_within_one_window_no_pool_changes_direction_twice(
    fleet: Fleet, sizes: list[int], rule: Rule, noise: list[int]
) -> None:
    pools = tuple(replace(pool, rule=rule, min=max(pool.min, 1), idle=None) for pool in fleet.pools)
    # spares come and go with the work, without a window: of those pools, what the work gets
    spared = {pool.key for pool in pools if pool.warm is not None}
    cluster = Cluster(replace(fleet, pools=pools), sizes)
    turns: dict[str, list[float]] = {pool.key: [] for pool in pools}
    last = dict.fromkeys(turns, 0)
    before = dict(cluster.replicas)
    for number in range(len(noise)):
        decisions = cluster.tick(
            [Load(noise[number - shift], 0, 0) for shift in range(3)]
        ).decisions
        for key, replicas in cluster.replicas.items():
            size = decisions[key].recommendation or 0 if key in spared else replicas
            move = size - before[key]
            if move * last[key] < 0:
                turns[key].append(cluster.now)
            last[key], before[key] = move or last[key], size
        cluster.now += 1
    for pool in pools:
        window_s = pool.behavior.scale_down.stabilization_window_s
        times = turns[pool.key]
        for first, third in zip(times, times[2:], strict=False):
            # a pool shrinks only after a whole window without a higher recommendation
            assert third - first >= window_s


@HURRIED
@given(fleet=fleets(measured=False), sizes=some_sizes, work=work_now, data=st.data())
def test_floors_are_reached_within_two_ticks_after_room_becomes_free(
    fleet: Fleet, sizes: list[int], work: list[Load], data: st.DataObject
) -> None:
    """Busy replicas of other pools had taken the room, and are idle from now on."""
    places = data.draw(st.integers(1, 24))
    capacity = Capacity(resources=Resources(replicas=places))
    cluster = Cluster(replace(fleet, capacity=capacity), sizes, data.draw(intents_for(fleet)))
    busy = [Load(load.pending, 40, load.lag) for load in work]
    cluster.tick(busy)
    cluster.now += 1000.0  # longer than any window
    cluster.tick(busy)
    cluster.now += 1.0
    idle = [Load(load.pending, 0, load.lag) for load in work]
    for _ in range(2):
        cluster.tick(idle)
        cluster.now += 1.0
    floors = {pool.key: bounds_of(cluster, pool).floor for pool in cluster.fleet.pools}
    promised = {
        pool.key: cluster.replicas[pool.key] if is_frozen(cluster, pool) else floors[pool.key] + 1
        for pool in cluster.fleet.pools
    }
    if not all(account.holds(promised) for account in accounts(cluster)):
        return
    decisions = cluster.ask(cluster.seen(idle))[0].decisions
    for pool in cluster.fleet.pools:
        codes = {reason.code for reason in decisions[pool.key].reasons}
        by_hand = Code.SCALED_TO_ZERO_BY_HAND in codes or Code.USAGE_UNKNOWN in codes
        if not (is_frozen(cluster, pool) or by_hand):
            assert cluster.replicas[pool.key] >= floors[pool.key]
