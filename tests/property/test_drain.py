"""No order of events deletes a busy worker: workers that hear late and speak late, a controller
that sees only what they said, and a ReplicaSet that chooses by its own rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from controller.model.observation import DELETED_FIRST, Pod, PodPhase, Workload
from controller.model.worker_messages import PoolOrders, WorkerState
from support.crews import crew, decide, pod, state, told

MOST = 5
EVENTS = (
    "tick",
    "tick without marks",
    "deployment",
    "replica set",
    "begin",
    "hear",
    "ready",
    "take",
    "finish",
    "say",
)
steps = st.lists(
    st.tuples(st.sampled_from(("target", *EVENTS)), st.integers(0, MOST)), min_size=20, max_size=120
)


@dataclass
class Member:
    """A pod, and the worker in it once it has begun."""

    name: str
    ready: bool = False
    cost: int = 0
    begun: bool = False
    busy: int = 0
    pulling: bool = False
    heard: int = 0
    said: WorkerState | None = None

    def say(self) -> None:
        self.said = state(self.name, self.busy, pulling=self.pulling, obeyed=self.heard)

    def seen(self) -> Pod:
        phase = PodPhase.READY if self.ready else PodPhase.STARTING
        return pod(self.name, phase, first=self.cost == DELETED_FIRST)


@dataclass
class World:
    """Everything at one moment. Whatever happens, what is asked for stays true."""

    target: int = MOST
    spec: int = 3
    generation: int = 1
    observed: int = 1
    asked: int = 3
    orders: PoolOrders = field(default_factory=PoolOrders)
    revision: int = 0
    silent: tuple[str, ...] = ()
    members: list[Member] = field(default_factory=list)
    made: int = 0
    gone: int = 0

    def happens(self, event: str, number: int) -> None:
        if event == "target":
            self.target = number
        elif event.startswith("tick"):
            self.tick(marks=event == "tick")
        elif event == "deployment":
            self.observed, self.asked = self.generation, self.spec
        elif event == "replica set":
            self.replica_set(number)
        elif self.members:
            self.of_worker(event, self.members[number % len(self.members)])

    def of_worker(self, event: str, one: Member) -> None:
        if event == "ready":
            one.ready = one.ready or one.begun
        elif event == "begin" and not one.begun:
            one.begun = True
            one.say()
        elif event == "hear" and one.begun and one.heard <= self.revision:
            one.heard = self.revision
            one.pulling = self.orders.pull and one.name not in self.orders.drain
            if one.pulling:
                one.say()
        elif event == "take" and one.pulling:
            one.busy = 1
        elif event == "finish":
            one.busy = 0
        elif event == "say" and one.begun:
            one.say()

    def tick(self, *, marks: bool) -> None:
        seen = crew(
            [each.seen() for each in self.members],
            [each.said for each in self.members if each.said is not None],
            orders=self.orders,
            revision=self.revision,
            silent=self.silent,
            workload=Workload(
                replicas=self.spec,
                current=len(self.members),
                updated=len(self.members),
                generation=self.generation,
                observed_generation=self.observed,
            ),
            in_flight=sum(each.busy for each in self.members),
        )
        decision = decide(seen, self.target)
        if decision.drain is None:
            return
        if decision.drain.orders != self.orders or not self.revision:
            self.orders, self.revision = decision.drain.orders, self.revision + 1
        silent = {each.name for each in self.members if each.said is None}
        self.silent = tuple(sorted(silent.intersection(self.orders.drain)))
        assert decision.next is not None
        if decision.next != self.spec:
            self.spec, self.generation = decision.next, self.generation + 1
        for each in self.members if marks else ():
            each.cost = DELETED_FIRST if each.name in decision.drain.removable else 0

    def replica_set(self, chance: int) -> None:
        """Create or delete as many as the Deployment's controller has asked for."""
        while len(self.members) < self.asked:
            self.made += 1
            self.members.append(Member(f"p{self.made:03}"))
        order = sorted(
            self.members,
            key=lambda each: (each.ready, each.cost, (int(each.name[1:]) * 3 + chance) % 7),
        )
        for victim in order[: max(len(self.members) - self.asked, 0)]:
            assert not victim.busy, f"{victim} of {self}"
            self.members.remove(victim)
            self.gone += 1


@given(steps)
def test_no_order_of_events_deletes_a_busy_worker(events: list[tuple[str, int]]) -> None:
    world = World()
    world.replica_set(0)
    for each in world.members:
        world.of_worker("begin", each)
        world.of_worker("ready", each)
        world.of_worker("hear", each)
    for event, number in events:
        world.happens(event, number)


@given(steps, st.integers(0, MOST))
def test_a_pool_that_is_left_in_peace_reaches_its_size(
    events: list[tuple[str, int]], target: int
) -> None:
    world = World()
    world.replica_set(0)
    for event, number in events:
        world.happens(event, number)
    world.target = target
    for _ in range(12):
        for each in world.members:
            for event in ("begin", "ready", "hear", "finish", "say"):
                world.of_worker(event, each)
        world.tick(marks=True)
        world.happens("deployment", 0)
        world.replica_set(0)
    # a pool that nobody has ever worked in is none of ours
    assert len(world.members) == max(target, 0) or not world.revision


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
