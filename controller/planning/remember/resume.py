"""How a memory goes on that another process has left."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.fleet import Fleet, Pool
from controller.model.memory import Memory, PoolMemory

RESTART_S: Final = 60.0
"""A restart or a fail-over takes less, and is no reason to begin a shorter window again."""


def resumed(memory: Memory, fleet: Fleet, now: float) -> Memory:
    """The memory to plan with at `now` (Unix seconds).

    Memory is saved when it changes, so a memory that was saved long ago does not mean that the
    process before ended then: what was still so when it was saved counts until now. But where a
    recommendation or a cooldown had to end since, the memory would have changed: the process was
    gone by then. If that is a whole downward window ago, and longer than a restart takes, the
    recommendations are forgotten, so that window and cooldown begin again instead of taking the gap
    for a quiet time.
    """
    pools = {pool.key: pool for pool in fleet.pools}
    return Memory(
        pools={
            key: replace(found, recommendations=())
            if _is_forgotten(found, pools.get(key), now)
            else found
            for key, found in memory.pools.items()
        },
        planned_at=now,
    )


def _is_forgotten(memory: PoolMemory, pool: Pool | None, now: float) -> bool:
    if pool is None or not memory.recommendations:
        return False
    window_s = pool.behavior.scale_down.stabilization_window_s
    return now - _last_seen(memory, pool, now) >= max(RESTART_S, window_s)


def _last_seen(memory: PoolMemory, pool: Pool, now: float) -> float:
    """The latest time at which the process before can have looked at the pool: by then its memory
    would have changed.
    """
    runs = memory.recommendations
    if runs[-1].last_at is not None:
        return runs[-1].last_at
    windows = pool.behavior.scale_up, pool.behavior.scale_down
    window_s = max(each.stabilization_window_s for each in windows)
    ends = [run.last_at + window_s for run in runs if run.last_at is not None]
    if memory.active_since is None and memory.last_active_at is not None:
        ends.append(memory.last_active_at + pool.cooldown_s)
    return min([now, *ends])
