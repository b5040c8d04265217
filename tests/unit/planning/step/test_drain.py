"""Pods stop pulling before they go: which of them are told, and how many may go now."""

from __future__ import annotations

import re
from typing import Any

from msgspec.structs import replace

from controller.model.decision import Code, Decision
from controller.model.intents import Scope
from controller.model.memory import PendingWrite
from controller.model.observation import PodPhase, PoolObservation, Workers, Workload
from controller.model.readings import Absent, Stale, Why
from controller.model.worker_messages import PoolOrders
from controller.planning.explain import sentence
from support.asked import a_freeze, a_pause, intents_of
from support.crews import POOL, crew, decide, pod, removable, state, told
from support.table import tabled
from support.world import START
from unit.planning.story import Told

PHASES = {"s": PodPhase.STARTING, "r": PodPhase.RUNNING, "t": PodPhase.TERMINATING}


def manned(text: str, **more: Any) -> PoolObservation:
    """Pods by name: `a+1` has a task, `a~` has obeyed and no longer pulls, `a!` is marked to go
    first, `a?` says nothing, `a@` is on a node that ends; `a/s` starts, `a/r` runs and is not
    ready, `a/t` is being deleted; `a1`, `a2` are of these generations of the template.
    """
    pods, states = [], []
    for word in text.split():
        found = re.fullmatch(r"(\D)(\d?)(\+\d)?([~!?@]*)(?:/(\w))?", word)
        assert found, word
        name, generation, busy, marks, phase = found.groups()
        made = pod(name, PHASES.get(phase or "", PodPhase.READY), first="!" in marks)
        born = {"generation": generation, "created_at": float(generation)} if generation else {}
        pods.append(replace(made, node_ends="spot" if "@" in marks else "", **born))
        if "?" not in marks and phase not in {"s", "t"}:
            states.append(state(name, int(busy or 0), pulling="~" not in marks))
    more["told"] = tuple(more.get("told", ""))
    return crew(pods, states, **more)


def one_template(**fields: Any) -> Workload:
    return replace(Workload(replicas=2, current=2, updated=2), **fields)


