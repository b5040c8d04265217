"""Since when a pool stands as it does: kept while it does, begun anew when it differs."""

from __future__ import annotations

from msgspec.structs import replace

from controller.engine.memory import LEFT_FOR_S, Standings, to_plan_with
from controller.model.decision import Bound, Condition, Gate
from controller.model.memory import Memory, PoolMemory
from controller.model.observation import PoolObservation
from controller.model.snapshot import PoolView
from tui.scenarios import pool

BEGIN = 1_700_000_000.0
CALM = pool(pending=0, in_flight=4, ready=4, current=4, demand=4)


def decided(view: PoolView, bound: Bound, gate: Gate | None = None) -> PoolView:
    assert view.decision is not None
    return replace(view, decision=replace(view.decision, bound=bound, gate=gate))


def test_the_condition_and_the_bound_begin_each_at_its_own_time() -> None:
    standings = Standings()
    assert standings.of(CALM, BEGIN).since == BEGIN
    at_min = standings.of(decided(CALM, Bound.MIN), BEGIN + 60)
    assert (at_min.condition, at_min.since, at_min.bound_since) == (
        Condition.OK,
        BEGIN,
        BEGIN + 60,
    )
    held = standings.of(decided(CALM, Bound.MIN, Gate.ROOM), BEGIN + 90)
    assert (held.condition, held.since, held.bound_since) == (
        Condition.HELD,
        BEGIN + 90,
        BEGIN + 90,
    )
    assert standings.of(decided(CALM, Bound.MIN, Gate.ROOM), BEGIN + 99) is held


def test_a_pool_without_a_decision_has_a_condition_alone() -> None:
    standing = Standings().of(replace(CALM, decision=None), BEGIN)
    assert (standing.since, standing.bound, standing.bound_since) == (BEGIN, None, None)


def test_a_clock_that_is_set_leaves_ages_as_they_are() -> None:
    standings = Standings()
    standings.of(CALM, BEGIN)
    standings.shift(-3600.0)
    moved = standings.of(CALM, BEGIN - 3590)
    assert (moved.since, moved.bound_since) == (BEGIN - 3600, BEGIN - 3600)


def test_what_is_saved_is_gone_on_from_and_no_part_of_the_plan() -> None:
    first, second = Standings(), Standings()
    before = first.of(CALM, BEGIN)
    saved = first.in_memory(Memory(pools={CALM.key: PoolMemory(since=BEGIN)}))
    assert saved.pools[CALM.key].standing == before
    assert to_plan_with(saved).pools == {CALM.key: PoolMemory(since=BEGIN)}
    second.begin_with(saved, BEGIN + 30)
    assert second.of(CALM, BEGIN + 40) == before


def test_a_pool_that_is_blind_for_the_first_readings_stands_again_as_it_did() -> None:
    first, second = Standings(), Standings()
    before = first.of(CALM, BEGIN)
    saved = first.in_memory(Memory(pools={CALM.key: PoolMemory(since=BEGIN)}))
    second.begin_with(saved, BEGIN + 30)
    nothing = replace(CALM, observation=PoolObservation(), decision=None)
    assert second.of(nothing, BEGIN + 31).since == BEGIN + 31
    assert second.of(CALM, BEGIN + 32) == before
    assert second.of(nothing, BEGIN + 33).since == BEGIN + 33
    assert second.of(CALM, BEGIN + 30 + LEFT_FOR_S + 1).since == BEGIN + 30 + LEFT_FOR_S + 1


def test_a_time_that_is_still_to_come_is_not_gone_on_from() -> None:
    first, second = Standings(), Standings()
    first.of(CALM, BEGIN)
    second.begin_with(
        first.in_memory(Memory(pools={CALM.key: PoolMemory(since=BEGIN)})), BEGIN - 60
    )
    assert second.of(CALM, BEGIN - 60).since == BEGIN - 60
