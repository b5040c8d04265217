"""What holds a pool at its present size; each hold is asserted by its code."""

from __future__ import annotations

import math

from controller.model.decision import Code, Gate
from controller.model.observation import Pod, PodPhase, Pods, QueueDepth, Workload
from controller.model.readings import Absent, Fresh, Stale, Why
from support.asked import a_pin, intents_of
from support.table import tabled
from unit.planning.story import START, Story, behavior, codes, make_pool, silence

QUICK = behavior(down_window_s=0)
AT_ONCE = make_pool(cooldown_s=1.0, behavior=QUICK)

# fmt: off
STORIES = {
    "a floor still raises a blind pool": (
        make_pool(min=3), 1, "? : 3 [queue_unknown at_min] !blind"),
    "a blind pool above max is held": (
        make_pool(max=3), 9, "? : 9 (3) [queue_unknown at_max held_blind] blind"),
    "unknown pods do not matter where nothing would be written": (
        make_pool(), 3, "3 pods=? : 3 [queue]"),
    "a lost memory holds the last replica as well": (
        make_pool(cooldown_s=0.0), 1, """
        0 : 1
        299* 0 : 1 held_warm_up
        2* 0 : 0"""),
    "a lost memory holds a pool above its max": (
        make_pool(max=3), 9, "9 : 9 (3) held_warm_up"),
    "a lost memory lets a pool grow": (make_pool(), 6, "9 : 9"),
    "a pool with another autoscaler is never written, and decided as before once it is gone": (
        make_pool(cooldown_s=1.0, behavior=QUICK), 1, """
        400* 9 autoscaler=HPA : 1 contested other_autoscaler autoscaler=HPA
        400* 0 autoscaler=HPA size=6 : 6 contested other_autoscaler
        3 autoscaler=HPA size=0 : 0 contested other_autoscaler
        5 : 5 !contested"""),
    "a window only passes while the queue is known": (
        make_pool(cooldown_s=10.0), 6, """
        500* ? : 6
        1 : 6 held_warm_up until=800"""),
    "a cooldown only passes while the queue is known": (
        make_pool(cooldown_s=400.0), 1, """
        500* ? : 1
        401* 0 : 1
        0 : 0"""),
    "a restart counts the cooldown from its start": (
        make_pool(cooldown_s=900.0), 1, """
        901* 0 : 1
        0 : 0"""),
    "a paused consumer is named and its messages count": (
        make_pool(), 0, "3 paused : 3 queue_paused"),
    "a wake-up before the count was asked for is already counted": (
        make_pool(), 0, "0 woken=-0.001 : 0 [queue]"),
    "a wake-up at the moment of the count may not be in it": (make_pool(), 0, "0 woken=0 : 1"),
    "a wake-up without a time is no wake-up": (make_pool(), 0, "0 woken=nan : 0"),
    "a wake-up wakes a pool whose queue cannot be read": (
        make_pool(), 0, "? woken=-1 : 1 [queue_unknown woken] !blind"),
    "a wake-up proves only one message and passes no activation above zero": (
        make_pool(activation=1), 0, """
        0 woken=1 : 0
        ? woken=0 : 0 blind"""),
}
# fmt: on


@tabled("name", STORIES)
def test_a_story(name: str) -> None:
    pool, size, table = STORIES[name]
    Story(pool, size).tell(table)


@tabled("why", list(Why))
def test_silence_never_takes_anything_away(why: Why) -> None:
    story = Story(AT_ONCE, replicas=5)
    story.ticks(5, pending=5)
    for _ in range(50):
        decision = story.tick(queue=silence(why, at=story.now - 2))
        assert codes(decision) == [Code.QUEUE_UNKNOWN, Code.HELD_BLIND]
        assert decision.reasons[-1].numbers == {"why": why, "since": story.now - 3}
        assert (decision.next, decision.gate) == (5, Gate.BLIND)


def test_a_stale_reading_takes_nothing_away_and_includes_the_wake_ups_before_it() -> None:
    stale = Stale(value=QueueDepth(pending=0, in_flight=0), at=START - 30)
    decision = Story(AT_ONCE, replicas=5).tick(queue=stale)
    assert (codes(decision), decision.next) == ([Code.QUEUE_UNKNOWN, Code.HELD_BLIND], 5)
    story = Story(make_pool())
    assert story.tick(queue=stale, woken_at=START - 31).next == 0
    assert story.tick(queue=stale, woken_at=START - 29).next == 1


@tabled("why", [Why.IMPLAUSIBLE, Why.OBJECT_MISSING, Why.VIEW_INCOMPLETE])
def test_without_its_deployment_nothing_is_written(why: Why) -> None:
    unknown = silence(why)
    decision = Story(make_pool(min=2)).tick(9, workload=unknown, woken_at=START)
    assert (decision.current, decision.target, decision.next) == (None, None, None)
    assert (decision.changes, decision.demand) == (False, 9)
    assert codes(decision) == [Code.QUEUE, Code.WORKLOAD_UNKNOWN]
    assert decision.reasons[-1].numbers["why"] == why
    shown = Story(make_pool()).tick(9, workload=Stale(value=Workload(replicas=4), at=START - 60))
    assert (shown.current, shown.next) == (4, None)