BEHIND = Workload(replicas=4, current=2, updated=2, generation=7, observed_generation=6)
# What is seen, the target, and: the next size, its gate and codes; who is told; who may be removed
# fmt: off
DRAINS: dict[str, tuple[PoolObservation, int, str, str, str]] = {
    "idle workers are told to stop before busy ones": (
        manned("a+1 b c+1"), 2, "3 busy", "b", ""),
    "of busy workers the one with the fewest tasks": (manned("a+2 b+1"), 1, "_", "b", ""),
    "who was told is told again although another is idle now": (
        manned("a+1~ b", told="a"), 1, "_", "a", ""),
    "a worker with a task is not drained": (manned("a+1~ b", told="a"), 1, "2", "a", ""),
    "nor one that pulls": (manned("a b", told="a"), 1, "2", "a", ""),
    "nor one that has not heard it": (manned("a~! b", told="a", revision=2), 1, "2", "a", "a"),
    "a drained pod is marked": (manned("a~ b+1", told="a"), 1, "2 going=1 drained=1", "a", "a"),
    "and goes once it is": (manned("a~! b+1", told="a"), 1, "1 !busy", "a", "a"),
    "drained pods go while others still finish": (
        manned("a~! b+1~ c+1", told="ab"), 1, "2 busy going=2 drained=1 busy=1", "ab", "a"),
    "a mark on a pod that stays holds the pool until it is gone": (
        manned("a~! b+1!", told="a"), 1, "2", "a", "a"),
    "a busy pod that is not ready holds the pool, for it would go first": (
        manned("a~! b+1~/r c+1", told="ab"), 1, "3", "ab", "a"),
    "until it is done": (manned("a~! b~/r c+1", told="ab"), 1, "2", "ab", "ab"),
    "pods that start go first once they are known to have no worker": (
        manned("a+1 b!/s", told="b", silent=("b",)), 1, "1", "b", "b"),
    "and not before": (manned("a+1 b!/s", told="b"), 1, "2", "b", "b"),
    "all pods that start are told, because a replica set may take any of them": (
        manned("a+1 b/s c/s"), 2, "_", "bc", ""),
    "of a pod that says nothing the queue tells that it is idle": (
        manned("a+1 q?!", told="q", silent=("q",), in_flight=1), 1, "1", "q", "q"),
    "or that it is busy": (
        manned("a+1 q?!", told="q", silent=("q",), in_flight=2), 1, "2", "q", "q"),
    "pods that a replica set deletes now keep their orders and their marks": (
        manned("a~! b+1", told="a", replicas=1), 1, "1", "a", "a"),
    "a pod that may be going is not called back before the new size is seen": (
        manned("a~! b+1", told="a", workload=BEHIND), 4, "4", "a", "a"),
    "afterwards it is": (
        manned("a~! b+1", told="a", workload=replace(BEHIND, observed_generation=7)),
        4, "4", "", ""),
    "who was told and is being deleted is not called back": (
        manned("a/t z/t b", told="a"), 1, "_", "a", ""),
    "who is gone is": (manned("b", told="a"), 1, "1", "", ""),
    "replicas that cannot be created go without a drain": (
        manned("a+1", workload=Workload(replicas=3, current=1, updated=1, message="quota")),
        1, "1", "", ""),
    "others may be created at this moment": (
        manned("a+1", workload=Workload(replicas=3, current=1, updated=1)), 1, "3", "", ""),
    "a pool that grows again calls back who was told": (
        manned("a~ b+1", told="a"), 2, "2", "", ""),
    "a pool that cannot be seen takes nothing back and tells no more": (
        replace(manned("a! b", told="a"), queue=Absent(why=Why.TIMED_OUT)),
        0, "2 blind", "a", "a"),
    "where pods cannot be marked the queue alone decides, and none stops for nothing": (
        replace(manned("a+1 b c"), unmarkable="forbidden"), 0, "1 busy", "", ""),
    "in a rollout as many old pods stop as there are new ones": (
        manned("a1+1 b1 c2/s", replicas=2), 2, "2", "b", ""),
    "it takes none away": (manned("a1+1 b1 c2/s", replicas=2), 1, "2 rolling_out", "b", ""),
    "a rollout whose pods are of one template for now takes none away": (
        manned("a~! b+1", told="a", workload=one_template(updated=1)), 1, "2 rolling_out", "", ""),
    "a rollout that is paused is named": (
        manned("a1 b2", workload=one_template(updated=1, paused=True)),
        1, "2 rollout_paused", "a", ""),
    "a paused deployment with pods of one template shrinks as usual": (
        manned("a~! b+1", told="a", workload=one_template(paused=True)), 1, "1", "a", "a"),
    "in a rollout a pool does not go to zero before all its pods are drained": (
        manned("a1~ b2~", told="b"), 0, "2", "ab", "b"),
    "and then it does": (manned("a1~ b2~", told="ab"), 0, "0", "ab", "ab"),
    "pods whose node ends go before others": (manned("a b+1@ c"), 2, "_", "b", ""),
    "but not before who was told": (manned("a b+1@ c", told="c"), 2, "_", "c", ""),
}
# fmt: on


@tabled("name", DRAINS)
def test_a_drain(name: str) -> None:
    seen, target, line, stop, go = DRAINS[name]
    decision = decide(seen, target)
    assert not Told(f"0 : {line}").faults(decision)
    assert ("".join(told(decision)), "".join(removable(decision))) == (stop, go)


@tabled("obeyed", [4, 6])
def test_a_worker_that_heard_other_orders_is_not_drained(obeyed: int) -> None:
    said = [state("a", pulling=False, obeyed=obeyed), state("b")]
    decision = decide(crew([pod("a"), pod("b")], said, told=("a",), revision=5), 1)
    assert (decision.next, removable(decision)) == (2, ())


