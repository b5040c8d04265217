"""The memory of an earlier process that could be read only while the next one already ran."""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.ids import PoolKey
from controller.model.memory import Memory, PoolMemory, RecommendationRun, ScaleChange
from controller.planning.resume import joined

KEY = PoolKey("acme/research")
BEGAN = 1000.0
LEFT = PoolMemory(
    since=500.0,
    active_since=600.0,
    recommendations=(
        RecommendationRun(replicas=5, first_at=500.0, last_at=900.0),
        RecommendationRun(replicas=1, first_at=900.0),
    ),
    scaled_up=(ScaleChange(change=4, at=600.0),),
    ours=5,
)
BLIND = PoolMemory(
    since=BEGAN,
    last_active_at=BEGAN,
    recommendations=(RecommendationRun(replicas=5, first_at=BEGAN, last_at=BEGAN),),
)


def of(left: PoolMemory, own: PoolMemory) -> PoolMemory:
    found = joined(Memory(pools={KEY: left}), Memory(pools={KEY: own}, planned_at=1100.0))
    assert found.planned_at == 1100.0
    return found.pools[KEY]


def test_the_window_goes_on_as_if_the_size_at_the_start_had_not_been_asked_for() -> None:
    found = of(LEFT, BLIND)
    assert found.since == 500.0
    assert [(run.replicas, run.last_at) for run in found.recommendations] == [
        (5, 900.0),
        (1, BEGAN),
    ]
    assert (found.active_since, found.last_active_at) == (600.0, None)
    assert (found.scaled_up, found.ours) == (LEFT.scaled_up, 5)


def test_what_was_asked_for_and_written_meanwhile_comes_after_it() -> None:
    grown = replace(
        BLIND,
        recommendations=(*BLIND.recommendations, RecommendationRun(replicas=9, first_at=1050.0)),
        scaled_up=(ScaleChange(change=4, at=1051.0),),
        active_since=1050.0,
        ours=9,
    )
    found = of(LEFT, grown)
    assert [run.replicas for run in found.recommendations] == [5, 1, 9]
    assert [each.at for each in found.scaled_up] == [600.0, 1051.0]
    assert (found.active_since, found.ours) == (1050.0, 9)


def test_a_copy_of_ones_own_memory_adds_nothing_twice() -> None:
    later = replace(LEFT, scaled_down=(ScaleChange(change=4, at=1200.0),), ours=1)
    assert of(LEFT, later) == later


def test_a_memory_without_a_window_does_not_make_one_that_has_passed() -> None:
    assert of(replace(LEFT, recommendations=()), BLIND).since == BEGAN


def test_pools_that_only_one_of_them_knows_stay() -> None:
    other = PoolKey("acme/browser")
    found = joined(Memory(pools={KEY: LEFT}), Memory(pools={other: BLIND}))
    assert found.pools == {KEY: LEFT, other: BLIND}
