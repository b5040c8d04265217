"""Snapshots as rows: states, pressure, totals, trends, and rows that are used again."""

from __future__ import annotations

import dataclasses
import re

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agentdash.tui.figures import UNICODE
from agentdash.tui.header import header_lines
from agentdash.tui.view import (
    Frame,
    PoolRow,
    PoolState,
    Totals,
    is_newer,
    pool_row,
    pool_rows,
    totals,
)
from agentdash.tui.view_state import ViewState
from controller.model.decision import Bound, Code, Gate, Outcome, OutcomeKind, Reason
from controller.model.readings import Stale, Why, last_known
from controller.model.settings import LeaseView
from controller.model.snapshot import History, PoolView, Role, Snapshot
from support.table import tabled
from tui import scenarios


def with_reason(view: PoolView, code: Code) -> PoolView:
    assert view.decision is not None
    reasons = (*view.decision.reasons, Reason(code=code, value=4))
    return replace(view, decision=replace(view.decision, reasons=reasons))


@tabled(
    ("view", "word"),
    [
        (scenarios.blind_pool(), "blind"),
        (scenarios.over_max(), "crash"),
        (scenarios.write_refused(), "error"),
        (scenarios.stale_queue(), "stale"),
        (scenarios.pool(demand=7, next_replicas=4, gate=Gate.FREEZE), "frozen"),
        (scenarios.pool(demand=7, next_replicas=4, gate=Gate.ROOM), "held"),
        (scenarios.pool(ready=4, current=4, demand=1, next_replicas=4, gate=Gate.BUSY), "down"),
        (scenarios.pool(ready=4, current=4, demand=1, next_replicas=3, gate=Gate.BUSY), "down"),
        (with_reason(scenarios.pool(demand=4), Code.PINNED), "pinned"),
        (with_reason(scenarios.pool(demand=7), Code.PINNED), "up"),
        (scenarios.pool(demand=7, target=5, bound=Bound.MAX), "capped"),
        (scenarios.pool(demand=7, target=4), "ok"),
        (scenarios.pool(demand=7), "up"),
        (scenarios.pool(demand=2), "down"),
        (scenarios.pool(demand=4), "ok"),
        (scenarios.at_zero(), "zero"),
    ],
)
def test_the_worst_state_is_shown(view: PoolView, word: str) -> None:
    assert pool_row(view).state.word == word


def test_a_worse_state_has_a_higher_rank() -> None:
    ranks = [state.rank for state in PoolState]
    assert ranks == sorted(ranks, reverse=True)


def test_a_pool_with_starting_replicas_is_up() -> None:
    assert pool_row(scenarios.pool(ready=2, current=4, demand=4)).state.word == "up"


def test_a_conflict_is_no_error_because_the_next_tick_decides_again() -> None:
    view = scenarios.pool(demand=4, outcome=Outcome(kind=OutcomeKind.CONFLICT, status=409))
    assert pool_row(view).state.word == "ok"


def test_pressure_is_demand_per_ready_replica() -> None:
    assert pool_row(scenarios.pool(demand=8, ready=4)).pressure == 2.0
    assert pool_row(scenarios.pool(demand=3, ready=0, current=0)).pressure == 3.0


def test_with_unknown_demand_the_pressure_is_unknown() -> None:
    assert pool_row(scenarios.blind_pool()).pressure is None


def test_totals_count_only_what_is_known() -> None:
    sums = totals(pool_rows(scenarios.mixed_fleet()))
    assert sums.pools == 9
    assert sums.blind == 1
    assert sums.at_zero == 1
    known = [view for view in scenarios.pools() if view.key != "globex/canary"]
    assert sums.pending == totals(tuple(map(pool_row, known))).pending


def test_a_queue_that_grew_since_the_snapshot_before_points_up() -> None:
    before, after = scenarios.many_pools(2, 1, changed=1), scenarios.many_pools(2, 2, changed=1)
    first, second = pool_rows(after, pool_rows(before))
    assert (first.trend, second.trend) == (1, 0)


