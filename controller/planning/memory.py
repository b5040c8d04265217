"""What the planner remembers about each pool from one plan to the next, and how it changes: with
the clock, with the outcome of a write, with another writer's changes, and with each plan.

Two writers that keep replacing each other's sizes only start and stop replicas without end. So the
plan leaves a pool alone if another writer keeps replacing the sizes that it sets (a contest). One
that restores the size of a manifest (Argo CD, Flux) never stops, so that its first change is a
contest; others, people among them, may have changed the size once for a reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from math import inf
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from controller.model.decision import Code, Number, Reason
from controller.model.fleet import Behavior, ScalingRules
from controller.model.ids import PoolKey
from controller.model.memory import (
    Memory,
    NativeMemory,
    PendingWrite,
    PoolMemory,
    ScaleChange,
    SetBack,
)
from controller.model.observation import Workload
from controller.model.servers import writer
from controller.model.value import Value
from controller.planning.inputs import Moment, PoolInput
from controller.planning.values import Demand
from controller.planning.windows import ended

STEP_S: Final = 2.0
"""A difference above this is a step of the wall clock, or another clock; a smaller one is gradual
slewing by NTP, or the time that a save takes."""
LARGEST_STEP_S: Final = 32_503_680_000.0
"""The time from 1970 to the year 3000: a step this large is an error and is ignored."""
CONFIRM_WITHIN_S: Final = 30.0
"""How long to wait for a write without an answer to appear in the watch, if it was applied."""
SEEN_WITHIN_S: Final = 5.0
"""A repeated write that is seen later than this after its first request was perhaps refused until
then."""
CONTEST_WINDOW_S: Final = 600.0
"""Three changes by another writer within this time are a contest, which ends this long after the
last one."""
RESTORED_WINDOW_S: Final = 3600.0
"""Two changes within this time by writers that restore a manifest's size: the contest ends this
long after the last one, because such a writer may look at the size only now and then."""
_CONTESTED_FROM: Final = 3
_SET_BACKS_KEPT: Final = 8
_EARLIER_WRITES: Final = 8
_V = TypeVar("_V", bound=Value)


def follow_clock(memory: Memory, step_s: float) -> Memory:
    """The memory with every time shifted by `step_s`; unchanged if the step is implausible."""
    if step_s == 0.0 or not abs(step_s) < LARGEST_STEP_S:  # NaN is not followed either
        return memory
    planned_at = memory.planned_at
    return Memory(
        pools={key: _moved(pool, step_s) for key, pool in memory.pools.items()},
        planned_at=None if planned_at is None else planned_at + step_s,
    )


def not_ahead(memory: PoolMemory, now: float) -> PoolMemory:
    """The memory, shifted back so that its latest time is not after `now` (Unix seconds).

    If the clock was set back between two runs, times in the future would hold the pool until the
    clock has caught up.
    """
    latest = max(_times(memory))
    return memory if latest <= now else _moved(memory, now - latest)


@cache
def _fields(kind: type[Value]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of a value's times, which their names tell, and of its other fields."""
    names = kind.__struct_fields__
    times = [each for each in names if each in {"at", "since"} or each.endswith(("_at", "_since"))]
    return tuple(times), tuple(each for each in names if each not in times)


def _times(value: Value) -> Iterator[float]:
    times, others = _fields(type(value))
    for name in times:
        at = getattr(value, name)
        if at is not None:
            yield at
    for name in others:
        found = getattr(value, name)
        for each in found if isinstance(found, tuple) else (found,):
            if isinstance(each, Value):
                yield from _times(each)


def _moved(value: _V, by_s: float, least: float = -inf) -> _V:
    """The value with all its times moved. What rule native has learned has none below zero."""
    times, others = _fields(type(value))
    changed: dict[str, Any] = {}
    for name in times:
        at = getattr(value, name)
        changed[name] = None if at is None else max(at + by_s, least)
    for name in others:
        found = getattr(value, name)
        if isinstance(found, Value):
            changed[name] = _moved(found, by_s, 0.0 if isinstance(found, NativeMemory) else least)
        elif isinstance(found, tuple) and any(isinstance(each, Value) for each in found):
            changed[name] = tuple(
                _moved(each, by_s, least) if isinstance(each, Value) else each for each in found
            )
    return replace(value, **changed)


