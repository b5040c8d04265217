"""A memory that another process has left, and after which gaps it is used on."""

from __future__ import annotations

import msgspec
import pytest

from controller.model.decision import Code
from controller.model.fleet import Behavior, Fleet, Pool, ScalingRules
from controller.model.memory import Memory, PendingWrite, PoolMemory, RecommendationRun, SetBack
from controller.planning.remember.resume import doubted, resumed
from support.world import START, make_fleet, make_pool
from unit.planning.story import Story, behavior, codes, pods
from unit.planning.story import make_pool as a_pool


def with_window(window_s: int) -> Pool:
    rules = ScalingRules(stabilization_window_s=window_s)
    return make_pool(behavior=Behavior(scale_up=rules, scale_down=rules))


def left(window_s: int, gap_s: float) -> tuple[Memory, Memory]:
    """The memory of a pool with such a window, and what is used of it after so long."""
    pool = with_window(window_s)
    run = RecommendationRun(replicas=4, first_at=START - gap_s - 30, last_at=START - gap_s)
    memory = Memory(
        pools={
            pool.key: PoolMemory(
                since=START - 9000,
                last_active_at=START - gap_s,
                recommendations=(run,),
                own_zero=True,
            )
        }
    )
    return memory, resumed(memory, make_fleet(pool), START)


@pytest.mark.parametrize(("window_s", "gap_s"), [(300, 5.0), (300, 299.0), (0, 5.0), (10, 59.0)])
def test_after_a_restart_nothing_is_forgotten(window_s: int, gap_s: float) -> None:
    memory, after = left(window_s, gap_s)
    assert after.pools == memory.pools


@pytest.mark.parametrize(("window_s", "gap_s"), [(300, 300.0), (0, 60.0), (10, 7200.0)])
def test_after_a_gap_as_long_as_the_window_it_begins_again_and_the_rest_stays(
    window_s: int, gap_s: float
) -> None:
    _, after = left(window_s, gap_s)
    [pool] = after.pools.values()
    assert pool.recommendations == ()
    assert pool.own_zero


def test_a_pool_that_the_fleet_no_longer_has_is_no_error() -> None:
    memory, _ = left(300, 5.0)
    assert resumed(memory, make_fleet(), START).pools == memory.pools


def test_what_is_still_so_counts_until_the_memory_is_used_again() -> None:
    """Nothing happens for an hour, so nothing is saved for an hour; then the process restarts."""
    pool = with_window(300)
    run = RecommendationRun(replicas=4, first_at=START - 3600)
    steady = PoolMemory(since=START - 9000, active_since=START - 3600, recommendations=(run,))
    memory = Memory(pools={pool.key: steady}, planned_at=START - 3600)
    after = resumed(memory, make_fleet(pool), START)
    assert after.planned_at == START
    assert after.pools == memory.pools


@pytest.mark.parametrize(("gap_s", "kept"), [(599.0, True), (600.0, False)])
def test_where_an_older_recommendation_had_to_end_the_process_was_gone_by_then(
    gap_s: float, kept: bool
) -> None:
    """A recommendation of 9 would have left the window of 300 s: then the memory would have been
    saved. It was not, so the process ended before, and the gap counts from that time.
    """
    pool = with_window(300)
    older = RecommendationRun(replicas=9, first_at=START - 50, last_at=START - 1)
    memory = Memory(
        pools={
            pool.key: PoolMemory(
                since=START - 9000,
                active_since=START - 900,
                recommendations=(older, RecommendationRun(replicas=4, first_at=START)),
            )
        },
        planned_at=START,
    )
    # the recommendation of 9 leaves its window at START + 299
    after = resumed(memory, make_fleet(pool), START + gap_s - 1)
    [found] = after.pools.values()
    assert bool(found.recommendations) is kept


def restarted(story: Story, after_s: float = 5.0) -> None:
    """Another process goes on with the memory as it was saved."""
    saved = msgspec.json.decode(msgspec.json.encode(story.memory), type=Memory)
    story.wait(after_s)
    story.memory = resumed(saved, Fleet(pools=(story.pool,)), story.now)


def test_a_restart_begins_no_window_again() -> None:
    story = Story(a_pool(), replicas=8).warmed_up(pending=8)
    story.ticks(200, pending=2)
    restarted(story)
    # eight were recommended last at START + 300, and the first tick here is at START + 506
    sizes = story.ticks(100, pending=2)
    assert sizes.index(2) == 94


def test_a_restart_after_a_long_quiet_time_begins_no_window_again() -> None:
    story = Story(a_pool(), replicas=8)
    story.ticks(3_000, pending=8)
    restarted(story)
    decision = story.tick(2)
    assert codes(decision)[-1] is Code.STABILIZED_DOWN
    assert decision.reasons[-1].numbers["until"] == story.now - 1 + 300


def test_a_restart_forgets_nothing_of_a_pool_that_is_inactive_above_zero() -> None:
    story = Story(a_pool(min=1, activation=50, target=10, cooldown_s=60.0), replicas=4)
    story.ticks(1_000, pending=40)
    before = story.memory.pools
    restarted(story)
    assert story.memory.pools == before


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


def test_a_pool_larger_than_its_memory_knows_begins_its_window_again() -> None:
    memory = doubted(quiet(), {"acme/research": 5}, START)
    [found] = memory.pools.values()
    assert (found.since, found.ours) == (START, None)
    assert found.recommendations == quiet().pools["acme/research"].recommendations


@pytest.mark.parametrize(
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
    assert doubted(memory, {"acme/research": size}, START) is memory


def test_a_pool_whose_deployment_is_not_known_keeps_its_memory() -> None:
    memory = quiet()
    assert doubted(memory, {}, START) is memory
