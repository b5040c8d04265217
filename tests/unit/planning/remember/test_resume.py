"""A memory that another process has left, and after which gaps it is used on."""

from __future__ import annotations

from typing import Any

import msgspec

from controller.model.decision import Code
from controller.model.fleet import Behavior, Fleet, Pool, ScalingRules
from controller.model.ids import PoolKey
from controller.model.memory import (
    Memory,
    PendingWrite,
    PoolMemory,
    RecommendationRun,
    SavedMemory,
    SetBack,
)
from controller.model.observation import Workload
from controller.model.readings import Fresh
from controller.planning.resume import doubted, resumed, saw_more
from support.table import tabled
from support.world import START, make_fleet, make_pool
from unit.planning.story import Story, behavior, codes, pods
from unit.planning.story import make_pool as a_pool

POOL = PoolKey("acme/research")


def with_window(window_s: int) -> Pool:
    rules = ScalingRules(stabilization_window_s=window_s)
    return make_pool(behavior=Behavior(scale_up=rules, scale_down=rules), cooldown_s=300.0)


def steady(gap_s: float, window_s: float) -> PoolMemory:
    """The memory of a pool that asked for nine until half a window before this gap, then for four;
    it was idle since then.
    """
    ended = START - gap_s - window_s / 2
    return PoolMemory(
        since=START - 9000,
        last_active_at=ended,
        recommendations=(
            RecommendationRun(replicas=9, first_at=ended - 30, last_at=ended),
            RecommendationRun(replicas=4, first_at=ended),
        ),
        own_zero=True,
    )


def after_gap(window_s: int, gap_s: float, **more: Any) -> tuple[PoolMemory, PoolMemory]:
    """The memory of a pool with such a window, and what is used of it after so long."""
    pool = with_window(window_s)
    left = steady(gap_s, window_s)
    saved = SavedMemory(memory=Memory(pools={pool.key: left}), saved_at=START - gap_s, **more)
    after = resumed(saved, make_fleet(pool), START)
    assert after.planned_at == START
    return left, after.pools[pool.key]


@tabled(("window_s", "gap_s"), [(300, 5.0), (300, 299.0), (0, 5.0), (10, 59.0)])
def test_time_that_no_process_has_watched_ends_no_window_and_no_cooldown(
    window_s: int, gap_s: float
) -> None:
    left, found = after_gap(window_s, gap_s)
    assert len(found.recommendations) == 2
    higher, open_run = found.recommendations
    assert (higher.replicas, higher.last_at) == (9, START - window_s / 2)
    assert (open_run.replicas, open_run.last_at) == (4, None)
    assert found.last_active_at == START - window_s / 2
    assert found.since == left.since


@tabled(("window_s", "gap_s"), [(300, 300.0), (0, 60.0), (10, 7200.0)])
def test_after_a_gap_as_long_as_the_window_it_begins_again_and_the_rest_stays(
    window_s: int, gap_s: float
) -> None:
    _, found = after_gap(window_s, gap_s)
    assert found.recommendations == ()
    assert found.own_zero


def test_where_more_was_seen_than_was_saved_the_window_begins_again() -> None:
    assert after_gap(300, 5.0, is_partial=True)[1].recommendations == ()


def test_a_pool_that_the_fleet_no_longer_has_is_no_error() -> None:
    memory = Memory(pools={POOL: PoolMemory(since=START - 9000)})
    assert resumed(SavedMemory(memory=memory, saved_at=START), make_fleet(), START).pools == (
        memory.pools
    )


def followed(
    *later: RecommendationRun, watched_s: float = 100.0, is_partial: bool = True, **more: Any
) -> PoolMemory:
    """What a follower that has looked on for so long, and has recommended this, goes on from; the
    leader was seen last 20 s ago, and had recommended four for an hour.
    """
    pool = with_window(300)
    run = RecommendationRun(replicas=4, first_at=START - 3600)
    left = PoolMemory(since=START - 9000, active_since=START - 3600, recommendations=(run,), ours=4)
    own = PoolMemory(
        since=START - watched_s, last_active_at=START - 9, recommendations=later, **more
    )
    saved = SavedMemory(memory=Memory(pools={pool.key: left}), saved_at=START - 20)
    saved = msgspec.structs.replace(saved, is_partial=is_partial)
    watched = Memory(pools={pool.key: own})
    return resumed(saved, make_fleet(pool), START, watched, watched_s).pools[pool.key]


