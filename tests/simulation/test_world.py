"""Small virtual clusters, checked by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from controller.model.fleet import NativePreset
from controller.simulate.planned import (
    PlannerPolicy,
)
from controller.simulate.policies import (
    HpaKeda,
    Static,
)
from controller.simulate.score import (
    percentile,
    reversals,
    score,
)
from controller.simulate.trace import (
    Trace,
    TraceTask,
)
from controller.simulate.world import (
    NEVER,
    Action,
    Answer,
    Policy,
    PoolRun,
    SeenPool,
    World,
)
from support.simulated_pools import SOURCE_SETTINGS, clairvoyant_replica_s, native_pool, run


class Follow:
    """As many replicas as messages, at the very moment."""

    interval_s = 0.0
    on_events = True

    def look(self, seen: SeenPool, now: float) -> Answer:  # noqa: ARG002 - the protocol's
        return Answer(seen.pending + seen.in_flight)


class Script:
    """Replicas at given times."""

    interval_s = 0.0
    on_events = False

    def __init__(self, *steps: tuple[float, int]) -> None:
        self._steps = list(steps)
        self.seen: list[SeenPool] = []

    def look(self, seen: SeenPool, now: float) -> Answer:
        self.seen.append(seen)
        replicas = next((n for at, n in reversed(self._steps) if at <= now), 0)
        return Answer(replicas, next((at for at, _ in self._steps if at > now), NEVER))


def live(tasks: list[TraceTask], policy: Policy, *, end_s: float = 0.0, slots: int = 1) -> PoolRun:
    return run(Trace({"pool": tasks}, end_s), lambda _: policy, World(slots, 19.0))["pool"]


def test_one_task_waits_for_one_cold_start_and_pays_from_the_decision_until_it_is_gone() -> None:
    lived = live([TraceTask(100.0, 60.0)], Follow(), end_s=1000.0)
    assert [*lived.waits_s] == [19.0]
    assert lived.replica_s == 19.0 + 60.0
    assert lived.actions == [Action(100.0, 0, 1), Action(179.0, 1, 0)]


def test_a_burst_is_served_as_replicas_become_ready_and_in_order_of_arrival() -> None:
    lived = live([TraceTask(float(at), 5.0) for at in range(3)], Script((0.5, 1), (30.0, 0)))
    assert [*lived.waits_s] == [19.5, 23.5, 27.5]


def test_a_busy_replica_that_is_removed_finishes_its_task_and_takes_no_other() -> None:
    tasks = [TraceTask(1.0, 100.0), TraceTask(2.0, 10.0), TraceTask(40.0, 5.0)]
    lived = live(tasks, Script((0.0, 2), (25.0, 0), (130.0, 1)), end_s=200.0)
    assert lived.actions == [Action(0.0, 0, 2), Action(25.0, 2, 0), Action(130.0, 0, 1)]
    # ready at 19: they drain from 25 to 119 and to 29; the third waits for the next at 149
    assert [*lived.waits_s] == [18.0, 17.0, 109.0]
    assert lived.replica_s == 119.0 + 29.0 + 70.0


def test_an_idle_replica_goes_before_a_busy_one() -> None:
    lived = live([TraceTask(20.0, 100.0)], Script((0.0, 3), (30.0, 1), (150.0, 0)), end_s=150.0)
    assert lived.actions == [Action(0.0, 0, 3), Action(30.0, 3, 1), Action(150.0, 1, 0)]
    assert [*lived.waits_s] == [0.0]
    assert lived.replica_s == 3 * 30.0 + 120.0


def test_a_starting_replica_goes_before_a_ready_one() -> None:
    lived = live([TraceTask(30.0, 1.0)], Script((0.0, 1), (20.0, 2), (25.0, 1)), end_s=60.0)
    assert [*lived.waits_s] == [0.0]
    assert lived.replica_s == 60.0 + 5.0


def test_a_message_goes_to_the_fullest_replica_so_that_others_run_empty() -> None:
    tasks = [TraceTask(20.0, 50.0), TraceTask(21.0, 50.0), TraceTask(22.0, 50.0)]
    script = Script((0.0, 2), (30.0, 1))
    lived = live(tasks, script, slots=4, end_s=72.0)
    assert script.seen[1].busy == 1
    assert lived.replica_s == 72.0 + 30.0  # the other went at once


def test_what_a_policy_sees_adds_up() -> None:
    script = Script((0.0, 2), (5.0, 2), (50.0, 2))
    live([TraceTask(1.0, 100.0), TraceTask(2.0, 100.0), TraceTask(3.0, 1.0)], script, end_s=60.0)
    assert script.seen[1] == SeenPool(3, 0, 3, 0, 2, 0, 2, 0, 1, 19.0)
    assert script.seen[2] == SeenPool(1, 2, 3, 0, 2, 2, 0, 2, 1, 19.0)


def test_a_policy_looks_only_at_its_ticks() -> None:
    class Ticking(Follow):
        interval_s = 10.0

    assert live([TraceTask(101.0, 1.0)], Ticking()).actions[0] == Action(110.0, 0, 1)


def test_a_policy_that_leaves_its_queue_alone_is_given_up_and_its_tasks_counted() -> None:
    class Asleep(Follow):
        def look(self, seen: SeenPool, now: float) -> Answer:  # noqa: ARG002 - the protocol's
            return Answer(0, now + 30.0)

    lived = live([TraceTask(1.0, 1.0), TraceTask(2.0, 1.0)], Asleep(), end_s=100.0)
    assert ([*lived.waits_s], lived.unserved, lived.replica_s) == ([], 2, 0.0)


def test_a_reversal_is_a_decrease_followed_by_an_increase_within_five_minutes() -> None:
    actions = [
        Action(0.0, 0, 3),
        Action(100.0, 3, 2),
        Action(150.0, 2, 1),
        Action(450.0, 1, 2),  # 300 s after the last decrease: counts
        Action(500.0, 2, 1),
        Action(801.0, 1, 2),  # 301 s: does not
        Action(802.0, 2, 3),
    ]
    assert reversals(actions) == 1


def test_percentiles_are_nearest_rank() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, part) for part in (0.5, 0.95, 0.99)] == [50.0, 95.0, 99.0]
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([], 0.5) == 0.0


def test_the_score_adds_the_pools_up() -> None:
    slow = PoolRun([10.0, 0.0], 3600.0, [Action(0.0, 0, 1), Action(9.0, 1, 0)])
    quick = PoolRun([1.0, 0.5], 1800.0, [Action(0.0, 0, 1)])
    scored = score([slow, quick])
    assert (scored.tasks, scored.at_once, scored.replica_hours) == (4, 0.75, 1.5)
    assert (scored.actions, scored.wait_p99_s) == (3, 10.0)


def test_the_clairvoyant_keeps_a_replica_over_a_gap_shorter_than_a_start_and_no_longer() -> None:
    tasks = [TraceTask(100.0, 10.0), TraceTask(120.0, 10.0), TraceTask(500.0, 10.0)]
    # 19 to start, 10 of work, 10 of gap kept, 10 of work; then 19 to start again and 10 of work
    bound_s = clairvoyant_replica_s(Trace({"pool": tasks}, 500.0), World(1, 19.0))
    assert bound_s == pytest.approx(19 + 10 + 10 + 10 + 19 + 10)


def test_the_clairvoyant_counts_slots_and_pools() -> None:
    tasks = [TraceTask(100.0, 10.0), TraceTask(100.0, 10.0), TraceTask(100.0, 10.0)]
    both = Trace({"one": tasks, "other": tasks[:1]}, 100.0)
    assert clairvoyant_replica_s(both, World(2, 19.0)) == pytest.approx(3 * 29.0)


def workload() -> Trace:
    """Two hours of two pools: bursts, lulls, short and long tasks."""
    tasks = [
        TraceTask(60.0 * number + 3.0 * (number * number % 7), 2.0 + (number * 37 % 101))
        for number in range(120)
    ]
    busy = [TraceTask(7.0 * number, 1.0 + number % 13) for number in range(1000)]
    return Trace({"agents": sorted(tasks), "web": busy}, 7200.0)


POLICIES: dict[str, Callable[[str], Policy]] = {
    "static": lambda _: Static(30),
    "follow": lambda _: Follow(),
    "hpa": lambda _: HpaKeda(SOURCE_SETTINGS),
    "native": lambda name: PlannerPolicy(native_pool(name, NativePreset.PROMPT)),
}


@pytest.mark.parametrize("name", POLICIES)
def test_every_task_is_served_once_and_nothing_is_paid_twice(name: str) -> None:
    trace = workload()
    runs = run(trace, POLICIES[name], World(1, 19.0))
    for pool, lived in runs.items():
        assert len(lived.waits_s) == len(trace.pools[pool])
        assert min(lived.waits_s) >= 0.0
        assert lived.replica_s >= sum(task.service_s for task in trace.pools[pool])


@pytest.mark.parametrize("name", POLICIES)
def test_the_same_trace_gives_the_same_run(name: str) -> None:
    trace, world = workload(), World(4, 9.0)
    assert run(trace, POLICIES[name], world) == run(trace, POLICIES[name], world)


@pytest.mark.parametrize("slots", [1, 4])
def test_nobody_without_waits_pays_less_than_the_clairvoyant(slots: int) -> None:
    # tasks arrive after the fixed fleet is ready, so none waits
    early = workload()
    trace = Trace(
        {
            name: [TraceTask(task.arrival_s + 20.0, task.service_s) for task in tasks]
            for name, tasks in early.pools.items()
        },
        7220.0,
    )
    world = World(slots, 19.0)
    runs = run(trace, lambda _: Static(30), world)
    assert all(wait == 0.0 for lived in runs.values() for wait in lived.waits_s)
    paid_s = sum(lived.replica_s for lived in runs.values())
    assert paid_s >= clairvoyant_replica_s(trace, world)
