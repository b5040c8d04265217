"""Runs a simulation on several cores: simulated pools share nothing, so each is run separately."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from controller.simulate.trace import Trace, TraceTask
from controller.simulate.world import Policy, PoolRun, VirtualPool, World


def run_on_cores(
    trace: Trace, policy: Callable[[str], Policy], world: World, cores: int
) -> dict[str, PoolRun]:
    """The same as `run`, in `cores` processes. `policy` must be picklable.

    Raises what a pool's run raises, and BrokenProcessPool if a process is killed.
    """
    # the longest pools first, so that no long one is left for the end
    names = sorted(trace.pools, key=lambda name: -len(trace.pools[name]))
    with ProcessPoolExecutor(cores, mp_context=get_context(_start_method())) as executor:
        running = {
            name: executor.submit(_live, name, trace.pools[name], policy, world, trace.end_s)
            for name in names
        }
        return {name: running[name].result() for name in trace.pools}


def _live(
    name: str,
    tasks: list[TraceTask],
    policy: Callable[[str], Policy],
    world: World,
    end_s: float,
) -> PoolRun:
    return VirtualPool(tasks, policy(name), world).run(end_s)


def _start_method() -> str:
    """`fork` is fast, but with other threads running the child may hang on a lock that one held."""
    return "fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn"
