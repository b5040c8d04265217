"""Shifts the times in memory with a step of the clock, or from another process's clock to this one,
so that ages stay correct.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from controller.model.memory import Memory, PoolMemory, Repeats, ScaleChange
from controller.model.stored import SavedMemory
from controller.planning.demand.learned import latest_time as native_latest
from controller.planning.demand.learned import moved as native_moved

STEP_S: Final = 2.0
"""A difference above this is a step of the wall clock, or another clock; a smaller one is gradual
slewing by NTP, or the time that a save takes."""
LARGEST_STEP_S: Final = 32_503_680_000.0
"""The time from 1970 to the year 3000: a step this large is an error and is ignored."""


def follow_clock(memory: Memory, step_s: float) -> Memory:
    """The memory with every time shifted by `step_s`; unchanged if the step is implausible."""
    if step_s == 0.0 or not abs(step_s) < LARGEST_STEP_S:  # NaN is not followed either
        return memory
    planned_at = memory.planned_at
    return Memory(
        pools={key: _moved(pool, step_s) for key, pool in memory.pools.items()},
        planned_at=None if planned_at is None else planned_at + step_s,
    )


def on_this_clock(saved: SavedMemory, now: float) -> Memory:
    """The memory with its times by the clock that says `now` (Unix seconds); the process that saved
    it may have had a clock that was ahead or behind, and only the store knows its true age.
    """
    if saved.age_s is None:
        return saved.memory
    behind_s = now - saved.age_s - saved.saved_at
    return follow_clock(saved.memory, behind_s) if abs(behind_s) > STEP_S else saved.memory


def not_ahead(memory: PoolMemory, now: float) -> PoolMemory:
    """The memory, shifted back so that its latest time is not after `now` (Unix seconds).

    If the clock was set back between two runs, times in the future would hold the pool until the
    clock has caught up.
    """
    latest = _latest(memory)
    return memory if latest <= now else _moved(memory, now - latest)


def _latest(memory: PoolMemory) -> float:
    """The latest time in the memory."""
    return max(at for at in _times(memory) if at is not None)


def _times(memory: PoolMemory) -> Iterator[float | None]:
    yield from (memory.since, memory.last_active_at, memory.active_since, memory.blind_since)
    for run in memory.recommendations:
        yield from (run.first_at, run.last_at)
    for event in (*memory.scaled_up, *memory.scaled_down):
        yield event.at
    for replaced in memory.set_back:
        yield replaced.at
    for change in (memory.asked, memory.replaced):
        if change is not None:
            yield change.at
    for repeats in (memory.repeats, *memory.queue_repeats):
        if repeats is not None:
            yield repeats.since
    if memory.native is not None:
        yield native_latest(memory.native)
    if memory.standing is not None:
        yield from (memory.standing.since, memory.standing.bound_since)
    for mark in memory.queues:
        yield mark.at


def _moved(memory: PoolMemory, by_s: float) -> PoolMemory:
    replaced, asked = memory.replaced, memory.asked
    standing = memory.standing
    return replace(
        memory,
        native=None if memory.native is None else native_moved(memory.native, by_s),
        since=memory.since + by_s,
        last_active_at=_time_moved(memory.last_active_at, by_s),
        active_since=_time_moved(memory.active_since, by_s),
        recommendations=tuple(
            replace(run, first_at=run.first_at + by_s, last_at=_time_moved(run.last_at, by_s))
            for run in memory.recommendations
        ),
        scaled_up=_events_moved(memory.scaled_up, by_s),
        scaled_down=_events_moved(memory.scaled_down, by_s),
        asked=None if asked is None else replace(asked, at=asked.at + by_s),
        blind_since=_time_moved(memory.blind_since, by_s),
        repeats=_repeats_moved(memory.repeats, by_s),
        queue_repeats=tuple(_repeats_moved(each, by_s) for each in memory.queue_repeats),
        replaced=None if replaced is None else replace(replaced, at=replaced.at + by_s),
        set_back=tuple(replace(each, at=each.at + by_s) for each in memory.set_back),
        standing=None if standing is None else standing.shifted(by_s),
        queues=tuple(replace(mark, at=mark.at + by_s) for mark in memory.queues),
    )


def _time_moved(at: float | None, by_s: float) -> float | None:
    return None if at is None else at + by_s


def _repeats_moved(repeats: Repeats | None, by_s: float) -> Repeats | None:
    return None if repeats is None else replace(repeats, since=repeats.since + by_s)


def _events_moved(events: tuple[ScaleChange, ...], by_s: float) -> tuple[ScaleChange, ...]:
    return tuple(replace(event, at=event.at + by_s) for event in events)
