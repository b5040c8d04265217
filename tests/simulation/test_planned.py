"""Histories of one pool under the whole planner: when it wakes, how it grows and shrinks, and what
it never does.
"""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Gate
from controller.model.fleet import Behavior, NativePreset, Pool, ScalingRules
from controller.simulate.planned import PlannerPolicy
from controller.simulate.policies import HpaKeda
from controller.simulate.score import reversals
from controller.simulate.trace import Trace, TraceTask
from controller.simulate.world import Action, Answer, PoolRun, SeenPool, World
from support.examples import scaled
from support.simulated_pools import (
    HPA_SYNC_S,
    SOURCE_SETTINGS,
    InHpaPeriods,
    hpa_pool,
    native_pool,
    run,
)

BY_SOURCE = replace(
    native_pool("pool", NativePreset.PROMPT),
    behavior=replace(
        SOURCE_SETTINGS.behavior,
        scale_up=replace(SOURCE_SETTINGS.behavior.scale_up, stabilization_window_s=0),
    ),
    window_given=True,
)


def live(
    tasks: list[TraceTask],
    pool: Pool,
    *,
    end_s: float = 0.0,
    planner: type[PlannerPolicy] = PlannerPolicy,
) -> PoolRun:
    trace = Trace({"pool": sorted(tasks)}, end_s)
    return run(trace, lambda _: planner(pool), World(1, 19.0))["pool"]


def test_the_first_message_wakes_an_empty_pool_at_the_next_tick() -> None:
    lived = live([TraceTask(10.5, 60.0)], native_pool("pool", NativePreset.PROMPT), end_s=2000.0)
    assert lived.actions[0] == Action(11.0, 0, 1)
    assert [*lived.waits_s] == [19.5]


def test_a_pool_that_is_idle_for_its_cooldown_sleeps_again() -> None:
    pool = native_pool("pool", NativePreset.PROMPT, cooldown_s=900.0)
    lived = live([TraceTask(10.0, 60.0)], pool, end_s=2000.0)
    (woke, slept) = lived.actions
    assert (woke.after, slept.after) == (1, 0)
    last_seen_active_s, look_s = 88.0, 5.0
    assert 900.0 < slept.at - last_seen_active_s <= 901.0 + look_s


def test_a_burst_of_twenty_gets_ten_at_once_and_ten_a_minute_later() -> None:
    lived = live([TraceTask(10.0, 500.0)] * 20, BY_SOURCE)
    assert lived.actions[:2] == [Action(10.0, 0, 10), Action(70.0, 10, 20)]
    assert sorted(lived.waits_s) == [19.0] * 10 + [79.0] * 10


def test_after_a_burst_the_way_back_is_gradual() -> None:
    pool = hpa_pool("pool", SOURCE_SETTINGS)
    lived = live([TraceTask(10.0, 300.0)] * 20, pool, end_s=3000.0, planner=InHpaPeriods)
    back = [action for action in lived.actions if action.after < action.before]
    assert [action.before for action in back] == [20, 15, 10, 5, 1]
    window_s, period_s, all_work_until_s = 300.0, 120.0, 349.0
    assert back[0].at >= all_work_until_s + window_s
    gaps = [later.at - sooner.at for sooner, later in pairwise(back[:4])]
    assert all(period_s <= gap <= period_s + HPA_SYNC_S for gap in gaps)
    assert back[-1].after == 0


def test_a_steady_load_settles_and_does_not_flap() -> None:
    # two to four messages at any time, for two hours
    tasks = [TraceTask(20.0 * number + number * number % 17, 60.0) for number in range(360)]
    for pool, planner in (
        (hpa_pool("pool", SOURCE_SETTINGS), InHpaPeriods),
        (native_pool("pool", NativePreset.CALM), PlannerPolicy),
    ):
        lived = live(tasks, pool, planner=planner)
        later = [action for action in lived.actions if 600.0 < action.at < 7000.0]
        assert reversals(later) <= 1
        assert len(later) <= 6  # of 320 arrivals


class Watched:
    """Fails where the plan would take a replica that works."""

    def __init__(self, planner: PlannerPolicy) -> None:
        self.interval_s, self.on_events = planner.interval_s, planner.on_events
        self._planner = planner

    def look(self, seen: SeenPool, now: float) -> Answer:
        answer = self._planner.look(seen, now)
        decision = self._planner.decision
        assert decision is not None
        assert decision.next is not None
        assert decision.next >= min(seen.busy, seen.replicas)
        assert decision.gate is not Gate.CONTESTED
        return answer


