"""No order of events deletes a busy pod of a StatefulSet: workers that hear late and speak late, a
controller that sees only what they said, and a StatefulSet that removes its highest ordinals.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.observation import Pod, PodPhase, Workload
from controller.model.worker_messages import PoolOrders, WorkerState
from support.crews import POOL, crew, decide, pod, state

SET = replace(POOL, deployment="", statefulset="db")
MOST = 5
EVENTS = ("tick", "controller", "fails", "begin", "hear", "ready", "take", "finish", "say")
steps = st.lists(
    st.tuples(st.sampled_from(("target", *EVENTS)), st.integers(0, MOST)), min_size=20, max_size=120
)


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
    states = [
        state(name, busy, pulling=pulling)
        for name, (busy, pulling) in zip(names, workers, strict=True)
    ]
    size = Workload(replicas=len(pods), current=len(pods), first_ordinal=first)
    observed = crew(pods, states, told=tuple(names[target:]), workload=size)
    decision = decide(observed, target, pool=SET)
    working = [place for place, (busy, pulling) in enumerate(workers) if busy or pulling]
    assert decision.next is not None
    goes = [place for place in working if place >= decision.next]
    assert goes == []
    # and no further from the target than that asks for
    highest = max([place for place in working if place >= target], default=-1)
    assert decision.next == min(max(target, highest + 1), max(len(pods), target))


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 12))
def test_without_states_of_workers_it_shrinks_only_while_nothing_is_in_flight(
    replicas: int, target: int, in_flight: int
) -> None:
    pods = [pod(f"db-{place}", ordinal=place) for place in range(replicas)]
    size = Workload(replicas=replicas, current=replicas, first_ordinal=0)
    observed = replace(crew(pods, (), in_flight=in_flight, workload=size), workers=None)
    decision = decide(observed, target, pool=SET)
    assert decision.next == (max(target, replicas) if in_flight else target)


@dataclass
class Member:
    """A pod, and the worker in it once it has begun. `uid` tells it from others of its name."""

    place: int
    uid: int
    ready: bool = False
    begun: bool = False
    busy: int = 0
    pulling: bool = False
    heard: int = 0

    @property
    def name(self) -> str:
        return f"db-{self.place}"

    def seen(self) -> Pod:
        phase = PodPhase.READY if self.ready else PodPhase.STARTING
        return pod(self.name, phase, ordinal=self.place)


@dataclass
class World:
    """Everything at one moment. What workers said stays known after they are gone."""

    one_by_one: bool
    target: int = MOST
    spec: int = 3
    generation: int = 1
    observed: int = 1
    orders: PoolOrders = field(default_factory=PoolOrders)
    revision: int = 0
    silent: tuple[str, ...] = ()
    members: dict[int, Member] = field(default_factory=dict)
    said: dict[str, WorkerState] = field(default_factory=dict)
    made: int = 0

    def happens(self, event: str, number: int) -> None:
        members = [self.members[place] for place in sorted(self.members)]
        if event == "target":
            self.target = number
        elif event == "tick":
            self.tick()
        elif event == "controller":
            self.controller()
        elif event == "fails" and members:
            one = members[number % len(members)]
            if not one.busy:  # what a lost node or a crash takes is not the controller's doing
                del self.members[one.place]
                self.said.pop(one.name, None)
        elif members:
            self.of_worker(event, members[number % len(members)])

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

    def say(self, one: Member) -> None:
        self.said[one.name] = state(one.name, one.busy, pulling=one.pulling, obeyed=one.heard)

    def tick(self) -> None:
        observed = crew(
            [each.seen() for each in self.members.values()],
            self.said.values(),
            orders=self.orders,
            revision=self.revision,
            silent=self.silent,
            workload=Workload(
                replicas=self.spec,
                current=len(self.members),
                generation=self.generation,
                observed_generation=self.observed,
                first_ordinal=0,
            ),
            in_flight=sum(each.busy for each in self.members.values()),
        )
        decision = decide(observed, self.target, pool=SET)
        if decision.drain is None:
            return
        assert decision.drain.removable == ()
        if decision.drain.orders != self.orders or not self.revision:
            self.orders, self.revision = decision.drain.orders, self.revision + 1
        self.silent = tuple(name for name in self.orders.drain if name not in self.said)
        assert decision.next is not None
        if decision.next != self.spec:
            self.spec, self.generation = decision.next, self.generation + 1

    def controller(self) -> None:
        """Create the lowest that is missing, delete the highest that is too many: one of them at a
        time, or all.
        """
        self.observed = self.generation
        for place in range(self.spec):
            if place not in self.members:
                self.made += 1
                self.members[place] = Member(place, self.made)
            if self.one_by_one and not self.members[place].ready:
                return
        for place in sorted(self.members, reverse=True):
            if place >= self.spec:
                victim = self.members.pop(place)
                assert not victim.busy, f"{victim} of {self}"
                self.said.pop(victim.name, None)
                if self.one_by_one:
                    return


policies = pytest.mark.parametrize("one_by_one", [True, False], ids=["OrderedReady", "Parallel"])


@policies
@given(steps)
def test_no_order_of_events_deletes_a_busy_ordinal(
    one_by_one: bool, events: list[tuple[str, int]]
) -> None:
    world = settled(one_by_one)
    for event, number in events:
        world.happens(event, number)


@policies
@given(steps, st.integers(0, MOST))
def test_a_stateful_set_that_is_left_in_peace_reaches_its_size(
    one_by_one: bool, events: list[tuple[str, int]], target: int
) -> None:
    world = settled(one_by_one)
    for event, number in events:
        world.happens(event, number)
    world.target = target
    for _ in range(16):
        for place in list(world.members):
            for event in ("begin", "ready", "hear", "finish", "say"):
                world.of_worker(event, world.members[place])
        world.tick()
        world.controller()
    assert sorted(world.members) == list(range(target)) or not world.revision


def settled(one_by_one: bool) -> World:
    """Three pods whose workers have begun."""
    world = World(one_by_one)
    for _ in range(3):
        world.controller()
        for each in world.members.values():
            for event in ("begin", "ready", "hear"):
                world.of_worker(event, each)
    return world
