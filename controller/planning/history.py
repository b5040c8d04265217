"""What the planner remembers of a pool: how a memory begins, is confirmed by what is seen, grows by
run lengths and stays small.
"""

from __future__ import annotations

from math import isfinite
from typing import Final

from msgspec.structs import replace

from controller.model.fleet import Behavior, Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.memory import Ask, Memory, PoolMemory, RecommendationRun, ScaleChange
from controller.model.observation import Workload
from controller.planning.behavior import longest_period_s, record_change
from controller.planning.foresight import moved
from controller.planning.stand_down import notice

# a write whose answer was lost is shown by the watch within a few seconds, if it was applied
CONFIRM_WITHIN_S: Final = 30.0
_EARLIER_ASKS: Final = 8


def begin(replicas: int, now: float) -> PoolMemory:
    """The memory of a pool seen for the first time: what runs counts as active until now."""
    return PoolMemory(since=now, last_active_at=now if replicas > 0 else None)


def seed(memory: PoolMemory, replicas: int, now: float) -> PoolMemory:
    """Without any recommendation the current size is the first (HPA, reconcileAutoscaler): nothing
    is taken away before one window has been seen, and what runs counts as active until now. At zero
    there is nothing to take.
    """
    if memory.recommendations or replicas == 0:
        return memory
    run = RecommendationRun(replicas=replicas, first_at=now, last_at=now)
    active_at = None if memory.last_active_at is None else now
    return replace(memory, since=now, last_active_at=active_at, recommendations=(run,))


def warm_up_left_s(pool: Pool, memory: PoolMemory, now: float) -> float:
    """Seconds until this memory covers one window downwards; none are left at 0 or below."""
    return memory.since + pool.behavior.scale_down.stabilization_window_s - now


def remember(
    history: tuple[RecommendationRun, ...], replicas: int, now: float, window_s: float
) -> tuple[RecommendationRun, ...]:
    """The history with one more recommendation, without what can no longer decide anything.

    A window always reaches up to now, so an older run can only be the highest of some window if no
    later one is as high, and only the lowest if no later one is as low. The others are dropped:
    however much the demand varies, few runs remain and every window answers the same.
    """
    cutoff = now - window_s
    if history and history[-1].replicas == replicas:
        last = RecommendationRun(replicas=replicas, first_at=history[-1].first_at, last_at=now)
        if history[0].last_at > cutoff or len(history) == 1:
            return (*history[:-1], last)
        return (*(run for run in history[:-1] if run.last_at > cutoff), last)
    kept = [RecommendationRun(replicas=replicas, first_at=now, last_at=now)]
    lowest = highest = replicas
    for run in reversed(history):
        if run.last_at <= cutoff:
            break
        if run.replicas < lowest or run.replicas > highest:
            kept.append(run)
            lowest, highest = min(lowest, run.replicas), max(highest, run.replicas)
    return tuple(reversed(kept))


def confirm(memory: PoolMemory, workload: Workload, behavior: Behavior, now: float) -> PoolMemory:
    """What became of the last ask, judged by the size that is seen now.

    As asked: the change counts against the rate policies, from when it was asked for. Still as
    before: it may yet arrive, for a while. Anything else was not ours.
    """
    asked, replicas = memory.asked, workload.replicas
    if asked is None:
        memory = notice(memory, replicas, now)
        return replace(memory, own_zero=False) if memory.own_zero and replicas > 0 else memory
    if replicas == asked.after or replicas in asked.earlier:
        return _confirmed(memory, asked, replicas, behavior)
    undone = asked.after if _was_undone(asked, workload) else None
    if undone is None and replicas == asked.before and now - asked.at < CONFIRM_WITHIN_S:
        return memory
    memory = notice(memory, replicas, now, undone)
    return replace(memory, asked=None, own_zero=memory.own_zero and replicas == 0)


def _was_undone(asked: Ask, workload: Workload) -> bool:
    """Whether what was asked for was set and taken back between two looks: every write to a spec
    counts its generation up, so there and back are two.
    """
    return workload.replicas == asked.before and 0 < asked.generation <= workload.generation - 2