def remembered(
    memory: PoolMemory | None,
    workload: Workload,
    behavior: Behavior,
    moment: Moment,
    *,
    is_ours: bool,
) -> PoolMemory:
    """The memory to plan with: without times after now, and with the outcome of the last write. A
    pool that is observed for the first time and has replicas counts as active until now.

    `is_ours`: it comes from the previous plan, so none of its times can be after now.
    """
    if memory is None:
        memory = PoolMemory(
            since=moment.now, last_active_at=moment.now if workload.replicas > 0 else None
        )
    elif not is_ours:
        memory = not_ahead(memory, moment.now)
    return confirmed(memory, workload, behavior, moment)


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
        memory = _replaced(memory, workload, None, moment)
        return replace(memory, own_zero=False) if memory.own_zero and replicas > 0 else memory
    if replicas == asked.after or replicas in asked.earlier:
        memory = _counted(memory, asked, replicas, behavior, moment)
        return replace(memory, asked=None, own_zero=replicas == 0, ours=replicas)
    undone = None
    # Kubernetes increases metadata.generation by one for each change of the spec, so that since
    # the request there were two changes at least: it was applied, and then replaced
    if 0 < asked.generation <= workload.generation - 2:
        undone = asked.after
        memory = _counted(memory, asked, undone, behavior, moment)
    elif replicas == asked.before and not moment.reached(asked.at + CONFIRM_WITHIN_S):
        return memory
    memory = _replaced(memory, workload, undone, moment)
    return replace(memory, asked=None, own_zero=memory.own_zero and replicas == 0)


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
        return replace(memory, scaled_up=record_change(memory.scaled_up, change, at, keep_s))
    return replace(memory, scaled_down=record_change(memory.scaled_down, -change, at, keep_s))


def longest_period_s(rules: ScalingRules) -> int:
    """The longest period of the policies, for which a change can count; 0 without policies."""
    return max((policy.period_s for policy in rules.policies), default=0)


def record_change(
    events: tuple[ScaleChange, ...], change: int, at: float, keep_s: float
) -> tuple[ScaleChange, ...]:
    """The log with one more event, without those that can no longer count (storeScaleEvent)."""
    if keep_s <= 0:
        return ()
    cutoff = at - keep_s
    kept = tuple(event for event in events if event.at >= cutoff)
    return (*kept, ScaleChange(change=change, at=at))


def with_write(memory: PoolMemory, workload: Workload, after: int, now: float) -> PoolMemory:
    """The memory with a change to `after` replicas requested at `now`; a repeated one is older."""
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
    """Whether an unanswered request may still set a smaller size, at the same version."""
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


def _replaced(
    memory: PoolMemory, workload: Workload, undone: int | None, moment: Moment
) -> PoolMemory:
    """The memory after observing this size, with the change by another writer if there was one:
    it replaced our size, or it changed a pool that stands down.

    `undone` is a size of ours that was applied and replaced between two plans.
    """
    now, replicas, by = moment.now, workload.replicas, workload.sized_by
    is_contested = _is_contested(memory, moment)
    if memory.set_back and _quiet_until(memory) <= now:
        known = memory.set_back
        kept = tuple(each for each in known if not moment.reached(each.at + _counts_s(each)))
        if len(kept) < len(known):
            memory = replace(memory, set_back=kept)
    ours = memory.ours if undone is None else undone
    if ours is not None:
        if undone is None and replicas == ours:
            return memory
        found = SetBack(ours=ours, theirs=replicas, at=now, by=by)
    else:
        last = memory.replaced
        if last is None and is_contested:
            last = memory.set_back[-1]
        if last is None or last.theirs == replicas:
            return memory
        found = replace(last, theirs=replicas, at=now, by=by)
    return replace(memory, ours=None, replaced=found)


