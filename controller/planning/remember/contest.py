"""Contests: another writer keeps replacing the sizes that the plan sets, and the pool stands down.

Writing against a person or another controller again and again only makes replicas come and go.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.memory import PoolMemory, SetBack
from controller.planning.given.moment import Moment

CONTEST_WINDOW_S: Final = 600.0
"""Three changes within this time are a contest; it ends so long after the last change."""
_CONTESTED_FROM: Final = 3
_KEPT: Final = 8


def stands_down(memory: PoolMemory, moment: Moment) -> bool:
    """Whether the plan's sizes were replaced so often of late that it leaves the pool alone."""
    return len(memory.set_back) >= _CONTESTED_FROM and not moment.reached(quiet_until(memory))


def quiet_until(memory: PoolMemory) -> float:
    """When the last change by another writer is long enough ago; only where there was one."""
    return memory.set_back[-1].at + CONTEST_WINDOW_S


def record_override(
    memory: PoolMemory, replicas: int, moment: Moment, undone: int | None = None
) -> PoolMemory:
    """The memory where a size is seen that was not asked for: a size of ours that was replaced, or
    one more change to a pool that stands down. `undone` is a size of ours that was set and taken
    back between two plans.
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
        if last is None and stands_down(memory, moment):
            last = memory.set_back[-1]
        if last is None or last.theirs == replicas:
            return memory
        found = replace(last, theirs=replicas, at=now)
    return replace(memory, ours=None, replaced=found)


def clear_override(memory: PoolMemory) -> PoolMemory:
    """The memory once the plan wants what another writer has set: that is no contest."""
    found = memory.replaced
    if found is None:
        return memory
    known = memory.set_back
    if known:
        known = (*known[:-1], replace(known[-1], theirs=found.theirs))
    return replace(memory, replaced=None, set_back=known)


def confirm_override(memory: PoolMemory, moment: Moment) -> PoolMemory:
    """The memory once the plan wants another size than the one that another writer has set."""
    found, known = memory.replaced, memory.set_back
    if found is None:
        return memory
    if not stands_down(memory, moment):
        known = tuple(each for each in known if found.at - each.at < CONTEST_WINDOW_S)
    return replace(memory, replaced=None, set_back=(*known, found)[-_KEPT:])
