"""Puts the memory that an earlier process has left before that of one which began without it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from controller.model.memory import Memory, PoolMemory, RecommendationRun


def joined(left: Memory, own: Memory) -> Memory:
    """The memory of this process, after what was `left` of the time before it began. Pools that it
    has not planned yet are as they were left.
    """
    pools = {
        key: _joined(found, own.pools[key]) if key in own.pools else found
        for key, found in left.pools.items()
    }
    return Memory(pools={**own.pools, **pools}, planned_at=own.planned_at)


def _joined(left: PoolMemory, own: PoolMemory) -> PoolMemory:
    """What lasts or is summed up over time is of both; what holds now is this process's, if it
    knows it. Without recommendations there is no window to go on with.

    A memory begins with the size that the pool had, as if it had been asked for and worked then
    (`seeded`, `initial_memory`): what was left says better what was so.
    """
    began = own.since
    runs = tuple(_before(left, began))
    later = tuple(each for each in own.recommendations if each.last_at != began)
    was_active = own.active_since is not None or (own.last_active_at or began) > began
    has_written = own.ours is not None or own.asked is not None
    present, active = own if has_written else left, own if was_active else left
    return replace(
        own,
        since=min(left.since, began) if runs else began,
        active_since=active.active_since,
        last_active_at=active.last_active_at,
        recommendations=(*runs, *later) if runs else own.recommendations,
        scaled_up=(*(each for each in left.scaled_up if each.at < began), *own.scaled_up),
        scaled_down=(*(each for each in left.scaled_down if each.at < began), *own.scaled_down),
        asked=present.asked,
        own_zero=present.own_zero,
        ours=present.ours,
        set_back=(*(each for each in left.set_back if each.at < began), *own.set_back),
        native=left.native if own.native is None else own.native,
    )


def _before(left: PoolMemory, began: float) -> Iterator[RecommendationRun]:
    """The recommendations from before this moment (Unix seconds). One that was in force holds until
    then.
    """
    for run in left.recommendations:
        if run.first_at < began:
            ended = began if run.last_at is None else min(run.last_at, began)
            yield replace(run, last_at=ended)
