"""A simulation on several cores gives what it gives on one."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from controller.model.fleet import NativePreset
from controller.simulate.planned import PlannerPolicy, native_pool
from controller.simulate.trace import Trace, TraceTask
from controller.simulate.world import World, run, run_on_cores

WORLD = World(1, 19.0)


def planned(name: str, *, native: NativePreset) -> PlannerPolicy:
    return PlannerPolicy(native_pool(name, native))


def refuses(name: str) -> PlannerPolicy:
    raise LookupError(name)


def test_every_pool_lives_as_it_does_on_one_core() -> None:
    pools = {
        name: [TraceTask(every_s * number, 20.0) for number in range(30)]
        for name, every_s in (("b", 9.0), ("a", 31.0), ("c", 70.0))
    }
    trace = Trace(pools, 3000.0)
    policy = partial(planned, native=NativePreset.PROMPT)
    both = run_on_cores(trace, policy, WORLD, 2)
    assert both == run(trace, policy, WORLD)
    assert list(both) == ["b", "a", "c"]


def test_beside_another_thread_it_gives_the_same() -> None:
    trace = Trace({"only": [TraceTask(1.0, 1.0)]}, 10.0)
    policy = partial(planned, native=NativePreset.THRIFTY)
    done = threading.Event()
    beside = threading.Thread(target=done.wait)
    beside.start()
    try:
        assert run_on_cores(trace, policy, WORLD, 1) == run(trace, policy, WORLD)
    finally:
        done.set()
        beside.join()


def test_what_goes_wrong_in_a_pool_is_raised() -> None:
    with pytest.raises(LookupError, match="only"):
        run_on_cores(Trace({"only": [TraceTask(1.0, 1.0)]}, 10.0), refuses, WORLD, 1)
