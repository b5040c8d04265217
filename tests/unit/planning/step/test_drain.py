"""Pods stop pulling before they go: which of them are told, and how many may go now."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.model.decision import Code, Gate
from controller.model.intents import Scope
from controller.model.memory import PendingWrite
from controller.model.observation import PodPhase, Workers, Workload
from controller.model.readings import Absent, Stale, Why
from controller.model.worker_messages import PoolOrders
from controller.planning.explain import sentence
from support.asked import a_freeze, a_pause, intents_of
from support.crews import POOL, crew, decide, pod, removable, state, told
from support.world import START


def test_idle_workers_are_told_to_stop_before_busy_ones() -> None:
    seen = crew([pod("a"), pod("b"), pod("c")], [state("a", 1), state("b"), state("c", 1)])
    decision = decide(seen, 2)
    assert (told(decision), decision.next, decision.gate) == (("b",), 3, Gate.BUSY)


def test_of_busy_workers_the_one_with_the_fewest_tasks_is_told() -> None:
    seen = crew([pod("a"), pod("b")], [state("a", 2), state("b", 1)])
    assert told(decide(seen, 1)) == ("b",)


def test_who_was_told_is_told_again_although_another_is_idle_now() -> None:
    seen = crew([pod("a"), pod("b")], [state("a", 1, pulling=False), state("b")], told=("a",))
    assert told(decide(seen, 1)) == ("a",)


@pytest.mark.parametrize(
    "said",
    [
        state("a", 1, pulling=False, obeyed=5),
        state("a", 0, pulling=True, obeyed=5),
        state("a", 0, pulling=False, obeyed=4),
        state("a", 0, pulling=False, obeyed=6),
    ],
    ids=["busy", "pulling", "has not heard it", "has heard later orders"],
)
def test_a_worker_is_not_drained_before_it_says_so(said: object) -> None:
    seen = crew([pod("a"), pod("b")], [said, state("b")], told=("a",), revision=5)  # type: ignore[list-item]
    decision = decide(seen, 1)
    assert (decision.next, removable(decision)) == (2, ())


def test_a_worker_that_has_not_heard_its_orders_is_not_drained() -> None:
    pods = [pod("a", first=True), pod("b")]
    states = [state("a", pulling=False, obeyed=4), state("b")]
    assert decide(crew(pods, states, told=("a",), revision=5), 1).next == 2


def test_a_drained_pod_goes_once_it_is_marked() -> None:
    states = [state("a", pulling=False), state("b", 1)]
    unmarked = decide(crew([pod("a"), pod("b")], states, told=("a",)), 1)
    assert (unmarked.next, removable(unmarked)) == (2, ("a",))
    assert sentence(unmarked.reasons[-1], START) == (
        "1 of 1 replica that go are drained, 0 finish their tasks first: 2 replicas now"
    )
    marked = decide(crew([pod("a", first=True), pod("b")], states, told=("a",)), 1)
    assert (marked.next, removable(marked), marked.gate) == (1, ("a",), None)


def test_a_mark_counts_after_a_while() -> None:
    pods = [pod("a", first=True, marked_at=START), pod("b")]
    seen = crew(pods, [state("a", pulling=False), state("b", 1)], told=("a",))
    assert decide(seen, 1).next == 2
    assert decide(seen, 1, now=START + 1).next == 1


def test_a_mark_made_before_the_clock_was_set_back_does_not_hold_the_pool() -> None:
    pods = [pod("a", first=True, marked_at=START + 3600), pod("b")]
    seen = crew(pods, [state("a", pulling=False), state("b", 1)], told=("a",))
    assert decide(seen, 1).next == 1


def test_drained_pods_go_while_others_still_finish() -> None:
    pods = [pod("a", first=True), pod("b"), pod("c")]
    states = [state("a", pulling=False), state("b", 1, pulling=False), state("c", 1)]
    decision = decide(crew(pods, states, told=("a", "b")), 1)
    assert (decision.next, decision.gate) == (2, Gate.BUSY)
    assert decision.reasons[-1].numbers == {"going": 2, "drained": 1, "busy": 1}


def test_a_mark_on_a_pod_that_stays_holds_the_pool_until_it_is_gone() -> None:
    pods = [pod("a", first=True), pod("b", first=True)]
    states = [state("a", pulling=False), state("b", 1)]
    decision = decide(crew(pods, states, told=("a",)), 1)
    assert (decision.next, removable(decision)) == (2, ("a",))


def test_a_busy_pod_that_is_not_ready_holds_the_pool_for_it_would_go_first() -> None:
    pods = [pod("a", first=True), pod("b", PodPhase.RUNNING), pod("c")]
    states = [state("a", pulling=False), state("b", 1, pulling=False), state("c", 1)]
    decision = decide(crew(pods, states, told=("a", "b")), 1)
    assert (decision.next, told(decision)) == (3, ("a", "b"))
    done = [state("a", pulling=False), state("b", pulling=False), state("c", 1)]
    assert decide(crew(pods, done, told=("a", "b")), 1).next == 2


def test_pods_that_start_go_first_once_they_are_known_to_have_no_worker() -> None:
    pods = [pod("a"), pod("b", PodPhase.STARTING, first=True)]
    unknown = crew(pods, [state("a", 1)], told=("b",))
    assert decide(unknown, 1).next == 2
    silent = crew(pods, [state("a", 1)], told=("b",), silent=("b",))
    assert decide(silent, 1).next == 1


def test_all_pods_that_start_are_told_because_a_replica_set_may_take_any_of_them() -> None:
    pods = [pod("a"), pod("b", PodPhase.STARTING), pod("c", PodPhase.STARTING)]
    assert told(decide(crew(pods, [state("a", 1)]), 2)) == ("b", "c")


@pytest.mark.parametrize(("in_flight", "following"), [(1, 1), (2, 2)])
def test_of_a_pod_that_says_nothing_the_queue_tells_whether_it_is_busy(
    in_flight: int, following: int
) -> None:
    pods = [pod("a"), pod("quiet", first=True)]
    seen = crew(
        pods, [state("a", 1)], told=("quiet",), silent=("quiet",), in_flight=in_flight, replicas=2
    )
    decision = decide(seen, 1)
    assert decision.next == following


def test_pods_that_a_replica_set_deletes_now_keep_their_orders_and_their_marks() -> None:
    pods = [pod("a", first=True), pod("b")]
    seen = crew(pods, [state("a", pulling=False, obeyed=1), state("b", 1)], told=("a",), replicas=1)
    decision = decide(seen, 1)
    assert (decision.next, told(decision), removable(decision)) == (1, ("a",), ("a",))


def test_a_marked_pod_keeps_its_mark_while_it_hears_newer_orders() -> None:
    pods = [pod("a", first=True), pod("b")]
    states = [state("a", pulling=False, obeyed=1), state("b", 1)]
    decision = decide(crew(pods, states, told=("a",), revision=2), 1)
    assert (decision.next, removable(decision)) == (2, ("a",))


def test_a_pod_that_may_be_going_is_not_called_back_before_the_new_size_is_seen() -> None:
    pods = [pod("a", first=True), pod("b")]
    states = [state("a", pulling=False), state("b", 1)]
    behind = Workload(replicas=4, current=2, updated=2, generation=7, observed_generation=6)
    seen = crew(pods, states, told=("a",), workload=behind)
    assert told(decide(seen, 4)) == ("a",)
    seen = crew(pods, states, told=("a",), workload=replace(behind, observed_generation=7))
    assert (told(decide(seen, 4)), removable(decide(seen, 4))) == ((), ())


@pytest.mark.parametrize(
    ("asked_for", "may_be_set"),
    [
        (PendingWrite(before=3, after=1, at=START - 2, version="93"), True),
        (PendingWrite(before=3, after=2, at=START - 2, version="93", earlier=(1,)), True),
        (PendingWrite(before=3, after=1, at=START - 2, version="92"), False),
        (PendingWrite(before=3, after=1, at=START - 31, version="93"), False),
        (PendingWrite(before=3, after=4, at=START - 2, version="93"), False),
        (None, False),
    ],
    ids=["no answer", "one of two", "overtaken", "long ago", "growth", "never asked"],
)
def test_while_a_smaller_size_may_still_be_set_who_would_go_is_not_called_back(
    asked_for: PendingWrite | None, *, may_be_set: bool
) -> None:
    pods = [pod("a", first=True), pod("b"), pod("c")]
    states = [state("a", pulling=False), state("b", 1), state("c", 1)]
    workload = Workload(replicas=3, current=3, updated=3, resource_version="93")
    seen = crew(pods, states, told=("a",), workload=workload)
    decision = decide(seen, 3, asked_for=asked_for)
    expected = ("a",) if may_be_set else ()
    assert (told(decision), removable(decision)) == (expected, expected)


def test_who_was_told_and_is_being_deleted_is_not_called_back() -> None:
    deleted, other = (pod(name, PodPhase.TERMINATING) for name in ("a", "z"))
    seen = crew([deleted, other, pod("b")], [state("a", pulling=False), state("b")], told=("a",))
    assert told(decide(seen, 1)) == ("a",)
    gone = crew([pod("b")], [state("b")], told=("a",))
    assert told(decide(gone, 1)) == ()


@pytest.mark.parametrize(("message", "following"), [("exceeded quota", 1), ("", 3)])
def test_replicas_that_cannot_be_created_go_without_a_drain(message: str, following: int) -> None:
    workload = Workload(replicas=3, current=1, updated=1, message=message)
    decision = decide(crew([pod("a")], [state("a", 1)], workload=workload), 1)
    assert (decision.next, told(decision)) == (following, ())


def test_a_pool_that_grows_again_calls_back_who_was_told() -> None:
    seen = crew([pod("a"), pod("b")], [state("a", pulling=False), state("b", 1)], told=("a",))
    decision = decide(seen, 2)
    assert (decision.next, told(decision)) == (2, ())


def test_a_pause_stops_all_pulls_and_ends_when_it_ends() -> None:
    pause = a_pause(scope=Scope(), until=START + 600, who="mara")
    decision = decide(crew([pod("a")], [state("a", 1)]), 0, intents=intents_of(pauses=(pause,)))
    assert decision.drain is not None
    orders = PoolOrders(pull=False, because="pause", drain=("a",), until=START + 600)
    assert decision.drain.orders == orders
    kept = intents_of(pauses=(replace(pause, amount=1),))
    after = decide(crew([pod("a")], [state("a", 1)]), 0, intents=kept).drain
    assert after is not None
    assert after.orders.pull


def test_orders_that_are_about_to_end_are_not_relied_on() -> None:
    ending = PoolOrders(pull=False, because="pause", drain=("a",), until=START + 11)
    seen = crew([pod("a", first=True)], [state("a", pulling=False)], orders=ending)
    pause = intents_of(pauses=(a_pause(scope=Scope(), until=START + 11),))
    assert decide(seen, 0, intents=pause).next == 0
    assert decide(seen, 0, intents=pause, now=START + 2).next == 1


def test_the_workers_of_a_frozen_pool_are_told_nothing() -> None:
    seen = crew([pod("a"), pod("b")], [state("a"), state("b")])
    frozen = intents_of(freezes=(a_freeze(scope=Scope()),), pauses=(a_pause(scope=Scope()),))
    assert decide(seen, 0, intents=frozen).drain is None


def test_a_pool_that_cannot_be_seen_takes_nothing_back_and_tells_nobody_more() -> None:
    seen = crew([pod("a", first=True), pod("b")], [state("a"), state("b")], told=("a",))
    blind = replace(seen, queue=Absent(why=Why.TIMED_OUT))
    decision = decide(blind, 0)
    assert (decision.next, decision.gate) == (2, Gate.BLIND)
    assert (told(decision), removable(decision)) == (("a",), ("a",))


def test_a_pool_keeps_its_size_while_its_workers_are_lost() -> None:
    seen = crew([pod("a"), pod("b")], [])
    for reading in (Absent(why=Why.NEVER_READ), Stale(value=Workers(), at=START)):
        lost = replace(seen, workers=reading)
        decision = decide(lost, 1)
        assert (decision.next, decision.reasons[-1].code) == (2, Code.WORKERS_UNKNOWN)
        assert decide(lost, 5).next == 5


def test_a_pool_whose_workers_never_said_anything_is_scaled_by_its_queue_alone() -> None:
    seen = crew([pod("a"), pod("b"), pod("c")], [], revision=0, in_flight=1)
    decision = decide(seen, 0)
    assert (decision.next, decision.drain) == (1, None)
    assert decision == decide(replace(seen, workers=None), 0)


def test_where_pods_cannot_be_marked_the_queue_alone_decides_and_nobody_stops_for_nothing() -> None:
    pods = [pod("a"), pod("b"), pod("c")]
    seen = crew(pods, [state("a", 1), state("b"), state("c")])
    decision = decide(replace(seen, unmarkable="forbidden"), 0)
    assert (decision.next, told(decision), decision.reasons[-1].code) == (1, (), Code.BUSY)


def test_in_a_rollout_as_many_old_pods_stop_as_there_are_new_ones() -> None:
    pods = [
        pod("old-a", generation="1", created_at=1.0),
        pod("old-b", generation="1", created_at=1.0),
        pod("new", PodPhase.STARTING, generation="2", created_at=9.0),
    ]
    states = [state("old-a", 1), state("old-b")]
    decision = decide(crew(pods, states, replicas=2), 2)
    assert (decision.next, told(decision)) == (2, ("old-b",))
    smaller = decide(crew(pods, states, replicas=2), 1)
    assert (smaller.next, smaller.reasons[-1].code) == (2, Code.ROLLING_OUT)


@pytest.mark.parametrize("updated", [0, 1])
def test_a_rollout_whose_pods_are_of_one_template_for_now_takes_none_away(updated: int) -> None:
    pods = [pod("a", first=True), pod("b")]
    states = [state("a", pulling=False), state("b", 1)]
    rolling = Workload(replicas=2, current=2, updated=updated)
    decision = decide(crew(pods, states, told=("a",), workload=rolling), 1)
    assert (decision.next, decision.reasons[-1].code) == (2, Code.ROLLING_OUT)
    ended = replace(rolling, updated=2)
    assert decide(crew(pods, states, told=("a",), workload=ended), 1).next == 1


def test_a_rollout_that_is_paused_is_named() -> None:
    pods = [
        pod("old", generation="1", created_at=1.0),
        pod("new", generation="2", created_at=9.0),
    ]
    paused = Workload(replicas=2, current=2, updated=1, paused=True)
    decision = decide(crew(pods, [state("old"), state("new")], workload=paused), 1)
    assert (decision.next, decision.reasons[-1].code) == (2, Code.ROLLOUT_PAUSED)


def test_a_paused_deployment_with_pods_of_one_template_shrinks_as_usual() -> None:
    pods = [pod("a", first=True), pod("b")]
    states = [state("a", pulling=False), state("b", 1)]
    paused = Workload(replicas=2, current=2, updated=2, paused=True)
    assert decide(crew(pods, states, told=("a",), workload=paused), 1).next == 1


def test_in_a_rollout_a_pool_goes_to_zero_when_all_its_pods_are_drained() -> None:
    pods = [
        pod("old", generation="1", created_at=1.0),
        pod("new", generation="2", created_at=9.0),
    ]
    states = [state("old", pulling=False), state("new", pulling=False)]
    assert decide(crew(pods, states, told=("new",)), 0).next == 2
    assert decide(crew(pods, states, told=("new", "old")), 0).next == 0


def test_pods_within_their_minimum_runtime_are_not_told_where_sharing_takes_them() -> None:
    pool = replace(POOL, minimum_runtime_s=60.0)
    pods = [pod("a", ready_at=START - 5), pod("b")]
    seen = crew(pods, [state("a"), state("b", 1)])
    assert told(decide(seen, 1, pool=pool)) == ("b",)


def test_workers_on_a_node_that_ends_hand_back_in_a_pool_that_keeps_its_size() -> None:
    pods = [replace(pod("a"), node_ends="spot"), pod("b")]
    drain = decide(crew(pods, [state("a", 1), state("b", 1)]), 2).drain
    assert drain is not None
    assert drain.orders == PoolOrders(leave=("a",))


def test_pods_whose_node_ends_go_before_others() -> None:
    pods = [pod("a"), replace(pod("b"), node_ends="spot"), pod("c")]
    decision = decide(crew(pods, [state("a"), state("b", 1), state("c")]), 2)
    assert told(decision) == ("b",)
    known = crew(pods, [state("a"), state("b", 1), state("c")], told=("c",))
    assert told(decide(known, 2)) == ("c",)