def _confirmed(memory: PoolMemory, asked: Ask, replicas: int, behavior: Behavior) -> PoolMemory:
    # an event nets against the policies of both directions, so the longest period of both keeps it
    keep_s = max(longest_period_s(behavior.scale_up), longest_period_s(behavior.scale_down))
    change = replicas - asked.before
    up, down = memory.scaled_up, memory.scaled_down
    if change > 0:
        up = record_change(up, change, asked.at, keep_s)
    else:
        down = record_change(down, -change, asked.at, keep_s)
    return replace(
        memory,
        asked=None,
        own_zero=replicas == 0,
        ours=replicas,
        scaled_up=up,
        scaled_down=down,
    )


def ask(memory: PoolMemory, workload: Workload, after: int, now: float) -> PoolMemory:
    """A change that is asked for now. The same one, asked again, keeps its first time."""
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


def unasked(memory: Memory) -> Memory:
    """The memory of who writes nothing: no change is its own. What it planned may be just what
    somebody else sets, which is neither a change it made nor a size that anybody took from it.
    """
    dropped = {
        key: replace(pool, asked=None, ours=None)
        for key, pool in memory.pools.items()
        if pool.asked is not None or pool.ours is not None
    }
    return Memory(pools={**memory.pools, **dropped}) if dropped else memory


def follow_clock(memory: Memory, step_s: float) -> Memory:
    """Every time in memory moved by the step of the clock, so that ages stay true."""
    if step_s == 0.0 or not isfinite(step_s):
        return memory
    return Memory(pools={key: _moved(pool, step_s) for key, pool in memory.pools.items()})


def not_ahead(memory: PoolMemory, now: float) -> PoolMemory:
    """The memory, moved back as a whole if it ends after now: under a clock that was set back
    between two runs it would hold the pool until that clock has caught up.
    """
    latest = _latest(memory)
    return memory if latest <= now else _moved(memory, now - latest)


def _latest(memory: PoolMemory) -> float:
    """The last of its times."""
    latest, active_at, blind_since = memory.since, memory.last_active_at, memory.blind_since
    if active_at is not None and active_at > latest:
        latest = active_at
    if memory.recommendations:
        latest = max(latest, memory.recommendations[-1].last_at)
    if blind_since is not None:
        latest = max(latest, blind_since)
    if memory.native is not None:
        latest = max(latest, memory.native.asked_at)
    if memory.replaced is not None:
        latest = max(latest, memory.replaced.at)
    if memory.set_back:
        latest = max(latest, memory.set_back[-1].at)
    return latest


def _moved(memory: PoolMemory, by_s: float) -> PoolMemory:
    repeats, replaced = memory.repeats, memory.replaced
    asked, active_at, blind_since = memory.asked, memory.last_active_at, memory.blind_since
    return replace(
        memory,
        native=None if memory.native is None else moved(memory.native, by_s),
        since=memory.since + by_s,
        last_active_at=None if active_at is None else active_at + by_s,
        recommendations=tuple(
            replace(run, first_at=run.first_at + by_s, last_at=run.last_at + by_s)
            for run in memory.recommendations
        ),
        scaled_up=_events_moved(memory.scaled_up, by_s),
        scaled_down=_events_moved(memory.scaled_down, by_s),
        asked=None if asked is None else replace(asked, at=asked.at + by_s),
        blind_since=None if blind_since is None else blind_since + by_s,
        repeats=None if repeats is None else replace(repeats, since=repeats.since + by_s),
        replaced=None if replaced is None else replace(replaced, at=replaced.at + by_s),
        set_back=tuple(replace(each, at=each.at + by_s) for each in memory.set_back),
    )


def _events_moved(events: tuple[ScaleChange, ...], by_s: float) -> tuple[ScaleChange, ...]:
    return tuple(replace(event, at=event.at + by_s) for event in events)


def carried(memory: Memory, changed: dict[PoolKey, PoolMemory], fleet: Fleet) -> Memory:
    """The memory after a plan: the pools that changed, the others as they were, and none that the
    fleet no longer has.
    """
    managed = {pool.key for pool in fleet.pools}
    if memory.pools.keys() <= managed:
        return Memory(pools={**memory.pools, **changed}) if changed else memory
    kept = {key: pool for key, pool in memory.pools.items() if key in managed}
    return Memory(pools={**kept, **changed})
