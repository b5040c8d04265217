"""What holds a pool at its present size; each hold is asserted by its code."""

from __future__ import annotations

import math

import pytest

from controller.model.decision import Code, Gate
from controller.model.fleet import Fleet
from controller.model.memory import Memory
from controller.model.observation import (
    Observation,
    Pod,
    PodPhase,
    Pods,
    QueueDepth,
    Workload,
)
from controller.model.readings import Absent, Fresh, Stale, Why
from support.asked import a_pin, intents_of
from support.planning import plan, seen_pool
from unit.planning.story import START, Story, behavior, codes, make_pool, silence

QUICK = behavior(down_window_s=0)


@pytest.mark.parametrize("why", list(Why))
def test_silence_never_takes_anything_away(why: Why) -> None:
    story = Story(make_pool(cooldown_s=1.0, behavior=QUICK), replicas=5)
    story.ticks(5, pending=5)
    for _ in range(50):
        decision = story.tick(queue=silence(why, at=story.now - 2))
        assert codes(decision) == [Code.QUEUE_UNKNOWN, Code.HELD_BLIND]
        assert decision.gate is Gate.BLIND
        assert decision.reasons[-1].numbers == {"why": why, "since": story.now - 3}
        assert decision.next == 5


def test_a_stale_value_takes_nothing_away() -> None:
    story = Story(make_pool(behavior=QUICK), replicas=5)
    zero = QueueDepth(pending=0, in_flight=0)
    decision = story.tick(queue=Stale(value=zero, at=START - 30))
    assert codes(decision) == [Code.QUEUE_UNKNOWN, Code.HELD_BLIND]
    assert decision.next == 5


def test_a_stale_reading_includes_the_wake_ups_before_it() -> None:
    story = Story(make_pool())
    zero = QueueDepth(pending=0, in_flight=0)
    stale = Stale(value=zero, at=START - 30)
    assert story.tick(queue=stale, woken_at=START - 31).next == 0
    assert story.tick(queue=stale, woken_at=START - 29).next == 1


def test_a_floor_still_raises_a_blind_pool() -> None:
    decision = Story(make_pool(min=3), replicas=1).tick(queue=silence())
    assert (decision.next, decision.gate) == (3, None)
    assert codes(decision) == [Code.QUEUE_UNKNOWN, Code.AT_MIN]


def test_a_blind_pool_above_max_is_held() -> None:
    decision = Story(make_pool(max=3), replicas=9).tick(queue=silence())
    assert (decision.target, decision.next, decision.gate) == (3, 9, Gate.BLIND)
    assert codes(decision) == [Code.QUEUE_UNKNOWN, Code.AT_MAX, Code.HELD_BLIND]


def test_without_its_deployment_nothing_is_written() -> None:
    for why in (Why.IMPLAUSIBLE, Why.OBJECT_MISSING, Why.VIEW_INCOMPLETE):
        decision = Story(make_pool(min=2)).tick(9, workload=silence(why), woken_at=START)
        assert (decision.current, decision.target, decision.next) == (None, None, None)
        assert not decision.changes
        assert decision.demand == 9
        assert codes(decision) == [Code.QUEUE, Code.WORKLOAD_UNKNOWN]
        assert decision.reasons[-1].numbers["why"] == why


def test_a_stale_deployment_is_shown_and_not_written() -> None:
    stale = Stale(value=Workload(replicas=4), at=START - 60)
    decision = Story(make_pool()).tick(9, workload=stale)
    assert (decision.current, decision.next) == (4, None)
    assert codes(decision) == [Code.QUEUE, Code.WORKLOAD_UNKNOWN]


@pytest.mark.parametrize("replicas", [-1, -(2**31), 2**31, 2**63])
def test_a_deployment_of_an_impossible_size_is_refused(replicas: int) -> None:
    odd = Fresh(value=Workload(replicas=replicas), at=START)
    decision = Story(make_pool()).tick(9, workload=odd)
    assert decision.next is None
    assert decision.reasons[-1].code is Code.WORKLOAD_UNKNOWN
    assert decision.reasons[-1].numbers["why"] == Why.IMPLAUSIBLE


@pytest.mark.parametrize("work", [0, 9])
def test_without_a_complete_list_of_its_pods_a_pool_is_not_written(work: int) -> None:
    story = Story(make_pool(cooldown_s=1.0, behavior=QUICK), replicas=5)
    story.ticks(5, pending=5)
    for pods in (silence(Why.VIEW_INCOMPLETE), Stale(value=Pods(ready=5), at=START)):
        decision = story.tick(work, pods=pods)
        assert codes(decision)[-1] is Code.PODS_UNKNOWN
        assert (decision.next, decision.gate) == (5, Gate.BLIND)


