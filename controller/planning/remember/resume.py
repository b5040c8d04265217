"""Continues with the memory that a previous process has saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.memory import Memory, PoolMemory
from controller.planning.memory import longest_period_s

RESTART_S: Final = 60.0
"""The longest gap that counts as a restart or a fail-over; after it, windows are kept."""


def resumed(memory: Memory, fleet: Fleet, now: float) -> Memory:
    """The memory to plan with at `now` (Unix seconds).

    Memory is saved only when it changes, so an old memory does not mean that the previous process
    ended long ago. But some changes come with time alone: a recommendation leaves its window, or an
    idle pool is scaled to zero. If such a change is overdue, the process had ended before it. If it
    is overdue by a whole downward window, and by more than `RESTART_S`, the pool's recommendations
    are dropped. Then window and cooldown begin again, and the gap does not count as idle time.
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


def doubted(memory: Memory, sizes: Mapping[PoolKey, int], now: float) -> Memory:
    """The memory to plan with at `now` (Unix seconds), where pools have these sizes.

    A pool that is larger than all that its memory knows was scaled after the memory was saved: the
    process ended before it had saved its last write, or the store was replaced by an older copy.
    What that memory says of less work is not believed: the pool is held for one downward window.
    """
    unknown = {
        key: replace(found, since=now, asked=None, ours=None, replaced=None)
        for key, found in memory.pools.items()
        if sizes.get(key, 0) > _largest_known(found)
    }
    return replace(memory, pools={**memory.pools, **unknown}) if unknown else memory


def _largest_known(memory: PoolMemory) -> int:
    """The largest size that the pool asked for, had or was given, as far as is remembered."""
    known = [run.replicas for run in memory.recommendations]
    if memory.ours is not None:
        known.append(memory.ours)
    if (asked := memory.asked) is not None:
        known += [asked.before, asked.after, *asked.earlier]
    others = memory.set_back if memory.replaced is None else (*memory.set_back, memory.replaced)
    known += [each.theirs for each in others]
    return max(known, default=0)


def _is_forgotten(memory: PoolMemory, pool: Pool | None, now: float) -> bool:
    if pool is None or not memory.recommendations:
        return False
    window_s = pool.behavior.scale_down.stabilization_window_s
    return now - _last_seen(memory, pool, now) >= max(RESTART_S, window_s)


def _last_seen(memory: PoolMemory, pool: Pool, now: float) -> float:
    """The latest time at which the previous process can have planned the pool: at the latest then
    it would have changed the memory. Unix seconds, never after `now`.
    """
    runs = memory.recommendations
    if runs[-1].last_at is not None:
        return runs[-1].last_at
    windows = pool.behavior.scale_up, pool.behavior.scale_down
    window_s = max(each.stabilization_window_s for each in windows)
    ends = [run.last_at + window_s for run in runs if run.last_at is not None]
    if (end := _scale_to_zero_due_at(memory, pool)) is not None:
        ends.append(end)
    return min([now, *ends])


def _scale_to_zero_due_at(memory: PoolMemory, pool: Pool) -> float | None:
    """The latest time at which an idle pool had to begin to scale to zero, also with a rate policy
    that slows it. None if the pool cannot go to zero, is active, or has begun.
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
