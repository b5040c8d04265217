"""Writes that were asked for: what the cluster shows became of them, and the next one."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.fleet import Behavior
from controller.model.memory import Ask, Memory, PoolMemory
from controller.model.observation import Workload
from controller.planning.given.moment import Moment
from controller.planning.recommend.behavior import longest_period_s, record_change
from controller.planning.remember.contest import record_override

CONFIRM_WITHIN_S: Final = 30.0
"""A write whose answer was lost shows in the watch within a few seconds, if it was applied."""
_EARLIER_ASKS: Final = 8


def confirmed(
    memory: PoolMemory, workload: Workload, behavior: Behavior, moment: Moment
) -> PoolMemory:
    """The memory after what became of the last write, judged by the size that is seen now.

    As asked: the change counts against the rate policies, from the time when it was asked for.
    Still as before: it may yet arrive, for a while. Replaced: it counts, too, as in the HPA, and
    another writer set what is seen. Anything else was not ours.
    """
    asked, replicas = memory.asked, workload.replicas
    if asked is None:
        memory = record_override(memory, replicas, moment)
        return replace(memory, own_zero=False) if memory.own_zero and replicas > 0 else memory
    if replicas == asked.after or replicas in asked.earlier:
        memory = _counted(memory, asked, replicas, behavior)
        return replace(memory, asked=None, own_zero=replicas == 0, ours=replicas)
    undone = None
    if _was_replaced(asked, workload):
        undone = asked.after
        memory = _counted(memory, asked, undone, behavior)
    elif replicas == asked.before and not moment.reached(asked.at + CONFIRM_WITHIN_S):
        return memory
    memory = record_override(memory, replicas, moment, undone)
    return replace(memory, asked=None, own_zero=memory.own_zero and replicas == 0)


def asking(memory: PoolMemory, workload: Workload, after: int, now: float) -> PoolMemory:
    """The memory with a change that is asked for now. The same change, asked for again, keeps its
    first time.
    """
    last, before, generation = memory.asked, workload.replicas, workload.generation
    earlier: tuple[int, ...] = ()
    if last is not None and last.before == before:
        if last.after == after:
            same = last.generation == generation
            return memory if same else replace(memory, asked=replace(last, generation=generation))
        asks = (*last.earlier, last.after)
        earlier = tuple(size for size in asks if size != after)[-_EARLIER_ASKS:]
    new = Ask(before=before, after=after, at=now, earlier=earlier, generation=generation)
    return replace(memory, asked=new)


def without_writes(memory: Memory) -> Memory:
    """The memory of a process that writes nothing: no change is its own. Another writer may set
    just what it planned; that is neither a change of its own nor one that was replaced.
    """
    dropped = {
        key: replace(pool, asked=None, ours=None)
        for key, pool in memory.pools.items()
        if pool.asked is not None or pool.ours is not None
    }
    return replace(memory, pools={**memory.pools, **dropped}) if dropped else memory


def _was_replaced(asked: Ask, workload: Workload) -> bool:
    """Whether the write was applied and replaced between two plans: each write to a spec increases
    its generation by one, so these are two.
    """
    return 0 < asked.generation <= workload.generation - 2


def _counted(memory: PoolMemory, asked: Ask, replicas: int, behavior: Behavior) -> PoolMemory:
    """The memory with a change that was made, in the log of its direction."""
    # an event nets against the policies of both directions, so the longest period of both keeps it
    keep_s = max(longest_period_s(behavior.scale_up), longest_period_s(behavior.scale_down))
    change = replicas - asked.before
    if change > 0:
        up = record_change(memory.scaled_up, change, asked.at, keep_s)
        return replace(memory, scaled_up=up)
    down = record_change(memory.scaled_down, -change, asked.at, keep_s)
    return replace(memory, scaled_down=down)
