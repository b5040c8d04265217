"""A simulation on several cores: pools share nothing, so each can live in a process of its own."""

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
    """The same as `run`, on so many cores. `policy` has to be one that can be pickled.

    Raises what a pool's own run raises, and BrokenProcessPool where a process is killed.
    """
    # the longest first, so that none is left over at the end
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
    """A fork takes no time, but a child of a process with threads may hang on what they held."""
    return "fork" if sys.platform == "linux" and threading.active_count() == 1 else "spawn"
