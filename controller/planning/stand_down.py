"""Contests: somebody else keeps replacing the sizes that the plan sets, and the pool stands down.

To write against a person or another controller again and again only makes replicas come and go.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from controller.model.memory import PoolMemory, SetBack

CONTEST_WINDOW_S: Final = 600.0
"""So close together three changes are a contest, and so long a quiet after the last one ends it."""
_CONTESTED_FROM: Final = 3
_KEPT: Final = 8


def stands_down(memory: PoolMemory, now: float) -> bool:
    """Whether the plan's sizes were replaced so often of late that it leaves the pool alone."""
    return len(memory.set_back) >= _CONTESTED_FROM and quiet_left_s(memory, now) > 0


def quiet_left_s(memory: PoolMemory, now: float) -> float:
    """Seconds until the last change by somebody else is long enough ago; none are left at 0."""
    return memory.set_back[-1].at + CONTEST_WINDOW_S - now if memory.set_back else 0.0


def notice(memory: PoolMemory, replicas: int, now: float, undone: int | None = None) -> PoolMemory:
    """What was not asked for and is seen: a size of ours that somebody has replaced, or one more
    change to a pool that stands down. `undone` is a size that was set and taken back unseen.
    """
    if memory.set_back and quiet_left_s(memory, now) <= 0:
        memory = replace(memory, set_back=())
    if undone is not None:
        found = SetBack(ours=undone, theirs=replicas, at=now)
    elif memory.ours is not None:
        if replicas == memory.ours:
            return memory
        found = SetBack(ours=memory.ours, theirs=replicas, at=now)
    else:
        last = memory.replaced
        if last is None and stands_down(memory, now):
            last = memory.set_back[-1]
        if last is None or last.theirs == replicas:
            return memory
        found = replace(last, theirs=replicas, at=now)
    return replace(memory, ours=None, replaced=found)


def agreed(memory: PoolMemory) -> PoolMemory:
    """The memory once the plan wants what somebody has set: that is no fight."""
    found = memory.replaced
    if found is None:
        return memory
    known = memory.set_back
    if known:
        known = (*known[:-1], replace(known[-1], theirs=found.theirs))
    return replace(memory, replaced=None, set_back=known)


def disputed(memory: PoolMemory, now: float) -> PoolMemory:
    """The memory once the plan wants another size than somebody has set."""
    found, known = memory.replaced, memory.set_back
    if found is None:
        return memory
    if not stands_down(memory, now):
        known = tuple(each for each in known if found.at - each.at < CONTEST_WINDOW_S)
    return replace(memory, replaced=None, set_back=(*known, found)[-_KEPT:])
