"""Steps towards a target, through plan(): room that exists, work that is never cut short, and
always an end.
"""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Decision
from controller.model.fleet import Fleet, Tenant
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation, Pod, PodPhase, Pods
from controller.model.scarcity import Capacity, Resources
from property.fleets import TIERS, member
from property.sharing_worlds import UNHURRIED
from support.planning import plan, seen_pool
from unit.planning.story import OBSERVED_FOR_LONG, START, behavior

RUNTIME_S = 60.0


class Position(NamedTuple):
    """One pool: its replicas and its messages. `busy` replicas work, `young` ones have not had
    their minimum runtime; `leaving` ones are there beside `current`.
    """

    current: int
    work: int
    busy: int = 0
    young: int = 0
    leaving: int = 0


class Places(NamedTuple):
    """Pools that share so many places."""

    fleet: Fleet
    positions: dict[PoolKey, Position]

    @property
    def taken(self) -> int:
        return sum(each.current + each.leaving for each in self.positions.values())

    @property
    def free(self) -> int:
        return max((self.fleet.capacity.resources.replicas or 0) - self.taken, 0)

    def decide(self) -> dict[PoolKey, Decision]:
        pools = {}
        for key, each in self.positions.items():
            ready_at = [START - (1.0 if n < each.young else RUNTIME_S) for n in range(each.current)]
            items = tuple(
                Pod(name=str(n), phase=PodPhase.READY, ready_at=at) for n, at in enumerate(ready_at)
            )
            pods = Pods(ready=each.current, terminating=each.leaving, items=items)
            waiting = max(each.work - each.busy, 0)
            pools[key] = seen_pool(waiting, each.current, in_flight=each.busy, at=START, pods=pods)
        memory = Memory(pools=dict.fromkeys(pools, OBSERVED_FOR_LONG))
        return plan(Observation(pools=pools), self.fleet, Intents(), memory, START)[0].decisions


@st.composite
def positions(draw: st.DrawFn) -> Position:
    current = draw(st.integers(0, 8))
    return Position(
        current=current,
        work=draw(st.integers(0, 8)),
        busy=draw(st.integers(0, current)),
        young=draw(st.integers(0, current)),
        leaving=draw(st.integers(0, 2)),
    )


@st.composite
def places(draw: st.DrawFn) -> Places:
    at_once = {"behavior": behavior(down_window_s=0), "cooldown_s": 0.0, "max": 20}
    pools = tuple(
        member(
            f"t{draw(st.integers(0, 2))}", f"p{number}", [at_once, {"minimum_runtime_s": RUNTIME_S}]
        )
        for number in range(draw(st.integers(1, 5)))
    )
    tenants = tuple(
        Tenant(name=name, tier=draw(st.sampled_from(TIERS[:2])), namespace=name)
        for name in ("t0", "t1", "t2")
    )
    capacity = Capacity(resources=Resources(replicas=draw(st.integers(0, 40))))
    fleet = Fleet(pools=pools, tenants=tenants, capacity=capacity)
    return Places(fleet, {pool.key: draw(positions()) for pool in pools})


@UNHURRIED
@given(places())
def test_a_step_uses_all_room_that_is_free_and_cuts_no_work_short(world: Places) -> None:
    decisions = world.decide()
    added = missing = 0
    for key, each in world.positions.items():
        target, following = decisions[key].target or 0, decisions[key].next or 0
        added += max(following - each.current, 0)
        missing += max(target - each.current, 0)
        idle = each.current - each.busy
        is_wanted = (decisions[key].recommendation or 0) > target  # sharing takes replicas back
        assert each.current - following <= max(idle - (each.young if is_wanted else 0), 0)
        assert min(each.current, target) <= following <= max(each.current, target)
        assert (decisions[key].gate is None) == (following == target), "it says why"
    assert added == min(missing, world.free)


@UNHURRIED
@given(places())
def test_once_the_work_ends_every_pool_reaches_its_target(world: Places) -> None:
    wanted = sum(each.work for each in world.positions.values())
    capacity = Capacity(resources=Resources(replicas=wanted))
    world = world._replace(fleet=replace(world.fleet, capacity=capacity))
    for _ in range(12):
        decisions = world.decide()
        moved = {
            key: Position(
                decisions[key].next or 0,
                each.work,
                leaving=max(each.current - (decisions[key].next or 0), 0),
            )
            for key, each in world.positions.items()
        }
        world = world._replace(positions=moved)
    assert all(each.current == each.work for each in world.positions.values())