def test_unknown_pods_do_not_matter_where_nothing_would_be_written() -> None:
    decision = Story(make_pool(), replicas=3).tick(3, pods=silence())
    assert codes(decision) == [Code.QUEUE]


def test_a_lost_memory_takes_nothing_away_for_one_window() -> None:
    story = Story(make_pool(cooldown_s=10.0), replicas=6)
    story.ticks(900, pending=6)
    story.forget()
    began = story.now
    while story.now < began + 300:
        decision = story.tick(1)
        assert codes(decision) == [Code.QUEUE, Code.HELD_WARM_UP]
        assert decision.gate is Gate.WARM_UP
        assert decision.reasons[-1].numbers["until"] == began + 300
        assert decision.next == 6
    assert story.tick(1).next == 1


def test_a_lost_memory_holds_the_last_replica_as_well() -> None:
    story = Story(make_pool(cooldown_s=0.0), replicas=1)
    decision = [story.tick() for _ in range(3)][-1]
    assert codes(decision)[-1] is Code.HELD_WARM_UP
    assert story.ticks(300)[-1] == 0


def test_a_lost_memory_holds_a_pool_above_its_max() -> None:
    decision = Story(make_pool(max=3), replicas=9).tick(9)
    assert (decision.target, decision.next) == (3, 9)
    assert codes(decision)[-1] is Code.HELD_WARM_UP


def test_a_lost_memory_lets_a_pool_grow() -> None:
    story = Story(make_pool(), replicas=6)
    assert story.tick(9).next == 9


def test_a_lost_memory_lets_a_pinned_pool_grow() -> None:
    pool = make_pool()
    seen = seen_pool(1, 4, at=START)
    intents = intents_of(pins=(a_pin(pool=pool.key, replicas=5),))
    observation = Observation(pools={pool.key: seen})
    result, _ = plan(observation, Fleet(pools=(pool,)), intents, Memory(), START)
    decision = result.decisions[pool.key]
    assert (decision.target, decision.next, decision.gate) == (6, 6, None)


@pytest.mark.parametrize(("work", "replicas"), [(9, 1), (0, 6), (3, 0)])
def test_a_pool_with_another_autoscaler_is_never_written(work: int, replicas: int) -> None:
    story = Story(make_pool(cooldown_s=1.0, behavior=QUICK), replicas=replicas)
    rival = "HorizontalPodAutoscaler research"
    shared = Fresh(value=Workload(replicas=replicas, autoscaler=rival), at=START)
    for _ in range(400):
        decision = story.tick(work, workload=shared)
        assert (decision.next, decision.gate) == (replicas, Gate.CONTESTED)
        assert decision.reasons[-1].code is Code.OTHER_AUTOSCALER
        assert decision.reasons[-1].numbers == {"autoscaler": rival}


def test_once_the_other_autoscaler_is_gone_the_pool_is_decided_as_before() -> None:
    story = Story(make_pool(), replicas=1)
    shared = Fresh(value=Workload(replicas=1, autoscaler="ScaledObject a"), at=START)
    assert story.tick(5, workload=shared).next == 1
    assert story.tick(5).next == 5


STUCK = [
    (PodPhase.CRASHING, "CrashLoopBackOff"),
    (PodPhase.STARTING, "ImagePullBackOff"),
    (PodPhase.UNSCHEDULED, "Unschedulable"),
]
STARTING = [
    (PodPhase.STARTING, "ContainerCreating"),
    (PodPhase.UNSCHEDULED, ""),
    (PodPhase.RUNNING, "ContainersNotReady"),
]


def one_pod(phase: PodPhase, reason: str) -> Fresh[Pods]:
    return Fresh(value=Pods(items=(Pod(name="a", phase=phase, reason=reason),)), at=START)


@pytest.mark.parametrize(("phase", "reason"), STUCK)
def test_pods_that_do_not_become_ready_stop_growth_with_a_reason(
    phase: PodPhase, reason: str
) -> None:
    story = Story(make_pool(behavior=QUICK), replicas=3)
    decision = story.tick(9, pods=one_pod(phase, reason))
    assert (decision.target, decision.next, decision.gate) == (9, 3, Gate.NOT_BECOMING_READY)
    assert codes(decision)[-1] is Code.NOT_BECOMING_READY
    assert decision.reasons[-1].numbers == {"stuck": 1}
    assert story.tick(1, pods=one_pod(phase, reason)).next == 1


@pytest.mark.parametrize(("phase", "reason"), STARTING)
def test_pods_that_are_starting_stop_nothing(phase: PodPhase, reason: str) -> None:
    story = Story(make_pool(behavior=QUICK), replicas=3)
    assert story.tick(9, pods=one_pod(phase, reason)).next == 9