def test_a_snapshot_is_newer_if_its_process_or_its_tick_is_later() -> None:
    shown = scenarios.mixed_fleet(10)
    assert is_newer(scenarios.mixed_fleet(11), shown)
    assert not is_newer(scenarios.mixed_fleet(10), shown)
    assert not is_newer(scenarios.mixed_fleet(9), shown)
    assert is_newer(replace(scenarios.mixed_fleet(1), epoch=shown.epoch + 5), shown)
    assert not is_newer(replace(scenarios.mixed_fleet(99), epoch=shown.epoch - 5), shown)


def test_a_snapshot_is_stale_after_two_intervals() -> None:
    def frame(age: float) -> Frame:
        return Frame(scenarios.NOW, scenarios.NOW, scenarios.mixed_fleet(at=scenarios.NOW - age))

    assert not frame(1.9).stale
    assert frame(2.1).stale
    assert not frame(-3.0).stale


def test_a_gate_is_shown_instead_of_the_bound() -> None:
    assert pool_row(scenarios.pool(gate=Gate.NOT_BECOMING_READY)).bound == "not becoming ready"
    assert pool_row(scenarios.pool()).bound == "demand"


def test_an_older_snapshot_is_ignored_and_a_still_picture_counts_the_newer_ones() -> None:
    state = ViewState(scenarios.NOW, UNICODE)
    assert state.accept(scenarios.mixed_fleet(5))
    assert not state.accept(scenarios.mixed_fleet(4))
    state.toggle_still()
    assert state.accept(scenarios.mixed_fleet(6))
    frozen = state.refresh(scenarios.NOW, None)
    assert (frozen.waiting, frozen.snapshot) == (1, scenarios.mixed_fleet(5))
    state.toggle_still()
    assert state.refresh(scenarios.NOW, None).snapshot == scenarios.mixed_fleet(6)


def test_a_picture_kept_still_before_the_first_snapshot_still_shows_it() -> None:
    state = ViewState(scenarios.NOW, UNICODE)
    state.toggle_still()
    state.accept(scenarios.mixed_fleet(5))
    assert state.frame.snapshot == scenarios.mixed_fleet(5)


def test_the_row_of_an_unchanged_pool_is_used_again() -> None:
    before, after = scenarios.many_pools(4, 1), scenarios.many_pools(4, 2, changed=4)
    shown = pool_rows(before)
    rows = pool_rows(replace(after, pools=(after.pools[0], *before.pools[1:])), shown)
    assert [row is old for row, old in zip(rows, shown, strict=True)] == [False, True, True, True]
    assert rows[0] == pool_row(after.pools[0], shown[0])


def test_without_any_change_the_rows_are_the_same_object() -> None:
    first = scenarios.mixed_fleet(1)
    shown = pool_rows(first)
    same = replace(first, sequence=2, pools=tuple(row.view for row in shown))
    assert pool_rows(same, shown) is shown
    assert totals(shown, shown, Totals(pools=7)) == Totals(pools=7)


def test_a_pool_whose_history_goes_on_gets_a_new_row_and_the_others_keep_theirs() -> None:
    first = scenarios.mixed_fleet(1)
    shown = pool_rows(first)
    histories = {**first.histories, shown[3].key: History()}
    after = pool_rows(replace(first, sequence=2, histories=histories), shown)
    assert [row is other for row, other in zip(after, shown, strict=True)] == [
        number != 3 for number in range(len(shown))
    ]
    assert after[3].history == History()


def test_an_unchanged_pool_loses_its_trend() -> None:
    before, after = scenarios.many_pools(1, 1, changed=1), scenarios.many_pools(1, 2, changed=1)
    grown = pool_rows(after, pool_rows(before))
    steady = pool_rows(replace(after, sequence=3), grown)
    assert (grown[0].trend, steady[0].trend) == (1, 0)
    assert pool_rows(replace(after, sequence=4), steady) is steady


