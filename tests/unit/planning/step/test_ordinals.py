"""A StatefulSet loses its highest ordinals first, so it shrinks by what is idle from the top."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from controller.model.decision import Decision, Gate
from controller.model.observation import Pod, PodPhase, PoolObservation, Workload
from controller.planning.explain import sentence
from support.crews import POOL, crew, decide, pod, removable, state, told
from support.table import tabled
from support.world import START
from unit.planning.story import Told

SET = replace(POOL, deployment="", statefulset="db")
WHOLE = Workload(replicas=4, current=4, first_ordinal=0)


def names(ordinals: str) -> tuple[str, ...]:
    return tuple(f"db-{each}" for each in ordinals)


def member(ordinal: int, phase: PodPhase = PodPhase.READY, **more: object) -> Pod:
    return pod(f"db-{ordinal}", phase, ordinal=ordinal, **more)


def four(
    *, busy: str = "", drained: str = "", told: str = "", pods: str = "0123", **more: Any
) -> PoolObservation:
    """These pods; `busy` ordinals are at work, `drained` ones have obeyed, `told` were told."""
    states = [state(f"db-{n}", int(n in busy), pulling=n not in drained) for n in pods]
    given = {"workload": replace(WHOLE, current=len(pods)), **more}
    given["silent"] = names(given.get("silent", ""))
    return crew([member(int(n)) for n in pods], states, told=names(told), **given)


def workload(**fields: Any) -> Workload:
    return replace(WHOLE, **fields)


BEHIND = workload(generation=3, observed_generation=2)
# What is seen, the target, the next size with its gate and codes, and the ordinals that are told
# fmt: off
SETS: dict[str, tuple[PoolObservation, int, str, str]] = {
    "the highest ordinals are told to stop, whether they are idle or not": (
        four(busy="23"), 2, "4 busy busy_at_the_top", "23"),
    "it shrinks to the busy ordinal": (four(busy="1", drained="123", told="123"), 1, "2", "123"),
    "an idle ordinal below a busy one stays": (
        four(busy="3", drained="23", told="23"), 2, "4", "23"),
    "no pod is marked, because the ordinals alone decide": (
        four(drained="23", told="23"), 2, "2", "23"),
    "a pod that is not there is told by its name": (
        four(busy="01", pods="01", told="23"), 2, "4", "23"),
    "and counts as idle then": (
        four(busy="01", pods="01", told="23", silent="23"), 2, "2", "23"),
    "who is being deleted stays told": (
        four(drained="23", told="23", workload=workload(replicas=2)), 2, "2", "23"),
    "and is not called back too early": (
        four(drained="23", told="23", workload=BEHIND), 4, "4", "23"),
    "but then": (
        four(drained="23", told="23", workload=replace(BEHIND, observed_generation=3)),
        4, "4", ""),
}
# fmt: on


@tabled("name", SETS)
def test_a_set(name: str) -> None:
    seen, target, line, stop = SETS[name]
    decision = decide(seen, target, pool=SET)
    assert not Told(f"0 : {line}").faults(decision)
    assert (told(decision), removable(decision)) == (names(stop), ())


def shrunk(seen: PoolObservation, target: int, **more: Any) -> Decision:
    return decide(seen, target, **{"pool": SET, **more})


def test_pods_that_are_not_ready_or_of_another_revision_or_first_ordinal_change_nothing() -> None:
    states = [state(f"db-{n}", pulling=n != 3) for n in range(4)]
    pods = [member(0, PodPhase.RUNNING, generation="new"), *map(member, (1, 2, 3))]
    decision = shrunk(crew(pods, states, told=("db-3",), workload=WHOLE), 3)
    assert (decision.next, told(decision)) == (3, ("db-3",))
    states = [state("db-7", 1), state("db-8", pulling=False)]
    asked = Workload(replicas=2, current=2, first_ordinal=7)
    seen = crew([member(7), member(8)], states, told=("db-8",), workload=asked)
    assert (shrunk(seen, 1).next, told(shrunk(seen, 1))) == (1, ("db-8",))


def test_a_pod_that_became_ready_lately_keeps_those_below_it() -> None:
    pods = [*map(member, (0, 1)), replace(member(2), ready_at=START - 30), member(3)]
    states = [state(f"db-{n}", pulling=n != 3) for n in range(4)]
    seen = crew(pods, states, told=("db-3",), workload=WHOLE)
    pool = replace(SET, minimum_runtime_s=60.0)
    decision = shrunk(seen, 1, pool=pool)
    assert (decision.next, decision.gate) == (3, Gate.MINIMUM_RUNTIME)
    assert told(decision) == ("db-3",)
    assert shrunk(seen, 1, pool=pool, now=START + 31).gate is Gate.BUSY
    ending = [*pods[:3], replace(pods[3], phase=PodPhase.TERMINATING)]
    size = workload(replicas=3, current=3)
    assert told(shrunk(crew(ending, states, told=("db-3",), workload=size), 3)) == ("db-3",)


def test_without_states_of_workers_none_goes_while_any_is_busy() -> None:
    busy, idle = (replace(four(in_flight=count), workers=None) for count in (1, 0))
    decision = shrunk(busy, 1)
    assert (decision.next, decision.gate, shrunk(idle, 1).next) == (4, Gate.BUSY, 1)
    assert sentence(decision.reasons[-1], START) == (
        "1 replica at work, and nothing says whether these are the highest ordinals, which a"
        " StatefulSet removes first: 4 replicas until all are idle"
    )