def test_a_window_only_passes_while_the_queue_is_known() -> None:
    story = Story(make_pool(cooldown_s=10.0), replicas=6)
    for _ in range(500):
        story.tick(queue=silence())
    decision = story.tick(1)
    assert codes(decision)[-1] is Code.HELD_WARM_UP
    assert decision.reasons[-1].numbers["until"] == story.now - 1 + 300


def test_a_cooldown_only_passes_while_the_queue_is_known() -> None:
    story = Story(make_pool(cooldown_s=400.0), replicas=1)
    for _ in range(500):
        story.tick(queue=silence())
    assert story.ticks(402).index(0) == 401


def test_a_restart_counts_the_cooldown_from_its_start() -> None:
    story = Story(make_pool(cooldown_s=900.0), replicas=1)
    sizes = story.ticks(902)
    assert sizes.index(0) == 901


@pytest.mark.parametrize(
    ("pending", "in_flight", "target", "replicas"),
    [(0, 0, 1, 0), (1, 0, 10, 1), (10, 0, 10, 1), (11, 0, 10, 2), (7, 4, 10, 2), (20, 0, 1, 20)],
)
def test_demand_is_the_work_by_the_target_rounded_up(
    pending: int, in_flight: int, target: int, replicas: int
) -> None:
    decision = Story(make_pool(target=target)).tick(pending, in_flight)
    assert decision.demand == replicas
    reason = decision.reasons[0]
    assert reason.code is Code.QUEUE
    assert reason.numbers == {
        "pending": pending,
        "in_flight": in_flight,
        "target": target,
        "slots": 1,
    }


ABSURD = [-1, 2**63, 10**12, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("field", ["pending", "in_flight"])
@pytest.mark.parametrize("number", ABSURD)
def test_an_absurd_number_is_refused_and_takes_nothing_away(field: str, number: float) -> None:
    story = Story(make_pool(), replicas=5)
    story.ticks(2_000, pending=5)
    depth = QueueDepth(**{"pending": 0, "in_flight": 0, field: number})  # type: ignore[arg-type]
    decision = story.tick(queue=Fresh(value=depth, at=story.now))
    assert decision.demand is None
    assert codes(decision) == [Code.QUEUE_UNKNOWN, Code.HELD_BLIND]
    assert decision.reasons[0].numbers["why"] == Why.IMPLAUSIBLE
    assert decision.gate is Gate.BLIND
    assert decision.next == 5


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf])
def test_a_reading_without_a_time_is_refused(at: float) -> None:
    story = Story(make_pool(), replicas=5)
    decision = story.tick(queue=Fresh(value=QueueDepth(pending=9, in_flight=0), at=at))
    assert codes(decision)[0] is Code.QUEUE_UNKNOWN
    assert decision.reasons[0].numbers == {"why": Why.IMPLAUSIBLE}


def test_a_paused_consumer_is_named_and_its_messages_count() -> None:
    decision = Story(make_pool(), replicas=0).tick(3, paused=True)
    assert Code.QUEUE_PAUSED in codes(decision)
    assert decision.next == 3


def test_a_wake_up_after_a_count_of_zero_is_one_message() -> None:
    story = Story(make_pool())
    decision = story.tick(
        queue=Fresh(value=QueueDepth(pending=0, in_flight=0), at=START - 0.5), woken_at=START
    )
    assert codes(decision) == [Code.QUEUE, Code.WOKEN]
    assert (decision.demand, decision.next, decision.wake) == (1, 1, True)


def test_a_wake_up_before_the_count_was_asked_for_is_already_counted() -> None:
    story = Story(make_pool())
    decision = story.tick(woken_at=START - 0.001)
    assert codes(decision) == [Code.QUEUE]
    assert decision.next == 0


def test_a_wake_up_wakes_a_pool_whose_queue_cannot_be_read() -> None:
    decision = Story(make_pool()).tick(
        queue=Absent(why=Why.DISCONNECTED, at=START), woken_at=START - 1
    )
    assert codes(decision) == [Code.QUEUE_UNKNOWN, Code.WOKEN]
    assert (decision.next, decision.wake, decision.gate) == (1, True, None)


def test_a_wake_up_proves_only_one_message_and_passes_no_activation_above_zero() -> None:
    story = Story(make_pool(activation=1))
    assert story.tick(woken_at=story.now + 1).next == 0
    blind = story.tick(queue=Absent(why=Why.DISCONNECTED, at=START), woken_at=story.now)
    assert (blind.next, blind.gate) == (0, Gate.BLIND)


def test_a_wake_up_at_the_moment_of_the_count_may_not_be_in_it() -> None:
    assert Story(make_pool()).tick(woken_at=START).next == 1


def test_a_wake_up_without_a_time_is_no_wake_up() -> None:
    assert Story(make_pool()).tick(woken_at=math.nan).next == 0
