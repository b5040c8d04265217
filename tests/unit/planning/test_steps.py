"""One step towards a target."""

from __future__ import annotations

import pytest

from controller.model.decision import Gate
from controller.planning.step.room import Position, Step, step
from support.sharing import AmountError, Row


def position(current: int, target: int, pool: str = "a", **fields: object) -> Position:
    fields = {"tenant": pool, "uses": {"replicas": 1}, **fields}
    return Position(pool=pool, current=current, target=target, **fields)  # type: ignore[arg-type]


def room(capacity: int) -> Row:
    return Row(name="replicas", capacity=capacity)


def one(current: int, target: int, capacity: int = 99, **fields: object) -> Step:
    return step([position(current, target, **fields)], [room(capacity)])["a"]


def test_up_goes_at_once() -> None:
    assert one(2, 20) == Step(next=20, add=18)
    assert one(2, 20, max_up=5) == Step(next=7, add=5)
    assert one(3, 3, max_up=0) == Step(next=3)


def test_up_goes_only_into_room_that_is_free() -> None:
    short = Step(next=6, add=4, gate=Gate.ROOM, limited_by="replicas")
    assert one(2, 20, capacity=6) == short
    assert one(2, 20, capacity=9, terminating=3) == short
    assert one(8, 9, capacity=5).next == 8


def test_down_takes_the_idle_and_lets_the_busy_finish() -> None:
    assert one(5, 2) == Step(next=2, remove=3)
    assert one(5, 2, busy=3) == Step(next=3, remove=2, drain=1, gate=Gate.BUSY)
    assert one(5, 0, busy=9) == Step(next=5, drain=5, gate=Gate.BUSY)


def test_a_replica_is_not_taken_back_before_its_minimum_runtime() -> None:
    young = Step(next=3, remove=2, gate=Gate.MINIMUM_RUNTIME)
    assert one(5, 2, too_young=3) == young
    assert one(5, 2, too_young=2) == Step(next=2, remove=3)


def test_what_is_taken_back_frees_no_room_in_the_same_tick() -> None:
    steps = step([position(5, 2), position(0, 3, "b")], [room(5)])
    assert (steps["a"].remove, steps["b"].add, steps["b"].gate) == (3, 0, Gate.ROOM)


def test_room_goes_to_the_higher_tier_then_to_who_runs_least_per_weight() -> None:
    positions = [
        position(4, 9, "a", tier=500),
        position(1, 9, "b", tier=500),
        position(2, 4, "z", tier=1000),
    ]
    steps = step(positions, [room(12)])
    assert {pool: one.add for pool, one in steps.items()} == {"a": 0, "b": 3, "z": 2}
    heavy = step(positions, [room(12)], {"a": 5})
    assert {pool: one.add for pool, one in heavy.items()} == {"a": 2, "b": 1, "z": 2}


def test_room_is_told_in_any_unit() -> None:
    steps = step(
        [position(1, 9, uses={"memory": 4}), position(1, 9, "b", uses={"memory": 1})],
        [Row(name="memory", capacity=12)],
    )
    assert {pool: one.next for pool, one in steps.items()} == {"a": 2, "b": 4}


@pytest.mark.parametrize("field", ["busy", "terminating", "too_young", "max_up"])
def test_numbers_below_zero_are_refused(field: str) -> None:
    with pytest.raises(AmountError):
        one(1, 1, **{field: -1})  # type: ignore[arg-type]
