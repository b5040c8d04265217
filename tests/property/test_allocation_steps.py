"""Steps towards a target: room that exists, work that is never cut short, and always an end."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Bound
from controller.model.fleet import Fleet, Tenant
from controller.model.intents import Intents
from controller.model.memory import PoolMemory
from controller.model.observation import (
    Observation,
    Pod,
    PodPhase,
    Pods,
    Workload,
)
from controller.model.scarcity import Capacity, Resources
from controller.planning.compile import FleetTerms, compile_fleet
from controller.planning.inputs import Moment, Overrides, PoolInput
from controller.planning.room import Occupancy, Room, room_of
from controller.planning.share.rows import scarcity_of
from controller.planning.step import step
from controller.planning.values import Limits, Next, ReplicaUses, SharingError, Target
from property.fleets import TIERS, member
from property.sharing_worlds import UNHURRIED
from property.worlds import START
from support.planning import seen_pool

RUNTIME_S = 60.0


class Position(NamedTuple):
    """One pool: where it is and where it should be, in replicas. `busy` replicas work, `young` ones
    have not had their minimum runtime; `terminating` ones are leaving beside `current`.
    """

    current: int
    target: int
    busy: int = 0
    young: int = 0
    terminating: int = 0

    @property
    def occupancy(self) -> Occupancy:
        return Occupancy(self.current, self.target, self.terminating)


class Places(NamedTuple):
    """Pools that share so many places."""

    terms: FleetTerms
    positions: list[Position]

    def room(self, kept: Room | None = None, changed: dict[int, Position] | None = None) -> Room:
        """How far the growing pools may go; beginning from `kept`, where only some changed."""
        sharing, found = self.terms.sharing, dict(enumerate(self.positions))
        scarcity = scarcity_of(sharing, Observation(), START, None)
        assert not isinstance(sharing.field, SharingError)
        uses = [ReplicaUses({"replicas": 1})] * len(sharing.pools)
        occupancy = {
            number: each.occupancy
            for number, each in (found if changed is None else changed).items()
        }
        return room_of(sharing.field, scarcity.room, uses, occupancy, kept)

    def following(self) -> list[Next]:
        """One step of each pool."""
        room = self.room()
        return [self._next(number, each, room) for number, each in enumerate(self.positions)]

    def _next(self, number: int, position: Position, room: Room) -> Next:
        """Where it shrinks, sharing takes replicas back: more were recommended."""
        limits = Limits(
            replicas=position.current,
            bound=Bound.DEMAND,
            recommendation=position.current,
            min=0,
            max=8,
            unstabilized=position.current,
            memory=PoolMemory(since=0.0),
        )
        target, grown = Target(position.target, Bound.DEMAND), room.grown.get(number)
        return step(self._input(number, position), limits, target, grown, Moment(START))

    def _input(self, number: int, position: Position) -> PoolInput:
        terms = self.terms.pools[self.terms.sharing.pools[number].key]
        ready_at = [START - (1.0 if each < position.young else RUNTIME_S) for each in range(8)]
        pods = tuple(
            Pod(name=str(each), phase=PodPhase.READY, ready_at=ready_at[each])
            for each in range(position.current)
        )
        workload = Workload(replicas=position.current)
        seen = seen_pool(0, workload, in_flight=position.busy, at=START, pods=Pods(items=pods))
        override = Overrides(Intents()).of(terms, workload, Moment(START))
        memory = PoolMemory(since=0.0)
        return PoolInput(terms, seen, workload, position.current, memory, override, START)


@st.composite
def positions(draw: st.DrawFn) -> Position:
    current = draw(st.integers(0, 8))
    return Position(
        current=current,
        target=draw(st.integers(0, 8)),
        busy=draw(st.integers(0, current)),
        young=draw(st.integers(0, current)),
        terminating=draw(st.integers(0, 2)),
    )


@st.composite
def places(draw: st.DrawFn) -> Places:
    pools = tuple(
        member(f"t{draw(st.integers(0, 2))}", f"p{number}", [{"minimum_runtime_s": RUNTIME_S}])
        for number in range(draw(st.integers(1, 5)))
    )
    tenants = tuple(
        Tenant(name=name, tier=draw(st.sampled_from(TIERS[:2])), namespace=name)
        for name in ("t0", "t1", "t2")
    )
    capacity = Capacity(resources=Resources(replicas=draw(st.integers(0, 40))))
    terms = compile_fleet(Fleet(pools=pools, tenants=tenants, capacity=capacity))
    return Places(terms, [draw(positions()) for _ in pools])


def room_in(world: Places) -> int:
    return world.terms.fleet.capacity.resources.replicas or 0


@UNHURRIED
@given(places())
def test_nothing_is_added_where_there_is_no_room(world: Places) -> None:
    occupancy = sum(each.current + each.terminating for each in world.positions)
    steps = zip(world.positions, world.following(), strict=True)
    added = sum(max(following.replicas - each.current, 0) for each, following in steps)
    assert added <= max(room_in(world) - occupancy, 0)


@UNHURRIED
@given(places())
def test_all_room_that_is_free_is_given_to_pools_that_grow(world: Places) -> None:
    occupancy = sum(each.current + each.terminating for each in world.positions)
    missing = sum(max(each.target - each.current, 0) for each in world.positions)
    steps = zip(world.positions, world.following(), strict=True)
    added = sum(max(following.replicas - each.current, 0) for each, following in steps)
    assert added == min(missing, max(room_in(world) - occupancy, 0))


@UNHURRIED
@given(places())
def test_no_busy_or_too_young_replica_is_removed(world: Places) -> None:
    for each, following in zip(world.positions, world.following(), strict=True):
        idle = each.current - each.busy
        assert each.current - following.replicas <= max(idle - each.young, 0)


@UNHURRIED
@given(places())
def test_no_step_leads_away_from_the_target_or_past_it(world: Places) -> None:
    for each, following in zip(world.positions, world.following(), strict=True):
        low, high = sorted((each.current, each.target))
        assert low <= following.replicas <= high


@UNHURRIED
@given(places())
def test_once_the_work_ends_every_pool_reaches_its_target(world: Places) -> None:
    wanted = sum(each.target for each in world.positions)
    fleet = replace(world.terms.fleet, capacity=Capacity(resources=Resources(replicas=wanted)))
    world = world._replace(terms=compile_fleet(fleet))
    for _ in range(12):
        moved = [
            Position(
                following.replicas,
                each.target,
                terminating=max(each.current - following.replicas, 0),
            )
            for each, following in zip(world.positions, world.following(), strict=True)
        ]
        world = world._replace(positions=moved)
    assert all(each.current == each.target for each in world.positions)


@UNHURRIED
@given(places())
def test_a_step_that_stops_short_says_why(world: Places) -> None:
    for each, following in zip(world.positions, world.following(), strict=True):
        assert (following.gate is None) == (following.replicas == each.target)


@UNHURRIED
@given(places(), st.dictionaries(st.integers(0, 4), positions(), max_size=3))
def test_room_that_is_kept_is_as_room_worked_out_anew(
    world: Places, changes: dict[int, Position]
) -> None:
    changed = {number: each for number, each in changes.items() if number < len(world.positions)}
    later = [changed.get(number, each) for number, each in enumerate(world.positions)]
    again = world._replace(positions=later)
    kept, anew = again.room(world.room(), changed), again.room()
    assert (kept.now, kept.most, kept.grown) == (anew.now, anew.most, anew.grown)