arrivals = st.lists(
    st.tuples(st.floats(0.0, 400.0), st.floats(0.0, 900.0)), min_size=1, max_size=40
)


@given(arrivals, st.sampled_from([*NativePreset, "hpa"]))
@settings(deadline=None, max_examples=scaled(40))
def test_a_busy_replica_is_never_asked_for_and_every_task_is_served(
    steps: list[tuple[float, float]], rule: NativePreset | str
) -> None:
    tasks, at = [], 0.0
    for gap_s, service_s in steps:
        at += gap_s
        tasks.append(TraceTask(at, service_s))
    planner = (
        PlannerPolicy(native_pool("pool", rule))
        if isinstance(rule, NativePreset)
        else InHpaPeriods(hpa_pool("pool", SOURCE_SETTINGS))
    )
    trace = Trace({"pool": tasks}, at)
    lived = run(trace, lambda _: Watched(planner), World(1, 19.0))["pool"]
    assert len(lived.waits_s) == len(tasks)
    assert lived.unserved == 0


def shown(
    *, pending: int, in_flight: int, done: int, replicas: int, busy: int, slots: int = 1
) -> SeenPool:
    return SeenPool(
        pending=pending,
        in_flight=in_flight,
        arrivals=pending + in_flight + done,
        completions=done,
        replicas=replicas,
        ready=replicas,
        starting=0,
        busy=busy,
        slots=slots,
        time_to_ready_s=19.0,
    )


def test_work_spread_over_more_replicas_than_it_fills_is_no_contest() -> None:
    pool = replace(
        hpa_pool("pool", SOURCE_SETTINGS, slots=4),
        behavior=Behavior(
            scale_up=ScalingRules(stabilization_window_s=0),
            scale_down=ScalingRules(stabilization_window_s=0),
        ),
    )
    planned = InHpaPeriods(pool)
    replicas, asked = 4, []
    for tick in range(12):
        # by turns twenty messages wait, or four are left, one on each of four replicas
        waiting = 0 if tick % 2 else 20
        seen = shown(pending=waiting, in_flight=4, done=0, replicas=replicas, busy=4, slots=4)
        replicas = planned.look(seen, 15.0 * tick).replicas
        asked.append(replicas)
        assert planned.decision is not None
        assert planned.decision.gate is not Gate.CONTESTED
    assert asked == [6, 4] * 6


def test_what_rule_native_has_not_learned_yet_makes_it_look_again_at_the_next_tick() -> None:
    planned = PlannerPolicy(native_pool("pool", NativePreset.PROMPT))
    planned.look(shown(pending=0, in_flight=2, done=0, replicas=2, busy=2), 0.0)
    looks_at = [
        planned.look(shown(pending=1, in_flight=2, done=done, replicas=2, busy=2), now).look_at
        for done, now in ((1, 1.0), (2, 2.0))
    ]
    # it learns every two seconds: one of two ticks in a row is not its turn
    assert [at in (2.0, 3.0) for at in looks_at].count(True) >= 1


@pytest.mark.parametrize("every_s", [20.0, 45.0, 150.0])
def test_rule_hpa_moves_a_pool_as_an_hpa_behind_keda_does(every_s: float) -> None:
    tasks = [TraceTask(every_s * number + number * number % 13, 90.0) for number in range(100)]
    planned = live(
        tasks, hpa_pool("pool", SOURCE_SETTINGS), end_s=100 * every_s, planner=InHpaPeriods
    )
    trace = Trace({"pool": sorted(tasks)}, 100 * every_s)
    hpa = run(trace, lambda _: HpaKeda(SOURCE_SETTINGS), World(1, 19.0))["pool"]
    assert [action.after for action in planned.actions] == [action.after for action in hpa.actions]
    assert planned.replica_s == pytest.approx(hpa.replica_s, rel=0.02)


def test_of_bursts_as_few_tasks_are_late_as_of_single_ones() -> None:
    dice, at, tasks = random.Random(1), 0.0, []
    for _ in range(400):
        at += dice.expovariate(1 / 90)
        burst = dice.randint(1, 20)
        tasks += [TraceTask(at, dice.expovariate(1 / 10)) for _ in range(burst)]
    lived = live(tasks, native_pool("pool", NativePreset.PROMPT), end_s=at)
    late = sum(wait_s > 1 for wait_s in lived.waits_s) / len(tasks)
    assert late <= 0.045
