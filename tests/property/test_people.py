"""Other writers of a pool's size: the plan soon stops replacing their sizes, and takes none for a
contest that is none.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Code, Decision, Gate
from controller.model.fleet import Behavior, Fleet, Pool, ScalingRules
from controller.model.intents import Intents
from controller.model.observation import Observation, Workload
from controller.model.readings import Fresh
from controller.planning.memory import CONTEST_WINDOW_S
from property.worlds import World, pools, sizes
from support.planning import plan

MOST_WRITES_AGAINST = 3
"""The first replaces the size that was found, the next two are replaced in turn."""
INTERVAL_S = 5
CONTEST_TICKS = int(CONTEST_WINDOW_S) // INTERVAL_S
UNLIMITED = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=30),
)
messages = st.integers(0, 30)


class Life:
    """A pool in virtual time whose Deployment follows every write, and what the plan decided."""

    def __init__(self, pool: Pool, replicas: int) -> None:
        self.pool = pool
        self.world = World({pool: replicas})
        self.generation = 1
        self.decisions: list[Decision] = []

    @property
    def replicas(self) -> int:
        return self.world.replicas[self.pool.key]

    def write(self, replicas: int) -> None:
        if replicas != self.replicas:
            self.world.replicas[self.pool.key] = replicas
            self.generation += 1

    def tick(self, work: int) -> Decision:
        world, key = self.world, self.pool.key
        workload = Workload(replicas=self.replicas, generation=self.generation)
        seen = replace(world.seen(work)[key], workload=Fresh(value=workload, at=world.now))
        fleet = Fleet(pools=(self.pool,))
        observation = Observation(pools={key: seen})
        result, world.memory = plan(observation, fleet, Intents(), world.memory, world.now)
        decision = result.decisions[key]
        assert decision.next is not None
        self.write(decision.next)
        self.decisions.append(decision)
        world.now += INTERVAL_S
        return decision

    def ticks(self, count: int, work: int) -> None:
        for _ in range(count):
            self.tick(work)


@settings(deadline=None)
@given(
    pool=pools(),
    replicas=sizes,
    work=messages,
    theirs=sizes,
    patience=st.integers(1, 12),
)
def test_a_writer_that_goes_on_is_written_against_a_few_times_and_then_left_alone(
    pool: Pool, replicas: int, work: int, theirs: int, patience: int
) -> None:
    life, since = Life(pool, replicas), 0
    life.ticks(12, work)
    life.decisions.clear()
    for second in range(CONTEST_TICKS):
        if life.replicas == theirs:
            since = second
        elif second - since >= patience:
            life.write(theirs)
        decision = life.tick(work)
        if decision.gate is Gate.CONTESTED:
            assert not decision.changes
            assert decision.reasons[-1].code is Code.CONTESTED
    against = sum(each.changes and each.current == theirs for each in life.decisions)
    assert against <= MOST_WRITES_AGAINST


@settings(deadline=None)
@given(pool=pools(), replicas=sizes, work=messages, theirs=sizes)
def test_once_the_other_writer_stops_the_pool_comes_to_the_size_it_would_have_without_it(
    pool: Pool, replicas: int, work: int, theirs: int
) -> None:
    pool = replace(pool, min=0, behavior=UNLIMITED)  # so that no path leads elsewhere
    life, alone = Life(pool, replicas), Life(pool, replicas)
    for _ in range(12):
        life.tick(work)
        life.write(theirs)
    life.ticks(CONTEST_TICKS + 24, work)
    alone.ticks(CONTEST_TICKS + 36, work)
    assert life.decisions[-1].gate is None
    assert life.replicas == alone.replicas


@settings(deadline=None)
@given(
    pool=pools(),
    replicas=sizes,
    work=messages,
    theirs=st.lists(sizes, min_size=3, max_size=5),
)
def test_a_writer_that_changes_a_size_now_and_then_is_no_contest(
    pool: Pool, replicas: int, work: int, theirs: list[int]
) -> None:
    life = Life(pool, replicas)
    for size in theirs:
        for _ in range(12):
            assert life.tick(work).gate is not Gate.CONTESTED
        life.world.now += CONTEST_WINDOW_S / 2
        life.write(size)


@settings(deadline=None)
@given(pool=pools(), replicas=sizes, days=st.lists(messages, min_size=20, max_size=120))
def test_the_plan_alone_is_no_contest(pool: Pool, replicas: int, days: list[int]) -> None:
    life = Life(pool, replicas)
    for work in days:
        assert life.tick(work).gate is not Gate.CONTESTED
    assert not life.world.memory.pools[pool.key].set_back
