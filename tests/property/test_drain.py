"""No order of events deletes a busy worker: workers that hear late and speak late, a controller
that sees only what they said, a Deployment's controller that is behind and a ReplicaSet that takes
any pod, or a StatefulSet that removes its highest ordinals.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.observation import DELETED_FIRST, Pod, PodPhase, Workload
from controller.model.worker_messages import PoolOrders, WorkerState
from support.crews import POOL, crew, decide, pod, state, told
from support.examples import scaled

SET = replace(POOL, deployment="", statefulset="db")
MOST = 5
EVENTS = (
    *("target", "tick", "tick without marks", "deployment", "controller"),
    *("begin", "hear", "ready", "take", "finish", "say", "fails"),
)
DEPLOYMENT, ORDERED, PARALLEL = "Deployment", "OrderedReady", "Parallel"
steps = st.lists(
    st.tuples(st.sampled_from(EVENTS), st.integers(0, MOST)), min_size=20, max_size=120
)


@dataclass
class Member:
    """A pod, and the worker in it once it has begun; `place` is its ordinal in a StatefulSet."""

    place: int
    name: str
    ready: bool = False
    cost: int = 0
    begun: bool = False
    busy: int = 0
    pulling: bool = False
    heard: int = 0


@dataclass
class World:
    """Everything at one moment. Whatever happens, what is asked for stays true; what workers of a
    StatefulSet said stays known after they are gone.
    """

    kind: str
    target: int = MOST
    spec: int = 3
    generation: int = 1
    observed: int = 1
    asked: int = 3
    orders: PoolOrders = field(default_factory=PoolOrders)
    revision: int = 0
    silent: tuple[str, ...] = ()
    members: list[Member] = field(default_factory=list)
    said: dict[str, WorkerState] = field(default_factory=dict)
    made: int = 0

    @property
    def is_set(self) -> bool:
        return self.kind != DEPLOYMENT

    def settled(self) -> World:
        """Three pods whose workers have begun."""
        for _ in range(3):
            self.happens("controller", 0)
            self.work("begin", "ready", "hear")
        return self

    def work(self, *events: str) -> None:
        for each in list(self.members):
            for event in events:
                self.of_worker(event, each)

    def happens(self, event: str, number: int) -> None:
        if event == "target":
            self.target = number
        elif event.startswith("tick"):
            self.tick(marks=event == "tick")
        elif not self.is_set and event in {"deployment", "fails"}:
            self.observed, self.asked = self.generation, self.spec
        elif event == "controller":
            (self.stateful_set if self.is_set else self.replica_set)(number)
        elif self.members:
            self.of_worker(event, self.members[number % len(self.members)])

    def of_worker(self, event: str, one: Member) -> None:
        if event == "ready":
            one.ready = one.ready or one.begun
        elif event == "begin" and not one.begun:
            one.begun = True
            self.say(one)
        elif event == "hear" and one.begun and one.heard <= self.revision:
            one.heard = self.revision
            one.pulling = self.orders.pull and one.name not in self.orders.drain
            if one.pulling:
                self.say(one)
        elif event == "take" and one.pulling:
            one.busy = 1
        elif event == "finish":
            one.busy = 0
        elif event == "say" and one.begun:
            self.say(one)
        elif event == "fails" and self.is_set and not one.busy:
            # what a lost node or a crash takes is not the controller's doing
            self.gone(one)

    def say(self, one: Member) -> None:
        self.said[one.name] = state(one.name, one.busy, pulling=one.pulling, obeyed=one.heard)

    def gone(self, one: Member) -> None:
        self.members.remove(one)
        self.said.pop(one.name, None)

    def seen(self, one: Member) -> Pod:
        phase = PodPhase.READY if one.ready else PodPhase.STARTING
        if self.is_set:
            return pod(one.name, phase, ordinal=one.place)
        return pod(one.name, phase, first=one.cost == DELETED_FIRST)

    def tick(self, *, marks: bool) -> None:
        count = len(self.members)
        workload = Workload(
            replicas=self.spec,
            current=count,
            updated=count,
            generation=self.generation,
            observed_generation=self.observed,
            first_ordinal=0 if self.is_set else None,
        )
        observed = crew(
            [self.seen(each) for each in self.members],
            self.said.values(),
            orders=self.orders,
            revision=self.revision,
            silent=self.silent,
            workload=workload,
            in_flight=sum(each.busy for each in self.members),
        )
        decision = decide(observed, self.target, pool=SET if self.is_set else POOL)
        if decision.drain is None:
            return
        assert not (self.is_set and decision.drain.removable)
        if decision.drain.orders != self.orders or not self.revision:
            self.orders, self.revision = decision.drain.orders, self.revision + 1
        there = {each.name for each in self.members}
        self.silent = tuple(
            name
            for name in self.orders.drain
            if name not in self.said and (self.is_set or name in there)
        )
        assert decision.next is not None
        if decision.next != self.spec:
            self.spec, self.generation = decision.next, self.generation + 1
        for each in self.members if marks else ():
            each.cost = DELETED_FIRST if each.name in decision.drain.removable else 0

    def replica_set(self, chance: int) -> None:
        """Create or delete as many as the Deployment's controller has asked for."""
        while len(self.members) < self.asked:
            self.made += 1
            self.members.append(Member(self.made, f"p{self.made:03}"))
        order = sorted(
            self.members,
            key=lambda each: (each.ready, each.cost, (each.place * 3 + chance) % 7),
        )
        for victim in order[: max(len(self.members) - self.asked, 0)]:
            assert not victim.busy, f"{victim} of {self}"
            self.gone(victim)

    def stateful_set(self, _chance: int) -> None:
        """Create the lowest that is missing, delete the highest that is too many: one of them at a
        time, or all.
        """
        self.observed, there = self.generation, {each.place: each for each in self.members}
        for place in range(self.spec):
            if place not in there:
                there[place] = Member(place, f"db-{place}")
                self.members.append(there[place])
            if self.kind == ORDERED and not there[place].ready:
                return
        for place in sorted(there, reverse=True):
            if place >= self.spec:
                assert not there[place].busy, f"{there[place]} of {self}"
                self.gone(there[place])
                if self.kind == ORDERED:
                    return


