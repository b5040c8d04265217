"""Contests: if another writer keeps replacing the sizes that the plan sets, the plan leaves the
pool alone.

Two writers that keep replacing each other's sizes only start and stop replicas without end.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.memory import PoolMemory, SetBack
from controller.planning.given.moment import Moment

CONTEST_WINDOW_S: Final = 600.0
"""Three changes by another writer within this time are a contest, which ends this long after the
last one."""
_CONTESTED_FROM: Final = 3
_KEPT: Final = 8


def is_contested(memory: PoolMemory, moment: Moment) -> bool:
    """Whether there is a contest now, so that the plan leaves the pool alone."""
    return len(memory.set_back) >= _CONTESTED_FROM and not moment.reached(quiet_until(memory))


def quiet_until(memory: PoolMemory) -> float:
    """When the contest ends if no change by another writer follows (Unix seconds). Needs a memory
    with at least one such change.
    """
    return memory.set_back[-1].at + CONTEST_WINDOW_S


def record_override(
    memory: PoolMemory, replicas: int, moment: Moment, undone: int | None = None
) -> PoolMemory:
    """The memory after observing `replicas`, with the change by another writer if there was one:
    it replaced our size, or it changed a pool that stands down.

    `undone` is a size of ours that was applied and replaced between two plans.
    """
    now = moment.now
    if memory.set_back and moment.reached(quiet_until(memory)):
        memory = replace(memory, set_back=())
    if undone is not None:
        found = SetBack(ours=undone, theirs=replicas, at=now)
    elif memory.ours is not None:
        if replicas == memory.ours:
            return memory
        found = SetBack(ours=memory.ours, theirs=replicas, at=now)
    else:
        last = memory.replaced
        if last is None and is_contested(memory, moment):
            last = memory.set_back[-1]
        if last is None or last.theirs == replicas:
            return memory
        found = replace(last, theirs=replicas, at=now)
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
        known = tuple(each for each in known if found.at - each.at < CONTEST_WINDOW_S)
    return replace(memory, replaced=None, set_back=(*known, found)[-_KEPT:])