def test_a_mark_counts_after_a_while_and_at_once_if_the_clock_was_set_back() -> None:
    def following(marked_at: float, now: float = START) -> int | None:
        pods = [pod("a", first=True, marked_at=marked_at), pod("b")]
        seen = crew(pods, [state("a", pulling=False), state("b", 1)], told=("a",))
        return decide(seen, 1, now=now).next

    assert [following(START), following(START, START + 1), following(START + 3600)] == [2, 1, 1]
    unmarked = decide(manned("a~ b+1", told="a"), 1)
    assert sentence(unmarked.reasons[-1], START) == (
        "1 of 1 replica that go are drained, 0 finish their tasks first: 2 replicas now"
    )


@tabled(
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
    workload = Workload(replicas=3, current=3, updated=3, resource_version="93")
    seen = manned("a~! b+1 c+1", told="a", workload=workload)
    decision = decide(seen, 3, asked_for=asked_for)
    expected = ("a",) if may_be_set else ()
    assert (told(decision), removable(decision)) == (expected, expected)


def orders_of(decision: Decision) -> PoolOrders:
    assert decision.drain is not None
    return decision.drain.orders


def test_a_pause_stops_all_pulls_and_ends_when_it_ends() -> None:
    pause = a_pause(scope=Scope(), until=START + 600, who="mara")
    stopped = orders_of(decide(manned("a+1"), 0, intents=intents_of(pauses=(pause,))))
    assert stopped == PoolOrders(pull=False, because="pause", drain=("a",), until=START + 600)
    kept = intents_of(pauses=(replace(pause, amount=1),))
    assert orders_of(decide(manned("a+1"), 0, intents=kept)).pull
    frozen = intents_of(freezes=(a_freeze(scope=Scope()),), pauses=(a_pause(scope=Scope()),))
    assert decide(manned("a b"), 0, intents=frozen).drain is None, "a frozen pool is told nothing"


def test_orders_that_are_about_to_end_are_not_relied_on() -> None:
    ending = PoolOrders(pull=False, because="pause", drain=("a",), until=START + 11)
    seen = crew([pod("a", first=True)], [state("a", pulling=False)], orders=ending)
    pause = intents_of(pauses=(a_pause(scope=Scope(), until=START + 11),))
    assert decide(seen, 0, intents=pause).next == 0
    assert decide(seen, 0, intents=pause, now=START + 2).next == 1


def test_a_pool_keeps_its_size_while_its_workers_are_lost_and_grows() -> None:
    for reading in (Absent(why=Why.NEVER_READ), Stale(value=Workers(), at=START)):
        lost = replace(manned("a? b?"), workers=reading)
        decision = decide(lost, 1)
        assert (decision.next, decision.reasons[-1].code) == (2, Code.WORKERS_UNKNOWN)
        assert decide(lost, 5).next == 5


def test_a_pool_whose_workers_never_said_anything_is_scaled_by_its_queue_alone() -> None:
    seen = manned("a? b? c?", revision=0, in_flight=1)
    decision = decide(seen, 0)
    assert (decision.next, decision.drain) == (1, None)
    assert decision == decide(replace(seen, workers=None), 0)


def test_pods_within_their_minimum_runtime_are_not_told_where_sharing_takes_them() -> None:
    pool = replace(POOL, minimum_runtime_s=60.0)
    pods = [pod("a", ready_at=START - 5), pod("b")]
    assert told(decide(crew(pods, [state("a"), state("b", 1)]), 1, pool=pool)) == ("b",)


def test_workers_on_a_node_that_ends_hand_back_in_a_pool_that_keeps_its_size() -> None:
    assert orders_of(decide(manned("a+1@ b+1"), 2)) == PoolOrders(leave=("a",))