@tabled("replicas", [-1, -(2**31), 2**31, 2**63])
def test_a_deployment_of_an_impossible_size_is_refused(replicas: int) -> None:
    odd = Fresh(value=Workload(replicas=replicas), at=START)
    decision = Story(make_pool()).tick(9, workload=odd)
    assert (decision.next, decision.reasons[-1].code) == (None, Code.WORKLOAD_UNKNOWN)
    assert decision.reasons[-1].numbers["why"] == Why.IMPLAUSIBLE


@tabled("work", [0, 9])
def test_without_a_complete_list_of_its_pods_a_pool_is_not_written(work: int) -> None:
    story = Story(AT_ONCE, replicas=5)
    story.ticks(5, pending=5)
    for pods in (silence(Why.VIEW_INCOMPLETE), Stale(value=Pods(ready=5), at=START)):
        decision = story.tick(work, pods=pods)
        assert codes(decision)[-1] is Code.PODS_UNKNOWN
        assert (decision.next, decision.gate) == (5, Gate.BLIND)


def test_a_lost_memory_takes_nothing_away_for_one_window() -> None:
    Story(make_pool(cooldown_s=10.0), replicas=6).tell("""
        900* 6 : 6
        300* 1 forget : 6 [queue held_warm_up] warm_up until=1200
        1 : 1""")


def test_a_lost_memory_lets_a_pinned_pool_grow() -> None:
    pool = make_pool()
    story = Story(pool, 4, intents_of(pins=(a_pin(pool=pool.key, replicas=5),)))
    story.tell("1 : 6 (6) !warm_up")


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


@tabled(("phase", "reason"), STUCK)
def test_pods_that_do_not_become_ready_stop_growth_with_a_reason(
    phase: PodPhase, reason: str
) -> None:
    story = Story(make_pool(behavior=QUICK), replicas=3)
    decision = story.tick(9, pods=one_pod(phase, reason))
    assert (decision.target, decision.next, decision.gate) == (9, 3, Gate.NOT_BECOMING_READY)
    assert codes(decision)[-1] is Code.NOT_BECOMING_READY
    assert decision.reasons[-1].numbers == {"stuck": 1}
    assert story.tick(1, pods=one_pod(phase, reason)).next == 1


@tabled(("phase", "reason"), STARTING)
def test_pods_that_are_starting_stop_nothing(phase: PodPhase, reason: str) -> None:
    story = Story(make_pool(behavior=QUICK), replicas=3)
    assert story.tick(9, pods=one_pod(phase, reason)).next == 9


@tabled(
    ("pending", "in_flight", "target", "replicas"),
    [(0, 0, 1, 0), (1, 0, 10, 1), (10, 0, 10, 1), (11, 0, 10, 2), (7, 4, 10, 2), (20, 0, 1, 20)],
)
def test_demand_is_the_work_by_the_target_rounded_up(
    pending: int, in_flight: int, target: int, replicas: int
) -> None:
    decision = Story(make_pool(target=target)).tick(pending, in_flight)
    assert (decision.demand, decision.reasons[0].code) == (replicas, Code.QUEUE)
    numbers = {"pending": pending, "in_flight": in_flight, "target": target, "slots": 1}
    assert decision.reasons[0].numbers == numbers


@tabled("field", ["pending", "in_flight", "at"])
@tabled("number", [-1, 2**63, 10**12, math.nan, math.inf, -math.inf])
def test_an_absurd_number_is_refused_and_takes_nothing_away(field: str, number: float) -> None:
    if field == "at" and math.isfinite(number):
        return
    story = Story(make_pool(), replicas=5)
    story.ticks(400, pending=5)
    counts = {"pending": 0, "in_flight": 0, "at": story.now, field: number}
    at = counts.pop("at")
    decision = story.tick(queue=Fresh(value=QueueDepth(**counts), at=at))  # type: ignore[arg-type]
    assert (decision.demand, decision.next, decision.gate) == (None, 5, Gate.BLIND)
    assert codes(decision) == [Code.QUEUE_UNKNOWN, Code.HELD_BLIND]
    assert decision.reasons[0].numbers["why"] == Why.IMPLAUSIBLE


def test_a_wake_up_after_a_count_of_zero_is_one_message() -> None:
    earlier = Fresh(value=QueueDepth(pending=0, in_flight=0), at=START - 0.5)
    decision = Story(make_pool()).tick(queue=earlier, woken_at=START)
    assert codes(decision) == [Code.QUEUE, Code.WOKEN]
    assert (decision.demand, decision.next, decision.wake) == (1, 1, True)
    lost = Absent(why=Why.DISCONNECTED, at=START)
    assert Story(make_pool()).tick(queue=lost, woken_at=START - 1).wake
