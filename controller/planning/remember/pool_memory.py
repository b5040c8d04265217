"""The memory of a pool, and of the fleet, after a plan."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from controller.model.ids import PoolKey
from controller.model.memory import Memory, PoolMemory
from controller.planning.inputs import PoolInput
from controller.planning.remember.writes import with_write
from controller.planning.values import Demand, Gated
from controller.planning.windows import ended


def initial_memory(replicas: int, now: float) -> PoolMemory:
    """The memory of a pool observed for the first time. If it has replicas, it counts as active
    until now.
    """
    return PoolMemory(since=now, last_active_at=now if replicas > 0 else None)


def after_plan(given: PoolInput, demand: Demand, gated: Gated, now: float) -> PoolMemory:
    """The pool's memory for the next plan; the same object if nothing in it has changed."""
    memory = with_activity(gated.memory, demand.active, given.planned_at, now)
    if (
        demand.native is not memory.native
        or demand.repeats is not memory.repeats
        or demand.queue_repeats is not memory.queue_repeats
        or demand.failures is not memory.failures
    ):
        memory = replace(
            memory,
            native=demand.native,
            repeats=demand.repeats,
            queue_repeats=demand.queue_repeats,
            failures=demand.failures,
        )
    if gated.replicas != given.current:
        memory = with_write(memory, given.workload, gated.replicas, now)
    return memory


def blind_after_plan(
    memory: PoolMemory, *, active: bool, planned_at: float, now: float
) -> PoolMemory:
    """The memory of a pool whose Deployment is not known. It had no recommendation, so the newest
    run of recommendations ends at `planned_at`, the time of the previous plan.
    """
    history = ended(memory.recommendations, planned_at)
    if history is not memory.recommendations:
        memory = replace(memory, recommendations=history)
    return with_activity(memory, True, planned_at, now) if active else memory


def with_activity(memory: PoolMemory, active: bool, planned_at: float, now: float) -> PoolMemory:
    """The memory with the time since when the pool is active, or until when it was."""
    since = memory.active_since
    if active:
        return memory if since is not None else replace(memory, active_since=now)
    if since is None:
        return memory
    return replace(memory, active_since=None, last_active_at=max(planned_at, since))


def fleet_memory(
    memory: Memory,
    changed: Mapping[PoolKey, PoolMemory],
    fleet: Mapping[PoolKey, object],
    now: float,
) -> Memory:
    """The fleet's memory after a plan at `now` (Unix seconds): with the changed pools, and without
    pools that the fleet no longer has. `pools` is the same object if nothing has changed.
    """
    pools = memory.pools
    if not pools.keys() <= fleet.keys():
        pools = {key: pool for key, pool in pools.items() if key in fleet}
    if changed:
        pools = {**pools, **changed}
    return Memory(pools=pools, planned_at=now)
