"""Requested writes: whether the cluster shows them as applied, and the next request."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.fleet import Behavior
from controller.model.memory import Memory, PendingWrite, PoolMemory
from controller.model.observation import Workload
from controller.planning.inputs import Moment
from controller.planning.remember.contest import record_override
from controller.planning.windows import longest_period_s, record_change

CONFIRM_WITHIN_S: Final = 30.0
"""How long to wait for a write without an answer to appear in the watch, if it was applied."""
SEEN_WITHIN_S: Final = 5.0
"""A repeated write that is seen later than this after its first request was perhaps refused until
then."""
_EARLIER_WRITES: Final = 8


def confirmed(
    memory: PoolMemory, workload: Workload, behavior: Behavior, moment: Moment
) -> PoolMemory:
    """The memory with the outcome of the last requested write, judged by the observed size.

    - The requested size: the write was applied. It counts against the rate policies, from the time
      of the request; from now if it was requested again and the first request is longer ago than
      `SEEN_WITHIN_S`, because it may have been refused until just now.
    - The size before: the write may still appear, for up to `CONFIRM_WITHIN_S`.
    - Applied, then replaced by another writer: it counts too, as in the HPA.
    - Any other size was set by another writer, and the request does not count.
    """
    asked, replicas = memory.asked, workload.replicas
    if asked is None:
        memory = record_override(memory, workload, moment)
        return replace(memory, own_zero=False) if memory.own_zero and replicas > 0 else memory
    if replicas == asked.after or replicas in asked.earlier:
        memory = _counted(memory, asked, replicas, behavior, moment)
        return replace(memory, asked=None, own_zero=replicas == 0, ours=replicas)
    undone = None
    if _was_replaced(asked, workload):
        undone = asked.after
        memory = _counted(memory, asked, undone, behavior, moment)
    elif replicas == asked.before and not moment.reached(asked.at + CONFIRM_WITHIN_S):
        return memory
    memory = record_override(memory, workload, moment, undone)
    return replace(memory, asked=None, own_zero=memory.own_zero and replicas == 0)


def with_write(memory: PoolMemory, workload: Workload, after: int, now: float) -> PoolMemory:
    """The memory with a change to `after` replicas requested at `now` (Unix seconds). A repeated
    request keeps its first time.
    """
    last, before, generation = memory.asked, workload.replicas, workload.generation
    earlier: tuple[int, ...] = ()
    version = workload.resource_version
    if last is not None and last.before == before:
        if last.after == after:
            same = last.repeated and (last.generation, last.version) == (generation, version)
            again = replace(last, repeated=True, generation=generation, version=version)
            return memory if same else replace(memory, asked=again)
        sizes = (*last.earlier, last.after)
        earlier = tuple(size for size in sizes if size != after)[-_EARLIER_WRITES:]
    new = PendingWrite(
        before=before,
        after=after,
        at=now,
        earlier=earlier,
        generation=generation,
        version=version,
    )
    return replace(memory, asked=new)


def may_shrink_late(memory: PoolMemory, workload: Workload) -> bool:
    """Whether a smaller size may still be set by a request that was not answered. A request names
    the version that it replaces, so it is refused once the workload has another one.
    """
    asked = memory.asked
    if asked is None or asked.version != workload.resource_version:
        return False
    return min(asked.after, *asked.earlier, asked.before) < workload.replicas


def without_writes(memory: Memory) -> Memory:
    """The memory of a process that never writes, without any requests.

    Another writer may set the very size that was planned. That must count neither as a write of
    this process nor as a replaced one.
    """
    dropped = {
        key: replace(pool, asked=None, ours=None)
        for key, pool in memory.pools.items()
        if pool.asked is not None or pool.ours is not None
    }
    return replace(memory, pools={**memory.pools, **dropped}) if dropped else memory


def _was_replaced(asked: PendingWrite, workload: Workload) -> bool:
    """Whether the write was applied and then replaced between two plans.

    Kubernetes increases metadata.generation by one for each change of the spec, so there were at
    least two changes since the request.
    """
    return 0 < asked.generation <= workload.generation - 2


def _counted(
    memory: PoolMemory, asked: PendingWrite, replicas: int, behavior: Behavior, moment: Moment
) -> PoolMemory:
    """The memory with a confirmed change added to the log of its direction."""
    late = asked.repeated and moment.reached(asked.at + SEEN_WITHIN_S)
    at = moment.now if late else asked.at
    # policies of both directions count an event, so it is kept for the longest period of both
    keep_s = max(longest_period_s(behavior.scale_up), longest_period_s(behavior.scale_down))
    change = replicas - asked.before
    if change > 0:
        up = record_change(memory.scaled_up, change, at, keep_s)
        return replace(memory, scaled_up=up)
    down = record_change(memory.scaled_down, -change, at, keep_s)
    return replace(memory, scaled_down=down)
