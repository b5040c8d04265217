"""How a memory goes on that another process has left."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.fleet import Fleet, Pool
from controller.model.memory import Memory, PoolMemory
from controller.planning.recommend.behavior import longest_period_s

RESTART_S: Final = 60.0
"""A restart or a fail-over takes less, and is no reason to begin a shorter window again."""


def resumed(memory: Memory, fleet: Fleet, now: float) -> Memory:
    """The memory to plan with at `now` (Unix seconds).

    Memory is saved when it changes, so a memory that was saved long ago does not mean that the
    process before ended then: what was still so when it was saved counts until now. But where a
    recommendation had to leave its window since, or a pool had to be taken to zero, the memory
    would have changed: the process was gone by then. If that is a whole downward window ago, and
    longer than a restart takes, the recommendations are forgotten, so that window and cooldown
    begin again instead of taking the gap for a quiet time.
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
    if (end := _begins_to_zero(memory, pool)) is not None:
        ends.append(end)
    return min([now, *ends])


def _begins_to_zero(memory: PoolMemory, pool: Pool) -> float | None:
    """By when an idle pool that rests at zero had to be taken there, or some of the way where a
    policy slows that; None for any other pool, and where it was begun.
    """
    if pool.min > 0 or memory.own_zero or memory.active_since is not None:
        return None
    if memory.last_active_at is None:
        return None
    cooled = memory.last_active_at + pool.cooldown_s
    changes = [change.at for change in memory.scaled_down]
    if memory.asked is not None:
        changes.append(memory.asked.at)
    if any(at >= cooled for at in changes):
        return None
    return cooled + longest_period_s(pool.behavior.scale_down)
