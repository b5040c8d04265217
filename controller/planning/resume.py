"""Continues with the memory that a previous process has saved.

Time that no process has watched does not count. Every recommendation lives on by it, an idle pool
cools down as much later, and a pool is warm as much later. Where more was seen than was saved, or
nothing for a whole window, the window begins again, as for a pool whose memory was lost. What a
process without that memory has seen meanwhile comes after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Final

from msgspec.structs import replace

from controller.model.fleet import Fleet, Pool
from controller.model.ids import PoolKey
from controller.model.memory import Memory, PoolMemory, RecommendationRun, SavedMemory
from controller.model.observation import Workload
from controller.model.servers import FIELD_MANAGER
from controller.planning.memory import SEEN_WITHIN_S, STEP_S, follow_clock

RESTART_S: Final = 60.0
"""The longest gap that counts as a restart or a fail-over; after it, windows begin again."""


def on_this_clock(saved: SavedMemory, now: float) -> Memory:
    """The memory with its times by the clock that says `now` (Unix seconds); the process that saved
    it may have had a clock that was ahead or behind, and only the store knows its true age.
    """
    if saved.age_s is None:
        return saved.memory
    behind_s = now - saved.age_s - saved.saved_at
    return follow_clock(saved.memory, behind_s) if abs(behind_s) > STEP_S else saved.memory


def resumed(
    saved: SavedMemory,
    fleet: Fleet,
    now: float,
    watched: Memory | None = None,
    watched_s: float = 0.0,
) -> Memory:
    """The memory to plan with at `now` (Unix seconds), by the clock of this process, which has
    itself looked at the fleet for `watched_s`: only the time before that was seen by none.

    What a follower has `watched` comes after what was saved. A pool that it could not see was seen
    by none until it could.
    """
    pools = {pool.key: pool for pool in fleet.pools}
    unseen_s = saved.unseen_s(now)
    since = now - min(unseen_s, watched_s)
    resuming: dict[PoolKey, PoolMemory] = {}
    for key, left in saved.memory.pools.items():
        own = None if watched is None else watched.pools.get(key)
        later = [] if own is None else _after(own, since, now)
        seen_from = later[0].first_at if later else since if watched is None else now
        gap_s = seen_from - (now - unseen_s)
        is_lost = saved.is_partial and (gap_s > 0.0 or not later)
        found = _lived_on(left, pools.get(key), gap_s, now, is_lost=is_lost)
        resuming[key] = _watched(found, own, later, seen_from, now) if own and later else found
    return Memory(pools=resuming, planned_at=now)


def saw_more(saved: Memory, latest: Memory) -> bool:
    """Whether a process that knew the `saved` memory alone could scale a pool down although the
    `latest` one keeps its size: work was seen, or more replicas were recommended.
    """
    known = saved.pools
    return any(
        before is not pool and _saw_more(before, pool)
        for key, pool in latest.pools.items()
        if (before := known.get(key)) is not None
    )


def _saw_more(before: PoolMemory, pool: PoolMemory) -> bool:
    if before.active_since is None and (
        pool.active_since is not None or pool.last_active_at != before.last_active_at
    ):
        return True
    if not before.recommendations:
        return False  # without any, the window begins again
    newest = before.recommendations[-1]
    is_open = newest.last_at is None  # it counts until the memory is used again
    return any(
        run.replicas > newest.replicas or not is_open
        for run in pool.recommendations
        if run not in before.recommendations and not (is_open and run.first_at == newest.first_at)
    )


def doubted(memory: Memory, seen: Mapping[PoolKey, Workload], now: float) -> Memory:
    """The memory to plan with at `now` (Unix seconds), where pools are so.

    A pool that is larger than all that its memory knows was scaled after the memory was saved: the
    process ended before it had saved its last write, or the store was replaced by an older copy.
    What that memory says of less work is not believed: the pool is held for one downward window.
    What an agentdash set may be the last that this process set, so it begins no contest.
    """
    changed: dict[PoolKey, PoolMemory] = {}
    for key, found in memory.pools.items():
        workload, asked = seen.get(key), found.asked
        if workload is None:
            continue
        if (size := workload.replicas) > _largest_known(found):
            changed[key] = replace(found, since=now, asked=None, ours=None, replaced=None)
        elif workload.sized_by == FIELD_MANAGER and (asked or found.ours not in {None, size}):
            asked = None if asked is None else replace(asked, generation=0)
            changed[key] = replace(found, asked=asked, ours=size if found.ours == size else None)
    return replace(memory, pools={**memory.pools, **changed}) if changed else memory


def anew(memory: Memory, seen: Mapping[PoolKey, Workload], now: float) -> Memory:
    """The memory of a process that takes over at `now` (Unix seconds) and finds nothing that was
    left: it may have been stopped or blind, so each pool is held as one that is seen for the first
    time. What it has recommended itself stays: what is found late has not seen it.
    """
    pools = {
        key: replace(
            found,
            since=now,
            last_active_at=now if key in seen and seen[key].replicas else found.last_active_at,
        )
        for key, found in memory.pools.items()
    }
    return replace(memory, pools=pools)


def _largest_known(memory: PoolMemory) -> int:
    """The largest size that the pool asked for, had or was given, as far as is remembered."""
    known = [run.replicas for run in memory.recommendations]
    if memory.ours is not None:
        known.append(memory.ours)
    if (asked := memory.asked) is not None:
        known += [asked.before, asked.after, *asked.earlier]
    others = memory.set_back if memory.replaced is None else (*memory.set_back, memory.replaced)
    known += [each.theirs for each in others]
    return max(known, default=0)


def _lived_on(
    memory: PoolMemory, pool: Pool | None, gap_s: float, now: float, *, is_lost: bool
) -> PoolMemory:
    """The memory after an unwatched time; changes and requests are as old as they are."""
    if pool is None or not memory.recommendations:
        return memory
    window_s = pool.behavior.scale_down.stabilization_window_s
    if is_lost or gap_s >= max(RESTART_S, window_s):
        return replace(memory, recommendations=())
    if gap_s == 0.0:
        return memory
    seen_until, last_active_at = now - gap_s, memory.last_active_at
    if last_active_at is not None and seen_until < last_active_at + pool.cooldown_s:
        last_active_at += gap_s
    is_warm = memory.since + window_s <= seen_until
    return replace(
        memory,
        since=memory.since if is_warm else memory.since + gap_s,
        last_active_at=last_active_at,
        recommendations=tuple(
            run
            if run.last_at is None
            else replace(run, first_at=run.first_at + gap_s, last_at=run.last_at + gap_s)
            for run in memory.recommendations
        ),
    )


def _after(own: PoolMemory, since: float, now: float) -> list[RecommendationRun]:
    """What this process has recommended itself from this moment on, or since it was blind; nothing
    if it is blind now.
    """
    later: list[RecommendationRun] = []
    for run in own.recommendations:
        if later and run.first_at > _until(later[-1]) + SEEN_WITHIN_S:
            later.clear()
        if _until(run) > since:
            later.append(replace(run, first_at=max(run.first_at, since)))
    return later if later and now <= _until(later[-1]) + SEEN_WITHIN_S else []


def _watched(
    left: PoolMemory, own: PoolMemory, later: list[RecommendationRun], since: float, now: float
) -> PoolMemory:
    """The memory as it was `left`, and since that moment what this process has seen itself; before
    it, of more work only: the other one may have been blind. What it began with it has not seen.

    What the other one recommended when it saved holds until `now`: it would have saved more, and
    may have seen as much between two looks of this process.
    """
    earlier = [
        replace(run, last_at=now if run.last_at is None else min(run.last_at, since))
        for run in left.recommendations
    ]
    for run in own.recommendations:
        known = [each.replicas for each in earlier if _until(each) >= _until(run)]
        if (
            own.since != run.last_at
            and _until(run) <= since
            and run.replicas > max(known, default=0)
        ):
            earlier.append(run)
    active_at = own.last_active_at or 0.0
    saw_work = own.active_since is not None or active_at > since
    last_active_at = left.last_active_at if left.active_since is None else since
    if saw_work or own.since < active_at > (last_active_at or 0.0):
        last_active_at = own.last_active_at
    return replace(
        left,
        since=left.since if left.recommendations else since,
        active_since=own.active_since if saw_work else None,
        last_active_at=last_active_at,
        own_zero=left.own_zero or own.own_zero,
        recommendations=tuple(sorted((*earlier, *later), key=_until)),
    )


def _until(run: RecommendationRun) -> float:
    return inf if run.last_at is None else run.last_at


def joined(left: Memory, own: Memory) -> Memory:
    """This process's memory after what was `left`; unplanned pools are as they were left."""
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
        recommendations=tuple(sorted((*runs, *later), key=_until)) if runs else own.recommendations,
        scaled_up=(*(each for each in left.scaled_up if each.at < began), *own.scaled_up),
        scaled_down=(*(each for each in left.scaled_down if each.at < began), *own.scaled_down),
        asked=present.asked,
        own_zero=present.own_zero,
        ours=present.ours,
        set_back=(*(each for each in left.set_back if each.at < began), *own.set_back),
        native=left.native if own.native is None else own.native,
    )


def _before(left: PoolMemory, began: float) -> Iterator[RecommendationRun]:
    """The recommendations before this moment (Unix seconds); one in force holds until then."""
    for run in left.recommendations:
        if run.first_at < began:
            ended = began if run.last_at is None else min(run.last_at, began)
            yield replace(run, last_at=ended)
