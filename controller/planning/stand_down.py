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
    memory = _forget(memory, now)
    ours = memory.ours if undone is None else undone
    if undone is None and replicas == ours:
        return memory
    if stands_down(memory, now):
        last = memory.set_back[-1]
        if replicas != last.theirs:
            memory = _set_back(memory, last.ours if ours is None else ours, replicas, now)
    elif ours is not None:
        memory = _set_back(memory, ours, replicas, now)
    return memory if memory.ours is None else replace(memory, ours=None)


def agreed(memory: PoolMemory, replicas: int, now: float) -> PoolMemory:
    """The memory without a change seen at this moment: nothing would be written against it."""
    if not memory.set_back or memory.set_back[-1].at != now:
        return memory
    kept = memory.set_back[:-1]
    if kept:
        kept = (*kept[:-1], replace(kept[-1], theirs=replicas))
    return replace(memory, set_back=kept)


def _set_back(memory: PoolMemory, ours: int, theirs: int, now: float) -> PoolMemory:
    known = memory.set_back
    if not stands_down(memory, now):
        known = tuple(each for each in known if now - each.at < CONTEST_WINDOW_S)
    change = SetBack(ours=ours, theirs=theirs, at=now)
    return replace(memory, set_back=(*known, change)[-_KEPT:])


def _forget(memory: PoolMemory, now: float) -> PoolMemory:
    if not memory.set_back or quiet_left_s(memory, now) > 0:
        return memory
    return replace(memory, set_back=())