SAVED = RecommendationRun(replicas=4, first_at=START - 3600, last_at=START)
"""It holds until the take-over: the leader saw as much until it ended, for all that is known."""
HIGHER = RecommendationRun(replicas=7, first_at=START - 25, last_at=START - 10)
LOW = RecommendationRun(replicas=2, first_at=START - 10)


def test_what_a_follower_has_seen_itself_is_no_gap() -> None:
    found = followed(HIGHER, LOW)
    seen = msgspec.structs.replace(HIGHER, first_at=START - 20)
    assert found.recommendations == (seen, SAVED, LOW)  # in the order in which they end
    assert (found.since, found.ours) == (START - 9000, 4)
    assert (found.active_since, found.last_active_at) == (None, START - 9)


def test_a_pool_that_a_follower_saw_stopped_by_an_intent_was_not_stopped_by_hand() -> None:
    assert followed(LOW, own_zero=True).own_zero
    assert not followed(LOW).own_zero


def test_a_follower_that_could_not_see_the_pool_has_not_watched_it() -> None:
    earlier = RecommendationRun(replicas=7, first_at=START - 90, last_at=START - 30)
    assert followed(earlier).recommendations == ()


def test_a_follower_that_cannot_see_the_pool_now_has_not_watched_it_until_now() -> None:
    blind = RecommendationRun(replicas=2, first_at=START - 18, last_at=START - 10)
    assert followed(blind, is_partial=False).recommendations == (
        RecommendationRun(replicas=4, first_at=START - 3600),
    )


def test_what_the_leader_left_lives_on_until_the_follower_could_see_the_pool() -> None:
    assert followed(LOW).recommendations == (LOW,)  # more may have been seen than was saved
    saved, low = followed(LOW, is_partial=False).recommendations
    assert (saved, low) == (SAVED, LOW)


def test_what_only_the_follower_saw_before_the_leader_was_gone_counts_where_it_was_more() -> None:
    more = RecommendationRun(replicas=7, first_at=START - 90, last_at=START - 30)
    less = RecommendationRun(replicas=3, first_at=START - 30, last_at=START - 25)
    assert followed(more, less, HIGHER, LOW).recommendations[0] == more
    assert less not in followed(more, less, HIGHER, LOW).recommendations
    # a memory begins with the size that the pool had: that was not seen
    assert more not in followed(more, HIGHER, LOW, watched_s=30.0).recommendations


def test_a_follower_that_began_after_the_leader_was_gone_has_not_seen_all() -> None:
    low = RecommendationRun(replicas=2, first_at=START - 5)
    found = followed(low, watched_s=5.0)
    assert (found.recommendations, found.since) == ((low,), START - 5)  # its window began


SAW = PoolMemory(
    since=0.0,
    last_active_at=50.0,
    recommendations=(
        RecommendationRun(replicas=9, first_at=10.0, last_at=20.0),
        RecommendationRun(replicas=4, first_at=20.0),
    ),
)
ENDED = RecommendationRun(replicas=4, first_at=20.0, last_at=60.0)


@tabled(
    ("changes", "matters"),
    [
        ({}, False),
        ({"recommendations": (SAW.recommendations[1],)}, False),
        ({"recommendations": (ENDED, RecommendationRun(replicas=2, first_at=60.0))}, False),
        ({"recommendations": (ENDED, RecommendationRun(replicas=5, first_at=60.0))}, True),
        ({"ours": 3}, False),
        ({"active_since": 60.0}, True),
        ({"last_active_at": 60.0}, True),
    ],
)
def test_what_keeps_a_size_is_more_than_was_saved(
    changes: dict[str, Any], *, matters: bool
) -> None:
    latest = msgspec.structs.replace(SAW, **changes)
    assert saw_more(Memory(pools={POOL: SAW}), Memory(pools={POOL: latest})) is matters


