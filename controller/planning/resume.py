"""How a memory goes on that another process has left."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.fleet import Fleet
from controller.model.memory import Memory, PoolMemory

RESTART_S: Final = 60.0
"""A restart or a fail-over takes less, and is no reason to begin a shorter window anew."""


def resumed(memory: Memory, fleet: Fleet, now: float) -> Memory:
    """The memory to plan with at `now` (Unix seconds), however long nobody has looked.

    A pool that was not looked at for a whole window downwards (and longer than a restart takes) has
    none: what was recommended before is forgotten, so that window and cooldown begin anew instead
    of taking the gap for a quiet time.
    """
    windows = {pool.key: pool.behavior.scale_down.stabilization_window_s for pool in fleet.pools}
    return Memory(
        pools={
            key: replace(pool, recommendations=())
            if now - _last_seen(pool) >= max(RESTART_S, windows.get(key, 0))
            else pool
            for key, pool in memory.pools.items()
        }
    )


def _last_seen(memory: PoolMemory) -> float:
    runs = memory.recommendations
    return runs[-1].last_at if runs else memory.since
