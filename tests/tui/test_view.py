"""Snapshots as rows: states, pressure, totals, what is old."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from agentdash.tui.glyphs import UNICODE
from agentdash.tui.stage import Stage
from agentdash.tui.view import Scene, is_newer, pool_row, pool_rows, totals, unready_pods
from controller.model.decision import Bound, Gate
from controller.model.observation import PodPhase
from controller.model.outcome import Outcome, OutcomeKind
from controller.model.snapshot import PoolView
from tui import scenarios


@pytest.mark.parametrize(
    ("view", "word"),
    [
        (scenarios.blind(), "blind"),
        (scenarios.crowded(), "crash"),
        (scenarios.refused(), "error"),
        (scenarios.old_news(), "stale"),
        (scenarios.pool(demand=7, following=4, gate=Gate.FREEZE), "held"),
        (scenarios.pool(demand=7, target=5, bound=Bound.MAX), "capped"),
        (scenarios.pool(demand=7, target=4), "ok"),
        (scenarios.pool(demand=7), "up"),
        (scenarios.pool(demand=2), "down"),
        (scenarios.pool(demand=4), "ok"),
        (scenarios.asleep(), "zero"),
    ],
)
def test_the_state_is_the_worst_thing_that_can_be_said(view: PoolView, word: str) -> None:
    assert pool_row(view).state.word == word


def test_a_pool_whose_replicas_still_start_is_on_its_way_up() -> None:
    assert pool_row(scenarios.pool(ready=2, current=4, demand=4)).state.word == "up"


def test_a_conflict_is_no_error_since_the_next_tick_settles_it() -> None:
    view = scenarios.pool(demand=4, outcome=Outcome(kind=OutcomeKind.CONFLICT, status=409))
    assert pool_row(view).state.word == "ok"


def test_pressure_is_demand_per_ready_replica() -> None:
    assert pool_row(scenarios.pool(demand=8, ready=4)).pressure == 2.0
    assert pool_row(scenarios.pool(demand=3, ready=0, current=0)).pressure == 3.0


def test_unknown_demand_has_no_pressure_rather_than_none_at_all() -> None:
    assert pool_row(scenarios.blind()).pressure is None


def test_totals_leave_out_what_is_not_known() -> None:
    sums = totals(pool_rows(scenarios.calm()))
    assert sums.pools == 9
    assert sums.blind == 1
    assert sums.at_zero == 1
    known = [view for view in scenarios.pools() if view.key != "globex/canary"]
    assert sums.queued == totals(tuple(map(pool_row, known))).queued


def test_a_queue_that_grew_since_the_last_snapshot_points_up() -> None:
    before, after = scenarios.many(2, 1, changed=1), scenarios.many(2, 2, changed=1)
    first, second = pool_rows(after, before)
    assert (first.trend, second.trend) == (1, 0)


def test_a_snapshot_is_newer_by_process_and_then_by_tick() -> None:
    shown = scenarios.calm(10)
    assert is_newer(scenarios.calm(11), shown)
    assert not is_newer(scenarios.calm(10), shown)
    assert not is_newer(scenarios.calm(9), shown)
    assert is_newer(replace(scenarios.calm(1), epoch=shown.epoch + 5), shown)
    assert not is_newer(replace(scenarios.calm(99), epoch=shown.epoch - 5), shown)


def test_news_is_old_after_two_intervals() -> None:
    def scene(age: float) -> Scene:
        return Scene("t", scenarios.NOW, scenarios.NOW, scenarios.calm(at=scenarios.NOW - age))

    assert not scene(1.9).stale
    assert scene(2.1).stale
    assert not scene(-3.0).stale


def test_pods_that_wait_come_worst_first() -> None:
    row = pool_row(scenarios.crowded())
    phases = [pod.phase for pod in unready_pods(row.pods)]
    assert phases == [PodPhase.CRASHING, PodPhase.UNSCHEDULED, PodPhase.STARTING]


def test_the_gate_takes_the_bounds_place_where_it_holds() -> None:
    assert pool_row(scenarios.pool(gate=Gate.NOT_BECOMING_READY)).bound == "not becoming ready"
    assert pool_row(scenarios.pool()).bound == "demand"


def test_a_stage_refuses_what_is_older_and_counts_what_it_holds_back() -> None:
    stage = Stage("t", scenarios.NOW, UNICODE)
    assert stage.accept(scenarios.calm(5))
    assert not stage.accept(scenarios.calm(4))
    stage.toggle_freeze()
    assert stage.accept(scenarios.calm(6))
    held = stage.refresh(scenarios.NOW, None)
    assert (held.held_back, held.snapshot) == (1, scenarios.calm(5))
    stage.toggle_freeze()
    assert stage.refresh(scenarios.NOW, None).snapshot == scenarios.calm(6)


def test_a_view_frozen_before_the_first_snapshot_still_shows_it() -> None:
    stage = Stage("t", scenarios.NOW, UNICODE)
    stage.toggle_freeze()
    stage.accept(scenarios.calm(5))
    assert stage.scene.snapshot == scenarios.calm(5)
