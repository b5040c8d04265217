"""A memory that another process has left, taken up sooner or later."""

from __future__ import annotations

import pytest

from controller.model.fleet import Behavior, ScalingRules
from controller.model.memory import Memory, PoolMemory, RecommendationRun
from controller.planning.remember.resume import resumed
from support.world import START, make_fleet, make_pool


def left(window_s: int, gap_s: float) -> tuple[Memory, Memory]:
    """The memory of a pool with such a window, and what is left of it after so long."""
    rules = ScalingRules(stabilization_window_s=window_s)
    pool = make_pool(behavior=Behavior(scale_up=rules, scale_down=rules))
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
    assert after == memory


@pytest.mark.parametrize(("window_s", "gap_s"), [(300, 300.0), (0, 60.0), (10, 7200.0)])
def test_after_a_gap_as_long_as_the_window_it_begins_anew_and_the_rest_stays(
    window_s: int, gap_s: float
) -> None:
    _, after = left(window_s, gap_s)
    [pool] = after.pools.values()
    assert pool.recommendations == ()
    assert pool.own_zero


def test_a_pool_that_the_fleet_no_longer_has_is_no_fault() -> None:
    memory, _ = left(300, 5.0)
    assert resumed(memory, make_fleet(), START) == memory
