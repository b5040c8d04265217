"""A comparison on several cores gives what it gives on one, and agrees with an independent
simulator.
"""

from __future__ import annotations

import random
import threading

import pytest
from msgspec.structs import replace

from controller.model.fleet import NativePreset
from controller.simulate.compare import Comparison, Contender, compare
from controller.simulate.trace import Trace, TraceTask
from controller.simulate.world import World
from reference.naive_simulator import least_s, reactive_waits, static_waits
from support.simulated_pools import native_pool

WORLD = World(1, 19.0)
POOL = native_pool("pool", NativePreset.PROMPT, maximum=30)


def drawn(seed: int, tasks: int, every_s: float, work_s: float) -> list[TraceTask]:
    draw = random.Random(seed).expovariate
    at, found = 0.0, []
    for _ in range(tasks):
        at += draw(1 / every_s)
        found.append(TraceTask(at, draw(1 / work_s)))
    return found


def compared(trace: Trace, *, cores: int = 1, world: World = WORLD) -> Comparison:
    pools = {name: replace(POOL, name=name) for name in trace.pools}
    return compare(trace, pools, world, cores=cores)


@pytest.mark.parametrize("is_beside", [False, True], ids=["alone", "beside another thread"])
def test_several_cores_give_what_one_gives(*, is_beside: bool) -> None:
    pools = {name: drawn(number, 30, 9.0 * number, 20.0) for number, name in enumerate("bac", 1)}
    trace, done = Trace(pools, 3000.0), threading.Event()
    beside = threading.Thread(target=done.wait)
    if is_beside:
        beside.start()
    told: list[tuple[int, int]] = []
    try:
        of_one = compared(trace)
        several = compare(
            trace,
            {name: replace(POOL, name=name) for name in pools},
            WORLD,
            cores=2,
            progress=lambda done, of: told.append((done, of)),
        )
    finally:
        done.set()
        if is_beside:
            beside.join()
    assert several == of_one
    assert [*several.outcomes[0].runs] == ["b", "a", "c"]
    assert told[-1] == (5 * 90, 5 * 90)
    assert len(told) == 15


@pytest.mark.parametrize(
    ("seed", "every_s", "work_s"), [(1, 40.0, 10.0), (2, 5.0, 60.0), (3, 200.0, 300.0)]
)
def test_an_independent_simulator_agrees(seed: int, every_s: float, work_s: float) -> None:
    tasks = drawn(seed, 400, every_s, work_s)
    found = compared(Trace({"pool": tasks}, tasks[-1].arrival_s))
    runs = {each.name: each.runs["pool"] for each in found.outcomes}
    size = runs[Contender.STATIC].actions[0].after
    assert [*runs[Contender.STATIC].waits_s] == pytest.approx(static_waits(tasks, size, 19.0))
    assert [*runs[Contender.REACTIVE].waits_s] == pytest.approx(reactive_waits(tasks, 30, 19.0))
    assert found.bound_h * 3600 == pytest.approx(least_s(tasks, 19.0), rel=0.003)


def test_all_policies_keep_to_the_pools_bounds_and_begin_at_its_least() -> None:
    tasks = drawn(4, 200, 3.0, 60.0)
    pools = {"pool": replace(POOL, min=2, max=5)}
    found = compare(Trace({"pool": tasks}, tasks[-1].arrival_s), pools, WORLD)
    for each in found.outcomes:
        run = each.runs["pool"]
        assert run.began_with == 2, each.name
        assert run.actions, each.name
        assert {2 <= action.after <= 5 for action in run.actions} == {True}, each.name
        assert run.unserved == 0, each.name


def test_starts_are_drawn_so_that_half_and_nine_of_ten_are_ready_in_time() -> None:
    starts = World(1, 20.0, 50.0).starts()
    drawn_s = [next(starts) for _ in range(4000)]
    assert sum(each <= 20.0 for each in drawn_s) / 4000 == pytest.approx(0.5, abs=0.03)
    assert sum(each <= 50.0 for each in drawn_s) / 4000 == pytest.approx(0.9, abs=0.02)
    assert [next(World(1, 20.0, 50.0, seed=2).starts())] != drawn_s[:1]


def test_a_warm_beginning_has_the_replicas_that_the_mean_load_keeps_busy() -> None:
    tasks = [TraceTask(10.0 * number, 25.0) for number in range(100)]
    cold = compared(Trace({"pool": tasks}, 1000.0))
    warm = compared(Trace({"pool": tasks}, 1000.0), world=WORLD._replace(is_warm=True))
    assert warm.outcomes[0].runs["pool"].began_with == 3
    for before, after in zip(cold.outcomes, warm.outcomes, strict=True):
        assert before.runs["pool"].waits_s[0] >= 19.0, before.name
        assert after.runs["pool"].waits_s[0] == 0.0, before.name
