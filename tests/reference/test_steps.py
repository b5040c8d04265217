"""One step towards targets that are given."""

from __future__ import annotations

from reference.steps import Position, Step, step


def position(current: int, target: int, pool: str = "a", **fields: int) -> Position:
    return Position(pool=pool, tenant=pool, current=current, target=target, **fields)


def one(current: int, target: int, room: int = 99, **fields: int) -> Step:
    return step([position(current, target, **fields)], room)["a"]


def test_up_goes_at_once_and_at_most_so_far_at_a_time() -> None:
    assert one(2, 20) == Step(next=20, add=18)
    assert one(2, 20, max_up=5) == Step(next=7, add=5)
    assert one(3, 3, max_up=0) == Step(next=3)


def test_up_goes_only_into_room_that_is_free() -> None:
    assert one(2, 20, room=6) == Step(next=6, add=4)
    assert one(2, 20, room=9, terminating=3) == Step(next=6, add=4)
    assert one(8, 9, room=5).next == 8


def test_down_takes_the_idle_and_lets_the_busy_finish() -> None:
    assert one(5, 2) == Step(next=2, remove=3)
    assert one(5, 2, busy=3) == Step(next=3, remove=2, drain=1)
    assert one(5, 0, busy=9) == Step(next=5, drain=5)


def test_a_replica_is_not_taken_back_before_its_minimum_runtime() -> None:
    assert one(5, 2, too_young=3) == Step(next=3, remove=2)
    assert one(5, 2, too_young=2) == Step(next=2, remove=3)


def test_a_replica_that_goes_leaves_no_room_in_the_same_step() -> None:
    steps = step([position(5, 2), position(0, 3, "b")], 5)
    assert (steps["a"].remove, steps["b"].add) == (3, 0)


def test_room_goes_to_the_higher_tier_then_to_the_pool_that_runs_least_per_weight() -> None:
    positions = [
        position(4, 9, "a", tier=500),
        position(1, 9, "b", tier=500),
        position(2, 4, "z", tier=1000),
    ]
    steps = step(positions, 12)
    assert {pool: each.add for pool, each in steps.items()} == {"a": 0, "b": 3, "z": 2}
    heavy = step(positions, 12, {"a": 5})
    assert {pool: each.add for pool, each in heavy.items()} == {"a": 2, "b": 1, "z": 2}
