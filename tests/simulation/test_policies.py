"""The HPA fed by KEDA in virtual time: who moves the pool when, checked by hand."""

from __future__ import annotations

from collections.abc import Callable

from controller.model.fleet import NativePreset
from controller.simulate.planned import (
    PlannerPolicy,
)
from controller.simulate.policies import (
    TUNED_SETTINGS,
    HpaKeda,
    HpaKedaSettings,
)
from controller.simulate.score import (
    Score,
    score,
)
from controller.simulate.trace import (
    Trace,
    TraceTask,
)
from controller.simulate.world import (
    Action,
    Policy,
    World,
)
from support.simulated_pools import SOURCE_SETTINGS, native_pool, run


def actions(
    settings: HpaKedaSettings, tasks: list[TraceTask], *, end_s: float = 3000.0
) -> list[Action]:
    trace = Trace({"pool": tasks}, end_s)
    return run(trace, lambda _: HpaKeda(settings), World(1, 19.0))["pool"].actions


def by_rule(preset: NativePreset) -> Callable[[str], Policy]:
    return lambda name: PlannerPolicy(native_pool(name, preset, cooldown_s=0.0))


def test_keda_takes_the_first_step_at_its_poll_and_the_last_after_its_cooldown() -> None:
    # noticed at 30; started at 49; done at 59, seen active last at 30; 900 s later is not yet over
    assert actions(SOURCE_SETTINGS, [TraceTask(10.0, 10.0)]) == [
        Action(30.0, 0, 1),
        Action(960.0, 1, 0),
    ]


def test_the_hpa_waits_for_its_window_and_adds_no_more_than_its_policy_allows() -> None:
    burst = [TraceTask(10.0, 500.0)] * 20
    # KEDA wakes the pool at 30; the size found then counts for 30 s; 10 pods in 60 s
    ups = actions(SOURCE_SETTINGS, burst, end_s=200.0)[:3]
    assert ups == [Action(30.0, 0, 1), Action(60.0, 1, 11), Action(120.0, 11, 20)]


def test_a_target_below_one_message_keeps_spares() -> None:
    tasks = [TraceTask(100.0, 300.0)] * 8
    ups = [action for action in actions(TUNED_SETTINGS, tasks) if action.after > action.before]
    assert ups == [Action(100.0, 0, 10)]


def test_native_wakes_at_the_next_tick_and_lets_the_last_replica_go_by_itself() -> None:
    trace = Trace({"pool": [TraceTask(10.5, 10.0)]}, 5000.0)
    lived = run(trace, by_rule(NativePreset.THRIFTY), World(1, 19.0))["pool"]
    assert [*lived.waits_s] == [19.5]
    assert [(action.before, action.after) for action in lived.actions] == [(0, 1), (1, 0)]


def test_who_wants_promptness_waits_less_and_pays_more() -> None:
    tasks = [TraceTask(60.0 * number + 37 * number % 200, 5.0) for number in range(200)]
    trace = Trace({"pool": sorted(tasks)}, 12_500.0)

    def lived(preset: NativePreset) -> Score:
        return score(run(trace, by_rule(preset), World(1, 19.0)).values())

    prompt, thrifty = lived(NativePreset.PROMPT), lived(NativePreset.THRIFTY)
    assert prompt.wait_mean_s < thrifty.wait_mean_s
    assert prompt.replica_hours > thrifty.replica_hours
