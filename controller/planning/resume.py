"""How a memory goes on that another process has left."""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.fleet import Fleet
from controller.model.memory import Memory, PoolMemory


def resumed(memory: Memory, fleet: Fleet, now: float) -> Memory:
    """The memory to plan with at `now` (Unix seconds), however long nobody has looked.

    A pool that was not looked at for a whole window downwards has none: what was recommended before
    is forgotten, so that the window begins anew instead of passing for a quiet one.
    """
    windows = {pool.key: pool.behavior.scale_down.stabilization_window_s for pool in fleet.pools}
    return Memory(
        pools={
            key: replace(pool, recommendations=())
            if key in windows and now - _last_seen(pool) >= windows[key]
            else pool
            for key, pool in memory.pools.items()
        }
    )


def _last_seen(memory: PoolMemory) -> float:
    runs = memory.recommendations
    return runs[-1].last_at if runs else memory.since
