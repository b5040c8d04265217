"""Rule native by itself: what it never advises, what it learns, and that its state can be saved."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.fleet import NativeCosts
from controller.model.memory import NativeState
from controller.planning.demand.native import (
    CALM,
    PROMPT,
    THRIFTY,
    Advice,
    NativeInput,
    native,
)

SETTINGS = (PROMPT, THRIFTY, CALM)
READY_S = 19.0


def seen(
    pending: int = 0,
    in_flight: int = 0,
    *,
    arrivals: int = 0,
    completions: int = 0,
    replicas: int = 0,
    slots: int = 1,
) -> NativeInput:
    return NativeInput(pending, in_flight, arrivals, completions, replicas, slots, READY_S)


def lived(
    setting: NativeCosts, *, every_s: float, service_s: float, hours: float = 1.0
) -> tuple[NativeState, Advice, float]:
    """A pool with two arrivals at once at such an interval, each worked on at once for so long."""
    state: NativeState | None = None
    advice = Advice(0, 0, 0, 0, 0.0)
    now = 0.0
    while now < hours * 3600:
        now += 1.0
        arrived = 2 * int(now / every_s)
        done = 2 * int(max(now - service_s, 0.0) / every_s)
        known = seen(
            in_flight=arrived - done,
            arrivals=arrived,
            completions=done,
            replicas=max(advice.replicas, arrived - done),
        )
        advice, state = native(known, state, setting, now)
    assert state is not None
    return state, advice, now


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[float, int, int, int]]:
    """Seconds passed, arrivals, starts of work and completions, one row a tick."""
    counts = st.integers(0, 30)
    step = st.tuples(st.floats(0.0, 4000.0), counts, counts, counts)
    return draw(st.lists(step, max_size=25))


@given(histories(), st.integers(1, 8), st.sampled_from(SETTINGS), st.integers(0, 50))
@settings(deadline=None)
def test_work_in_flight_is_always_covered_and_any_message_has_a_replica(
    history: list[tuple[float, int, int, int]],
    slots: int,
    setting: NativeCosts,
    more: int,
) -> None:
    now, pending, in_flight, arrivals, completions, replicas = 0.0, 0, 0, 0, 0, 0
    state: NativeState | None = None
    for passed_s, arrived, started, done in history:
        now += passed_s
        done = min(done, in_flight)  # noqa: PLW2901 - no more than there are can be done
        started = min(started, pending + arrived)  # noqa: PLW2901 - nor started
        arrivals, completions = arrivals + arrived, completions + done
        pending, in_flight = pending + arrived - started, in_flight - done + started
        known = NativeInput(pending, in_flight, arrivals, completions, replicas, slots, READY_S)
        burdened, _ = native(known._replace(pending=pending + more), state, setting, now)
        advice, state = native(known, state, setting, now)
        assert advice.replicas >= -(-in_flight // slots)
        assert advice.replicas >= (1 if pending + in_flight else 0)
        assert 0 <= advice.base <= advice.start <= advice.keep
        assert burdened.replicas >= advice.replicas, "more pending, fewer replicas"
        copy = msgspec.json.decode(msgspec.json.encode(state), type=NativeState)
        assert copy == state
        replicas = advice.replicas


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_pool_that_was_never_used_asks_for_nothing(setting: NativeCosts) -> None:
    advice, state = native(seen(), None, setting, 0.0)
    assert advice.replicas == 0
    assert native(seen(), state, setting, 5000.0)[0].replicas == 0


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_burst_of_long_tasks_into_an_empty_pool_is_asked_for_in_one_tick(
    setting: NativeCosts,
) -> None:
    _, state = native(seen(), None, setting, 0.0)
    assert native(seen(20, arrivals=20), state, setting, 1.0)[0].replicas >= 20


def test_a_backlog_that_is_gone_before_a_replica_is_ready_asks_for_few() -> None:
    state, _, now = lived(THRIFTY, every_s=2.0, service_s=1.0)
    arrivals, completions = state.arrivals, state.completions
    known = seen(5, 1, arrivals=arrivals + 5, completions=completions, replicas=2)
    advice, _ = native(known, state, THRIFTY, now + 1)
    assert advice.replicas < 50


def test_a_busier_pool_has_spares_and_a_quiet_one_has_none() -> None:
    costs = replace(PROMPT, late_share=None)
    _, busy, _ = lived(costs, every_s=33.0, service_s=30.0)
    _, quiet, _ = lived(costs, every_s=2500.0, service_s=30.0)
    assert busy.start > busy.base
    assert quiet.start == quiet.base


def test_a_higher_cost_of_waiting_never_starts_or_keeps_fewer() -> None:
    state, _, now = lived(PROMPT, every_s=15.0, service_s=60.0)
    known = seen(1, 4, arrivals=state.arrivals + 1, completions=state.completions, replicas=5)
    costs = (0.5, 2.5, 10.0, 50.0, 250.0)
    advices = [
        native(known, state, NativeCosts(start_wait_cost=cost, keep_wait_cost=2 * cost), now)[0]
        for cost in costs
    ]
    assert [advice.start for advice in advices] == sorted(advice.start for advice in advices)
    assert [advice.keep for advice in advices] == sorted(advice.keep for advice in advices)
    assert advices[-1].start > advices[0].start


def test_more_pending_never_asks_for_fewer_where_tasks_are_short() -> None:
    state, _, now = lived(PROMPT, every_s=0.5, service_s=2.0)
    arrivals, completions = state.arrivals, state.completions
    wanted = [
        native(
            seen(pending, 4, arrivals=arrivals, completions=completions, replicas=5),
            state,
            PROMPT,
            now + 1,
        )[0]
        for pending in range(0, 400, 7)
    ]
    assert [advice.start for advice in wanted] == sorted(advice.start for advice in wanted)
    assert [advice.keep for advice in wanted] == sorted(advice.keep for advice in wanted)


def test_a_replica_that_would_be_started_again_stays_even_where_waiting_is_free() -> None:
    free = NativeCosts(start_wait_cost=0.0, keep_wait_cost=0.0)
    _, often, _ = lived(free, every_s=7.0, service_s=1.5)
    _, seldom, _ = lived(free, every_s=350.0, service_s=1.5)
    assert often.base == 0 < often.keep
    assert seldom.keep == seldom.base


def test_a_pool_with_bursts_learns_not_to_trust_the_slow_mean() -> None:
    _, state = native(seen(), None, PROMPT, 0.0)
    arrivals, now = 0, 0.0
    for _ in range(12):
        for _ in range(100):
            now, arrivals = now + 1.0, arrivals + 2
            known = seen(arrivals=arrivals, completions=arrivals, replicas=1)
            _, state = native(known, state, PROMPT, now)
        now += 3600.0
    rate = state.rate
    assert rate.fast_observed / rate.fast_predicted > 0.75
    assert rate.slow_observed / rate.slow_predicted < 0.25


def test_idle_replicas_go_when_the_arrivals_stop() -> None:
    state, advice, now = lived(PROMPT, every_s=10.0, service_s=30.0)
    assert advice.replicas > 0
    replicas = advice.replicas
    done = seen(arrivals=state.arrivals, completions=state.arrivals)
    for _ in range(2000):
        now += 5.0
        advice, state = native(done._replace(replicas=replicas), state, PROMPT, now)
        replicas = advice.replicas
    assert replicas == 0


def test_a_surplus_replica_goes_only_after_the_whole_hold() -> None:
    setting = NativeCosts(start_wait_cost=0.0, keep_wait_cost=0.0, hold_s=60.0)
    _, state = native(seen(0, 1, arrivals=1, replicas=1), None, setting, 0.0)
    idle = seen(arrivals=1, completions=1, replicas=1)
    held: list[int] = []
    for now in (10.0, 30.0, 59.0, 61.0):
        advice, state = native(idle, state, setting, now)
        held.append(advice.replicas)
    assert held == [1, 1, 1, 0]


def test_a_counter_that_starts_again_is_no_arrival() -> None:
    state, _, now = lived(PROMPT, every_s=10.0, service_s=30.0)
    _, after = native(seen(arrivals=3, completions=2, replicas=1), state, PROMPT, now + 1)
    assert after.rate.fast == pytest.approx(state.rate.fast, rel=0.05)
    assert after.arrivals == 3


def test_a_clock_that_goes_back_changes_nothing_learned() -> None:
    state, _, now = lived(PROMPT, every_s=10.0, service_s=30.0)
    known = seen(arrivals=state.arrivals, completions=state.completions)
    _, after = native(known, state, PROMPT, now - 500.0)
    assert after.at == state.at
    assert after.rate == state.rate


def test_the_state_stays_small() -> None:
    state, _, _ = lived(PROMPT, every_s=3.0, service_s=30.0)
    assert len(state.forecasts) <= 22
    assert len(msgspec.json.encode(state)) < 4096


def test_a_backlog_at_a_cold_start_is_not_taken_for_the_usual_move() -> None:
    now, state = 0.0, None
    advice, state = native(seen(), state, PROMPT, now)
    most = 0
    for second in range(1, 120):
        now = float(second)
        arrived = min(8 * second, 8 * 60)
        done = max(arrived - 16, 0) if second > READY_S else 0
        working = min(arrived - done, 16) if second > READY_S else 0
        known = seen(
            arrived - done - working,
            working,
            arrivals=arrived,
            completions=done,
            replicas=advice.replicas,
        )
        advice, state = native(known, state, PROMPT, now)
        most = max(most, advice.replicas)
    assert most <= 2 * 8 * READY_S


def test_a_counter_that_jumps_far_ahead_is_handled_in_one_step() -> None:
    state, _, now = lived(PROMPT, every_s=10.0, service_s=30.0)
    leap = seen(2, arrivals=10**12, completions=10**12 - 2, replicas=1)
    advice, after = native(leap, state, PROMPT, now + 1)
    assert sum(after.moves) <= 4000.0
    assert advice.replicas < 50


def arrivals_that(wait: bool, *, number: int, setting: NativeCosts = PROMPT) -> NativeState:
    """A pool that has what it asks for; its arrivals, one in 10 s, wait or do not."""
    advice, state = native(seen(), None, setting, 0.0)
    for arrivals in range(1, number + 1):
        known = seen(
            int(wait), arrivals=arrivals, completions=arrivals - 1, replicas=advice.replicas
        )
        advice, state = native(known, state, setting, 10.0 * arrivals)
    return state


def test_waiting_is_worth_more_where_too_many_arrivals_wait_and_less_where_none_does() -> None:
    assert arrivals_that(True, number=10).worth == pytest.approx(1.620, abs=0.001)
    assert arrivals_that(False, number=100).worth == pytest.approx(0.839, abs=0.001)


def test_the_worth_of_waiting_stays_within_its_limits() -> None:
    assert arrivals_that(True, number=200).worth == 2.0
    assert arrivals_that(False, number=2000).worth == 0.25


def test_costs_without_a_late_share_are_used_as_they_are() -> None:
    assert arrivals_that(True, number=50, setting=THRIFTY).worth == 1.0


def test_waits_in_a_pool_that_another_rule_keeps_small_teach_nothing() -> None:
    _, state = native(seen(30, arrivals=30), None, PROMPT, 0.0)
    assert state.asked >= 30
    for tick in range(1, 50):
        known = seen(30 + tick, arrivals=30 + tick, replicas=5)
        _, state = native(known, state, PROMPT, float(tick))
    assert state.worth == 1.0


def test_a_burst_counts_as_one_late_arrival() -> None:
    _, state = native(seen(), None, PROMPT, 0.0)
    _, one = native(seen(1, arrivals=1), state, PROMPT, 1.0)
    _, burst = native(seen(50, arrivals=50), state, PROMPT, 1.0)
    assert one.worth > 1.0
    assert burst.worth <= one.worth
