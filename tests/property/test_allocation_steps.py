"""Steps towards a target: room that exists, work that is never cut short, and always an end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.planning.step.room import Position, step
from property.sharing_worlds import UNHURRIED
from support.sharing import Row


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[Position], Row]:
    positions = []
    for number in range(draw(st.integers(0, 5))):
        current = draw(st.integers(0, 8))
        positions.append(
            Position(
                pool=f"p{number}",
                tenant=f"t{draw(st.integers(0, 2))}",
                tier=draw(st.sampled_from([1000, 500])),
                current=current,
                target=draw(st.integers(0, 8)),
                busy=draw(st.integers(0, current)),
                terminating=draw(st.integers(0, 2)),
                too_young=draw(st.sampled_from([0, 0, 1, 3])),
                max_up=draw(st.sampled_from([None, 0, 2])),
                uses={"replicas": 1},
            )
        )
    return positions, Row(name="replicas", capacity=draw(st.integers(0, 40)))


@UNHURRIED
@given(fleets())
def test_nothing_is_added_where_there_is_no_room(fleet: tuple[list[Position], Row]) -> None:
    positions, room = fleet
    steps = step(positions, [room])
    standing = sum(position.current + position.terminating for position in positions)
    added = sum(one.add for one in steps.values())
    assert added <= max(int(room.capacity) - standing, 0)


@UNHURRIED
@given(fleets())
def test_no_busy_or_too_young_replica_is_removed(fleet: tuple[list[Position], Row]) -> None:
    positions, room = fleet
    steps = step(positions, [room])
    for position in positions:
        one = steps[position.pool]
        idle = position.current - position.busy
        assert one.remove <= max(idle - position.too_young, 0)
        assert one.drain <= position.busy
        assert one.next == position.current + one.add - one.remove


@UNHURRIED
@given(fleets())
def test_no_step_leads_away_from_the_target_or_past_it(fleet: tuple[list[Position], Row]) -> None:
    positions, room = fleet
    steps = step(positions, [room])
    for position in positions:
        low, high = sorted((position.current, position.target))
        assert low <= steps[position.pool].next <= high


@UNHURRIED
@given(fleets())
def test_once_the_work_ends_every_pool_arrives(fleet: tuple[list[Position], Row]) -> None:
    positions, _ = fleet
    room = Row(name="replicas", capacity=sum(position.target for position in positions))
    for _ in range(12):
        positions = [
            replace(
                position,
                current=one.next,
                busy=0,
                too_young=0,
                terminating=one.remove,
                max_up=None if position.max_up == 0 else position.max_up,
            )
            for position, one in zip(positions, step(positions, [room]).values(), strict=True)
        ]
    assert all(position.current == position.target for position in positions)


@UNHURRIED
@given(fleets())
def test_a_step_that_stops_short_says_why(fleet: tuple[list[Position], Row]) -> None:
    positions, room = fleet
    steps = step(positions, [room])
    for position in positions:
        one = steps[position.pool]
        held_back = position.max_up is not None and one.add == position.max_up
        assert (one.next == position.target or held_back) or one.gate is not None
        assert one.gate is None or one.next != position.target
