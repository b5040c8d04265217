"""Contests: if another writer keeps replacing the sizes that the plan sets, the plan leaves the
pool alone.

Two writers that keep replacing each other's sizes only start and stop replicas without end. One
that restores the size of a manifest (Argo CD, Flux) never stops, so that its first change is a
contest; others, people among them, may have changed the size once for a reason.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.field_managers import writer
from controller.model.memory import PoolMemory, SetBack
from controller.model.observation import Workload
from controller.planning.inputs import Moment

CONTEST_WINDOW_S: Final = 600.0
"""Three changes by another writer within this time are a contest, which ends this long after the
last one."""
RESTORED_WINDOW_S: Final = 3600.0
"""Two changes within this time by writers that restore a manifest's size: the contest ends this
long after the last one, because such a writer may look at the size only now and then."""
_CONTESTED_FROM: Final = 3
_KEPT: Final = 8


def is_contested(memory: PoolMemory, moment: Moment) -> bool:
    """Whether there is a contest now, so that the plan leaves the pool alone."""
    known = memory.set_back
    if not known or moment.reached(quiet_until(memory)):
        return False
    return len(known) >= _CONTESTED_FROM or is_restored(known[-1])


def is_restored(change: SetBack) -> bool:
    """Whether its writer goes on restoring the size of a manifest."""
    return writer(change.by).restores


def quiet_s(memory: PoolMemory) -> float:
    """How long after the last change by another writer a contest ends, in seconds."""
    restored = sum(map(is_restored, memory.set_back))
    return RESTORED_WINDOW_S if restored > 1 else CONTEST_WINDOW_S


def quiet_until(memory: PoolMemory) -> float:
    """When the contest ends if no change by another writer follows (Unix seconds). Needs a memory
    with at least one such change.
    """
    return memory.set_back[-1].at + quiet_s(memory)


def record_override(
    memory: PoolMemory, workload: Workload, moment: Moment, undone: int | None = None
) -> PoolMemory:
    """The memory after observing this size, with the change by another writer if there was one:
    it replaced our size, or it changed a pool that stands down.

    `undone` is a size of ours that was applied and replaced between two plans.
    """
    now, replicas, by = moment.now, workload.replicas, workload.sized_by
    if memory.set_back and moment.reached(quiet_until(memory)):
        kept = _remembered(memory.set_back, now)
        if len(kept) < len(memory.set_back):
            memory = replace(memory, set_back=kept)
    if undone is not None:
        found = SetBack(ours=undone, theirs=replicas, at=now, by=by)
    elif memory.ours is not None:
        if replicas == memory.ours:
            return memory
        found = SetBack(ours=memory.ours, theirs=replicas, at=now, by=by)
    else:
        last = memory.replaced
        if last is None and is_contested(memory, moment):
            last = memory.set_back[-1]
        if last is None or last.theirs == replicas:
            return memory
        found = replace(last, theirs=replicas, at=now, by=by)
    return replace(memory, ours=None, replaced=found)


def clear_override(memory: PoolMemory) -> PoolMemory:
    """The memory if the plan agrees with the size set by another writer: it does not count towards
    a contest.
    """
    found = memory.replaced
    if found is None:
        return memory
    known = memory.set_back
    if known:
        known = (*known[:-1], replace(known[-1], theirs=found.theirs))
    return replace(memory, replaced=None, set_back=known)


def confirm_override(memory: PoolMemory, moment: Moment) -> PoolMemory:
    """The memory if the plan disagrees with the size set by another writer: it counts towards a
    contest.
    """
    found, known = memory.replaced, memory.set_back
    if found is None:
        return memory
    if not is_contested(memory, moment):
        known = _remembered(known, found.at)
    return replace(memory, replaced=None, set_back=(*known, found)[-_KEPT:])


def _remembered(known: tuple[SetBack, ...], now: float) -> tuple[SetBack, ...]:
    """The changes that still count at `now` (Unix seconds), after a contest or without one."""
    return tuple(
        each
        for each in known
        if now - each.at < (RESTORED_WINDOW_S if is_restored(each) else CONTEST_WINDOW_S)
    )