def judged(
    memory: PoolMemory,
    current: int,
    moment: Moment,
    *,
    disagrees: bool = False,
    agrees: bool = False,
) -> tuple[PoolMemory, Reason | None]:
    """The memory after the plan has judged the size that another writer set, and the reason why
    the pool is left at `current` if there is a contest now.

    A size with which the plan `disagrees` counts towards a contest, one with which it `agrees` does
    not.
    """
    found, known = memory.replaced, memory.set_back
    if found is None and not known:
        return memory, None
    if found is not None and disagrees:
        if not _is_contested(memory, moment):
            known = tuple(each for each in known if found.at < each.at + _counts_s(each))
        known = (*known, found)[-_SET_BACKS_KEPT:]
        memory = replace(memory, replaced=None, set_back=known)
    reason = _contest(memory, current) if _is_contested(memory, moment) else None
    if (found := memory.replaced) is not None and agrees:
        if known:
            known = (*known[:-1], replace(known[-1], theirs=found.theirs))
        memory = replace(memory, replaced=None, set_back=known)
    return memory, reason


def _contest(memory: PoolMemory, current: int) -> Reason:
    last = memory.set_back[-1]
    numbers: dict[str, Number] = {
        "times": len(memory.set_back),
        "ours": last.ours,
        "theirs": last.theirs,
        "window_s": _quiet_s(memory),
        "until": _quiet_until(memory),
    }
    if last.by:
        numbers["by"] = last.by
    code = Code.SET_BACK if _is_restored(last) else Code.CONTESTED
    return Reason(code=code, value=current, numbers=numbers)


def _is_contested(memory: PoolMemory, moment: Moment) -> bool:
    known = memory.set_back
    if not known or moment.reached(_quiet_until(memory)):
        return False
    return len(known) >= _CONTESTED_FROM or _is_restored(known[-1])


def _is_restored(change: SetBack) -> bool:
    """Whether its writer goes on restoring the size of a manifest."""
    return writer(change.by).restores


def _quiet_s(memory: PoolMemory) -> float:
    """How long after the last change by another writer a contest ends, in seconds."""
    restored = sum(map(_is_restored, memory.set_back))
    return RESTORED_WINDOW_S if restored > 1 else CONTEST_WINDOW_S


def _quiet_until(memory: PoolMemory) -> float:
    """When the contest ends if no change by another writer follows (Unix seconds)."""
    return memory.set_back[-1].at + _quiet_s(memory)


def _counts_s(change: SetBack) -> float:
    """How long a change counts, in seconds, after a contest or without one."""
    return RESTORED_WINDOW_S if _is_restored(change) else CONTEST_WINDOW_S


def after_plan(
    given: PoolInput, demand: Demand, memory: PoolMemory, replicas: int, now: float
) -> PoolMemory:
    """The pool's memory for the next plan; the same object if nothing in it has changed."""
    memory = _with_activity(memory, demand.active, given.planned_at, now)
    if replicas != given.current:
        memory = with_write(memory, given.workload, replicas, now)
    return memory


def blind_after_plan(
    memory: PoolMemory, *, active: bool, planned_at: float, now: float
) -> PoolMemory:
    """The memory without a known Deployment: recommendations end at the plan before."""
    history = ended(memory.recommendations, planned_at)
    if history is not memory.recommendations:
        memory = replace(memory, recommendations=history)
    return _with_activity(memory, True, planned_at, now) if active else memory


def _with_activity(memory: PoolMemory, active: bool, planned_at: float, now: float) -> PoolMemory:
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
    """The fleet's memory after a plan at `now`; `pools` is one object if nothing changed."""
    pools = memory.pools
    if not pools.keys() <= fleet.keys():
        pools = {key: pool for key, pool in pools.items() if key in fleet}
    if changed:
        pools = {**pools, **changed}
    return Memory(pools=pools, planned_at=now)