def restarted(story: Story, after_s: float = 5.0) -> None:
    """Another process goes on with the memory as it was saved."""
    saved = msgspec.json.decode(msgspec.json.encode(story.memory), type=Memory)
    left = SavedMemory(memory=saved, saved_at=story.now - 1.0)  # of the last tick
    story.wait(after_s)
    story.memory = resumed(left, Fleet(pools=(story.pool,)), story.now)


def test_a_restart_begins_no_window_again() -> None:
    story = Story(a_pool(), replicas=8).warmed_up(pending=8)
    story.ticks(200, pending=2)
    restarted(story)
    # eight were recommended last at START + 300, and the first tick here is at START + 506; of the
    # window, nobody has watched six seconds
    sizes = story.ticks(110, pending=2)
    assert sizes.index(2) == 94 + 6


def test_a_restart_after_a_long_quiet_time_begins_no_window_again() -> None:
    story = Story(a_pool(), replicas=8)
    story.ticks(3_000, pending=8)
    restarted(story)
    decision = story.tick(2)
    assert codes(decision)[-1] is Code.STABILIZED_DOWN
    assert decision.reasons[-1].numbers["until"] == story.now - 1 + 300


def test_a_restart_does_not_delay_an_idle_pool_that_shrinks_by_its_policy() -> None:
    slow = behavior(down_window_s=60, down=(pods(1, 30),))
    story = Story(a_pool(cooldown_s=60.0, behavior=slow), replicas=18)
    story.ticks(70, pending=18)
    story.ticks(300)
    size = story.replicas
    restarted(story)
    story.ticks(60)
    assert story.replicas <= size - 2


def quiet(**more: object) -> Memory:
    """The memory of a pool that asked for one replica for hours."""
    run = RecommendationRun(replicas=1, first_at=START - 9000)
    steady = PoolMemory(since=START - 9000, recommendations=(run,), ours=1)
    return Memory(pools={"acme/research": msgspec.structs.replace(steady, **more)})


@tabled(
    ("memory", "size"),
    [
        (quiet(), 1),
        (quiet(), 0),
        (quiet(ours=5), 5),
        (quiet(recommendations=(RecommendationRun(replicas=5, first_at=START - 60),)), 5),
        (quiet(asked=PendingWrite(before=1, after=5, at=START - 1)), 5),
        (quiet(asked=PendingWrite(before=5, after=1, at=START - 1)), 5),
        (quiet(asked=PendingWrite(before=1, after=9, at=START - 1, earlier=(5,))), 5),
        (quiet(ours=None, replaced=SetBack(ours=1, theirs=5, at=START - 60)), 5),
        (quiet(ours=None, set_back=(SetBack(ours=1, theirs=5, at=START - 60),)), 5),
    ],
)
def test_a_size_that_the_memory_knows_changes_nothing(memory: Memory, size: int) -> None:
    assert doubted(memory, {"acme/research": Workload(replicas=size)}, START) is memory


@tabled(("manager", "size"), [("agentdash", 3), ("helm", 1)])
def test_what_the_process_before_set_after_its_last_save_begins_no_contest(
    manager: str, size: int
) -> None:
    story = Story(a_pool(behavior=behavior(down_window_s=0)))
    for _ in range(3):
        story.ticks(4, pending=3)
        saved = SavedMemory(memory=story.memory, saved_at=story.now - 1.0)
        story.ticks(4, pending=1)
        assert story.replicas == 1
        # another process takes over, and there is more work again
        seen = Workload(replicas=1, current=1, sized_by=manager)
        left = resumed(saved, Fleet(pools=(story.pool,)), story.now)
        story.memory = doubted(left, {story.pool.key: seen}, story.now)
        story.tick(3, workload=Fresh(value=seen, at=story.now))
    assert story.replicas == size
