"""Every small world there is, through the whole plan: what holds of fleets holds of all of these.

Covered: three pools, each of one of three tiers, with 0, 1 or 3 messages, and with two replicas or
with one that is its min; and four pools of three tiers with 1 or 3 messages and no replicas; each
in every room of 0 to 6 places. Each pool is a tenant of its own; the order
of their names is that of their kinds, as only it breaks ties. One pool in turn is also given one
message more, and in every third world the pools are listed in reverse as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement, product
from typing import NamedTuple

import pytest

from controller.model.decision import Bound, Code, Decision
from controller.model.fleet import Behavior, Fleet, Pool, ScalingRules, Tenant
from controller.model.ids import PoolKey, pool_key
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory, RecommendationRun
from controller.model.observation import Observation, PoolObservation
from controller.model.scarcity import Capacity, Resources
from property.fleets import TIERS
from property.worlds import START, healthy
from support.planning import plan

MOST = 4
AT_ONCE = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=0),
)
LONG_AGO = START - 9000
REMEMBERED = PoolMemory(
    since=LONG_AGO,
    last_active_at=LONG_AGO,
    recommendations=(RecommendationRun(replicas=0, first_at=LONG_AGO, last_at=LONG_AGO),),
)


class Kind(NamedTuple):
    """One pool: its place among the tiers (0 is the highest), its messages, replicas and min."""

    tier: int
    work: int
    replicas: int
    low: int = 0


SIZES = ((2, 0), (1, 1))
THREE = [Kind(tier, work, *size) for tier, work, size in product(range(3), (0, 1, 3), SIZES)]
FOUR = [Kind(tier, work, 0) for tier, work in product(range(3), (1, 3))]


class World:
    """Pools `a`, `b`, … of these kinds in so many places."""

    def __init__(self, kinds: Sequence[Kind], places: int) -> None:
        self.kinds = kinds
        self.places = places
        self.pools = tuple(_pool(name, kind.low) for name, kind in zip("abcd", kinds, strict=False))

    def decide(
        self, works: Sequence[int] | None = None, *, backwards: bool = False
    ) -> dict[PoolKey, Decision]:
        given = [kind.work for kind in self.kinds] if works is None else works
        order = slice(None, None, -1 if backwards else 1)
        seen = {
            pool.key: _seen(pool, kind.replicas, work)
            for pool, kind, work in zip(self.pools, self.kinds, given, strict=True)
        }
        fleet = Fleet(
            tenants=tuple(
                Tenant(name=pool.tenant, tier=TIERS[kind.tier], namespace=pool.tenant)
                for pool, kind in zip(self.pools, self.kinds, strict=True)
            )[order],
            pools=self.pools[order],
            capacity=Capacity(resources=Resources(replicas=self.places)),
        )
        memory = Memory(pools=dict.fromkeys(seen, REMEMBERED))
        return plan(Observation(pools=seen), fleet, Intents(), memory, START)[0].decisions


_POOLS: dict[tuple[str, int], Pool] = {}
_SEEN: dict[tuple[str, int, int], PoolObservation] = {}


def _pool(name: str, low: int) -> Pool:
    found = _POOLS.get((name, low))
    if found is None:
        found = _POOLS[name, low] = Pool(
            key=pool_key(name, "agents"),
            name="agents",
            tenant=name,
            namespace=name,
            deployment="agents",
            stream="TASKS",
            consumer=name,
            behavior=AT_ONCE,
            min=low,
            max=MOST,
            cooldown_s=0.0,
        )
    return found


def _seen(pool: Pool, replicas: int, work: int) -> PoolObservation:
    key = (pool.key, replicas, work)
    if key not in _SEEN:
        _SEEN[key] = healthy(pool, replicas, work, START)
    return _SEEN[key]


def worlds(kinds: Sequence[Kind], pools: int, places: int) -> Iterator[World]:
    for chosen in combinations_with_replacement(kinds, pools):
        yield World(chosen, places)


def check(world: World, number: int) -> None:
    decisions = world.decide()
    targets = [decisions[pool.key].target or 0 for pool in world.pools]
    wanted = [decisions[pool.key].recommendation or 0 for pool in world.pools]
    promised = [max(kind.low, kind.work > 0) for kind in world.kinds]

    assert sum(targets) <= world.places
    assert all(target <= MOST for target in targets)
    if sum(promised) <= world.places:
        assert all(target >= least for target, least in zip(targets, promised, strict=True))
    for index, kind in enumerate(world.kinds):
        higher_is_short = any(
            other.tier < kind.tier and targets[place] < wanted[place]
            for place, other in enumerate(world.kinds)
        )
        assert not higher_is_short or targets[index] <= promised[index]
    if sum(targets) < world.places:
        assert targets == wanted
    for pool, target, wish in zip(world.pools, targets, wanted, strict=True):
        if target != wish:
            reasons = decisions[pool.key].reasons
            assert decisions[pool.key].bound in {Bound.CAPACITY, Bound.BASELINE}
            assert {reason.code for reason in reasons} & {Code.CAPACITY, Code.BASELINE}

    if number % 3 == 0:
        assert world.decide(backwards=True) == decisions
    place = number % len(world.pools)
    works = [kind.work + (index == place) for index, kind in enumerate(world.kinds)]
    assert (world.decide(works)[world.pools[place].key].target or 0) >= targets[place]


@pytest.mark.parametrize("places", range(7))
@pytest.mark.parametrize(("kinds", "pools"), [(THREE, 3), (FOUR, 4)], ids=["three", "four"])
def test_every_small_world_keeps_every_promise(
    kinds: Sequence[Kind], pools: int, places: int
) -> None:
    for number, world in enumerate(worlds(kinds, pools, places)):
        try:
            check(world, number)
        except AssertionError as error:
            raise AssertionError(f"{world.kinds} in {places} places: {error}") from error
