"""A StatefulSet loses its highest ordinals first, so it shrinks by what is idle from the top."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from controller.model.decision import Code, Decision, Gate
from controller.model.memory import PendingWrite
from controller.model.observation import Pod, PodPhase, PoolObservation, Workload
from controller.model.worker_messages import WorkerState
from controller.planning.explain import sentence
from support.crews import POOL, crew, decide, pod, removable, state, told
from support.world import START

SET = replace(POOL, deployment="", statefulset="db")


def member(ordinal: int, phase: PodPhase = PodPhase.READY, **more: object) -> Pod:
    return pod(f"db-{ordinal}", phase, ordinal=ordinal, **more)


def seen(
    pods: Iterable[Pod],
    states: Iterable[WorkerState],
    *,
    told: tuple[str, ...] = (),
    silent: tuple[str, ...] = (),
    workload: Workload | None = None,
    **more: int,
) -> PoolObservation:
    items = tuple(pods)
    asked = workload or Workload(replicas=len(items), current=len(items))
    if asked.first_ordinal is None:
        asked = replace(asked, first_ordinal=0)
    return crew(items, states, told=told, silent=silent, workload=asked, **more)


def four(*busy: int, drained: tuple[int, ...] = ()) -> tuple[list[Pod], list[WorkerState]]:
    """Four pods; these ordinals are at work, those have obeyed."""
    states = [state(f"db-{n}", int(n in busy), pulling=n not in drained) for n in range(4)]
    return [member(n) for n in range(4)], states


def shrunk(observed: PoolObservation, target: int, now: float = START) -> Decision:
    return decide(observed, target, pool=SET, now=now)


def test_the_highest_ordinals_are_told_to_stop_whoever_is_idle() -> None:
    decision = shrunk(seen(*four(2, 3)), 2)
    assert (told(decision), decision.next, decision.gate) == (("db-2", "db-3"), 4, Gate.BUSY)
    assert decision.reasons[-1].code is Code.BUSY_AT_THE_TOP


def test_it_shrinks_to_the_busy_ordinal_and_says_which_that_is() -> None:
    going = ("db-1", "db-2", "db-3")
    decision = shrunk(seen(*four(1, drained=(1, 2, 3)), told=going), 1)
    assert (decision.next, told(decision)) == (2, going)
    assert sentence(decision.reasons[-1], START) == (
        "the highest ordinals of a StatefulSet go first, and db-1 is not drained yet (1 of 3"
        " replicas that go at work): 2 replicas now"
    )


def test_an_idle_ordinal_below_a_busy_one_stays() -> None:
    decision = shrunk(seen(*four(3, drained=(2, 3)), told=("db-2", "db-3")), 2)
    assert decision.next == 4


def test_no_pod_is_marked_because_the_ordinals_alone_decide() -> None:
    decision = shrunk(seen(*four(drained=(2, 3)), told=("db-2", "db-3")), 2)
    assert (decision.next, removable(decision)) == (2, ())


def test_pods_that_are_not_ready_or_of_another_revision_change_nothing() -> None:
    pods, states = four(drained=(3,))
    pods[0] = member(0, PodPhase.RUNNING, generation="new")
    decision = shrunk(seen(pods, states, told=("db-3",)), 3)
    assert (decision.next, told(decision)) == (3, ("db-3",))


def test_the_first_ordinal_need_not_be_zero() -> None:
    pods = [member(7), member(8)]
    states = [state("db-7", 1), state("db-8", pulling=False)]
    asked = Workload(replicas=2, current=2, first_ordinal=7)
    decision = shrunk(seen(pods, states, told=("db-8",), workload=asked), 1)
    assert (decision.next, told(decision)) == (1, ("db-8",))


@pytest.mark.parametrize(("silent", "following"), [((), 4), (("db-2", "db-3"), 2)])
def test_a_pod_that_is_not_there_is_told_by_its_name_before_it_counts_as_idle(
    silent: tuple[str, ...], following: int
) -> None:
    pods, states = [member(0), member(1)], [state("db-0", 1), state("db-1", 1)]
    asked = Workload(replicas=4, current=2)
    going = ("db-2", "db-3")
    decision = shrunk(seen(pods, states, told=going, silent=silent, workload=asked), 2)
    assert (decision.next, told(decision)) == (following, going)


def test_a_size_that_no_cluster_has_is_lowered_without_a_list_of_all_its_pods() -> None:
    pods, states = [member(0), member(1)], [state("db-0", 1), state("db-1", 1)]
    decision = shrunk(seen(pods, states, workload=Workload(replicas=2**31 - 1, current=2)), 1)
    assert (decision.next, len(told(decision))) == (102, 101)
    assert decision.reasons[-1].code is Code.BUSY_AT_THE_TOP


def test_a_pod_that_became_ready_lately_keeps_those_below_it() -> None:
    pool = replace(SET, minimum_runtime_s=60.0)
    pods, states = four(drained=(3,))
    pods[2] = replace(pods[2], ready_at=START - 30)
    observed = seen(pods, states, told=("db-3",))
    decision = decide(observed, 1, pool=pool)
    assert (decision.next, decision.gate) == (3, Gate.MINIMUM_RUNTIME)
    assert told(decision) == ("db-3",)
    assert decide(observed, 1, pool=pool, now=START + 31).gate is Gate.BUSY


def test_who_is_being_deleted_stays_told_and_is_not_called_back_too_early() -> None:
    asked = Workload(replicas=2, current=4)
    observed = seen(*four(drained=(2, 3)), told=("db-2", "db-3"), workload=asked)
    assert told(shrunk(observed, 2)) == ("db-2", "db-3")
    behind = Workload(replicas=4, current=4, generation=3, observed_generation=2)
    observed = seen(*four(drained=(2, 3)), told=("db-2", "db-3"), workload=behind)
    assert told(shrunk(observed, 4)) == ("db-2", "db-3")
    observed = seen(
        *four(drained=(2, 3)),
        told=("db-2", "db-3"),
        workload=replace(behind, observed_generation=3),
    )
    assert told(shrunk(observed, 4)) == ()


def test_who_is_being_deleted_already_stays_told() -> None:
    pods, states = four(drained=(3,))
    ending = [*pods[:3], replace(pods[3], phase=PodPhase.TERMINATING)]
    observed = seen(ending, states, told=("db-3",), workload=Workload(replicas=3, current=3))
    assert told(shrunk(observed, 3)) == ("db-3",)


def test_while_a_smaller_set_may_still_be_asked_for_nobody_is_called_back() -> None:
    whole = Workload(replicas=4, current=4, resource_version="93")
    observed = seen(*four(drained=(2, 3)), told=("db-2", "db-3"), workload=whole)
    unanswered = PendingWrite(before=4, after=2, at=START - 2, version="93")
    assert told(decide(observed, 4, pool=SET, asked_for=unanswered)) == ("db-2", "db-3")
    overtaken = replace(unanswered, version="92")
    assert told(decide(observed, 4, pool=SET, asked_for=overtaken)) == ()


def without_states(in_flight: int) -> PoolObservation:
    pods, _ = four()
    return replace(seen(pods, (), in_flight=in_flight), workers=None)


def test_without_states_of_workers_none_goes_while_any_is_busy() -> None:
    decision = shrunk(without_states(in_flight=1), 1)
    assert (decision.next, decision.gate) == (4, Gate.BUSY)
    assert sentence(decision.reasons[-1], START) == (
        "1 replica at work, and nothing says whether these are the highest ordinals, which a"
        " StatefulSet removes first: 4 replicas until all are idle"
    )
    assert shrunk(without_states(in_flight=0), 1).next == 1