kinds = pytest.mark.parametrize("kind", [DEPLOYMENT, ORDERED, PARALLEL])


@kinds
@settings(max_examples=scaled(200))
@given(steps, st.integers(0, MOST))
def test_no_order_of_events_deletes_a_busy_worker_and_left_in_peace_a_pool_reaches_its_size(
    kind: str, events: list[tuple[str, int]], target: int
) -> None:
    world = World(kind).settled()
    for event, number in events:
        world.happens(event, number)
    world.target = target
    for _ in range(16):
        world.work("begin", "ready", "hear", "finish", "say")
        world.tick(marks=True)
        world.happens("deployment", 0)
        world.happens("controller", 0)
    # a pool that no worker has ever worked in is none of ours
    assert len(world.members) == target or not world.revision


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=8),
    st.integers(0, 8),
    st.integers(0, 3),
)
def test_the_next_size_keeps_every_ordinal_that_is_busy_or_has_not_obeyed(
    workers: list[tuple[int, bool]], target: int, first: int
) -> None:
    names = [f"db-{first + place}" for place in range(len(workers))]
    pods = [pod(name, ordinal=first + place) for place, name in enumerate(names)]
    size = Workload(replicas=len(pods), current=len(pods), first_ordinal=first)
    states = _states(names, workers)
    observed = crew(pods, states, told=tuple(names[target:]), workload=size)
    decision = decide(observed, target, pool=SET)
    working = [place for place, (busy, pulling) in enumerate(workers) if busy or pulling]
    # and no further from the target than that asks for
    highest = max([place for place in working if place >= target], default=-1)
    assert decision.next == min(max(target, highest + 1), max(len(pods), target))
    silent = replace(crew(pods, (), in_flight=len(working), workload=size), workers=None)
    kept = max(target, len(pods)) if working else target
    assert decide(silent, target, pool=SET).next == kept, "without states of workers"


crews = st.lists(
    st.builds(lambda busy, pulling: (busy, pulling), st.integers(0, 2), st.booleans()),
    min_size=1,
    max_size=6,
)


@given(crews, st.integers(0, 6), st.integers(0, 5))
def test_who_was_told_is_told_again_and_who_finishes_never_raises_the_size(
    workers: list[tuple[int, bool]], target: int, finishing: int
) -> None:
    names = [f"p{number}" for number in range(len(workers))]
    first = told(decide(crew([pod(each) for each in names], _states(names, workers)), target))
    pods = [pod(each, first=each in first) for each in names]
    stopped = [
        (busy, pulling and name not in first)
        for name, (busy, pulling) in zip(names, workers, strict=True)
    ]
    before = decide(crew(pods, _states(names, stopped), told=first), target)
    assert told(before) == first
    after = list(stopped)
    after[finishing % len(after)] = (0, after[finishing % len(after)][1])
    following = decide(crew(pods, _states(names, after), told=first), target)
    assert told(following) == first
    assert before.next is not None
    assert following.next is not None
    assert following.next <= before.next


def _states(names: list[str], workers: list[tuple[int, bool]]) -> list[WorkerState]:
    return [
        state(name, busy, pulling=pulling)
        for name, (busy, pulling) in zip(names, workers, strict=True)
    ]