def test_a_row_is_used_again_when_its_place_changes() -> None:
    snapshot = scenarios.many_pools(3)
    shown = pool_rows(snapshot)
    first, second, third = snapshot.pools
    moved = pool_rows(replace(snapshot, pools=(third, scenarios.blind_pool(), first)), shown)
    assert moved[0] is shown[2]
    assert moved[2] is shown[0]
    assert pool_rows(replace(snapshot, pools=(first, second)), shown) == shown[:2]


views = st.lists(
    st.sampled_from([*scenarios.pools(), *scenarios.many_pools(3).pools]),
    max_size=8,
    unique_by=lambda view: view.key,
)


@given(st.lists(views, min_size=1, max_size=5))
def test_rows_and_totals_are_equal_with_and_without_the_rows_before(
    history: list[list[PoolView]],
) -> None:
    """The trend is left out: it is the only value that depends on the snapshot before."""
    rows, sums = pool_rows(scenarios.empty_fleet()), Totals()
    for pools in history:
        snapshot = replace(scenarios.empty_fleet(), pools=tuple(pools))
        shown, shown_sums = rows, sums
        rows = pool_rows(snapshot, shown)
        sums = totals(rows, shown, shown_sums)
        assert tuple(map(without_trend, rows)) == tuple(map(without_trend, pool_rows(snapshot)))
        assert sums == totals(rows)


def without_trend(row: PoolRow) -> PoolRow:
    return dataclasses.replace(row, trend=0)


def header_text(snapshot: Snapshot, now: float = scenarios.NOW) -> str:
    rows = pool_rows(snapshot)
    frame = Frame(now, now, snapshot=snapshot, rows=rows, totals=totals(rows))
    return "\n".join(
        "".join(span.text for span in row.spans) for row in header_lines(frame, 160, 2)
    )


def test_the_header_says_what_is_not_known_instead_of_a_number() -> None:
    blind = scenarios.blind_pool()
    assert "wanted ?" in header_text(replace(scenarios.mixed_fleet(), pools=(blind,)))
    shown = header_text(replace(scenarios.mixed_fleet(), pools=(blind, scenarios.pool())))
    assert "wanted 7+?" in shown
    assert "pods 10/7+?" in shown
    assert "queue 3+?" in shown


def test_the_header_marks_sums_of_values_that_are_not_fresh() -> None:
    view = scenarios.pool()
    workload = last_known(view.observation.workload)
    assert workload is not None
    old = Stale(value=workload, at=scenarios.NOW - 9, why=Why.TIMED_OUT)
    frozen = replace(view, observation=replace(view.observation, workload=old))
    shown = header_text(replace(scenarios.mixed_fleet(), pools=(frozen, view)))
    assert "pods 8~/14~" in shown
    assert "wanted 14 " in shown


def test_from_the_first_stale_second_on_every_sum_of_the_header_is_marked() -> None:
    snapshot = replace(scenarios.mixed_fleet(at=scenarios.NOW), findings=())
    fresh, stale = header_text(snapshot), header_text(snapshot, scenarios.NOW + 2.1)
    assert "~" not in fresh.replace("402~", "").splitlines()[0]
    sums = re.findall(r"(?:pods|wanted|queue|starting|stuck|crashing|in flight) [^ ]*", stale)
    assert len(sums) == 7
    assert all(each.endswith("~") for each in sums)
    assert "no alarm~" in stale


def test_the_header_of_a_follower_names_the_process_that_leads() -> None:
    lease = LeaseView(name="Lease default/agentdash", holder="pod-7/1_9f3a2b1c")
    following = replace(scenarios.mixed_fleet(), role=Role.FOLLOWER, lease=lease)
    assert "[RO] FOLLOWER of pod-7/1_9f3a2b1c " in header_text(following)
    alone = replace(following, lease=replace(lease, holder=""))
    assert "[RO] FOLLOWER   age" in header_text(alone)


def test_a_process_that_cannot_keep_its_lease_does_not_follow_itself() -> None:
    lease = LeaseView(name="the lease", holder="pod-7/1_9f3a2b1c", is_ours=True, problem="away")
    lost = replace(scenarios.mixed_fleet(), role=Role.FOLLOWER, lease=lease)
    assert "[RO] FOLLOWER: lease not kept " in header_text(lost)
