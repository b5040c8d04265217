"""One pool's memory after a plan; and the fleet's."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from controller.model.ids import PoolKey
from controller.model.memory import Memory, PoolMemory
from controller.planning.demand.demand import Demand
from controller.planning.gate.gate import Gated
from controller.planning.given.pool_input import PoolInput
from controller.planning.recommend.history import ended
from controller.planning.remember.asks import asking


def begun_memory(replicas: int, now: float) -> PoolMemory:
    """The memory of a pool seen for the first time: what runs counts as active until now."""
    return PoolMemory(since=now, last_active_at=now if replicas > 0 else None)


def after_plan(given: PoolInput, demand: Demand, gated: Gated, now: float) -> PoolMemory:
    """The memory to plan with next; the same object where nothing in it has changed."""
    memory = with_activity(gated.memory, demand.active, given.planned_at, now)
    if (
        demand.native is not memory.native
        or demand.repeats is not memory.repeats
        or demand.failures is not memory.failures
    ):
        memory = replace(
            memory, native=demand.native, repeats=demand.repeats, failures=demand.failures
        )
    if gated.replicas != given.current:
        memory = asking(memory, given.workload, gated.replicas, now)
    return memory


def blind_after_plan(
    memory: PoolMemory, *, active: bool, planned_at: float, now: float
) -> PoolMemory:
    """The memory of a pool whose Deployment is not known: nothing was recommended for it."""
    history = ended(memory.recommendations, planned_at)
    if history is not memory.recommendations:
        memory = replace(memory, recommendations=history)
    return with_activity(memory, True, planned_at, now) if active else memory


def with_activity(memory: PoolMemory, active: bool, planned_at: float, now: float) -> PoolMemory:
    """The memory with since when the pool has been active, or until when it was."""
    since = memory.active_since
    if active:
        return memory if since is not None else replace(memory, active_since=now)
    if since is None:
        return memory
    return replace(memory, active_since=None, last_active_at=max(planned_at, since))


def carried(
    memory: Memory,
    changed: Mapping[PoolKey, PoolMemory],
    fleet: Mapping[PoolKey, object],
    now: float,
) -> Memory:
    """The fleet's memory after a plan: the pools that changed, the others as they were, and none
    that the fleet no longer has. The pools are the same object where nothing has changed.
    """
    pools = memory.pools
    if not pools.keys() <= fleet.keys():
        pools = {key: pool for key, pool in pools.items() if key in fleet}
    if changed:
        pools = {**pools, **changed}
    return Memory(pools=pools, planned_at=now)
