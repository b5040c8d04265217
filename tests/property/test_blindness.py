"""What is not known of a pool, or is impossible, takes nothing away."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Code
from controller.model.fleet import Fleet, Pool
from controller.model.intents import Intents
from controller.model.memory import Memory
from controller.model.observation import Observation, PoolObservation, QueueDepth, Workload
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.planning.explain import headline, sentence
from property.worlds import (
    ABSURD_COUNTS,
    ABSURD_TIMES,
    World,
    any_observation,
    as_bytes,
    lived,
    pools,
    sizes,
    steps,
)
from support.planning import plan

blind_sources = st.sets(st.sampled_from(["queue", "workload", "pods"]), min_size=1)


@given(
    pool=pools(),
    replicas=sizes,
    history=steps,
    blind=blind_sources,
    data=st.data(),
)
def test_any_silent_source_keeps_a_pool_from_shrinking(
    pool: Pool,
    replicas: int,
    history: list[tuple[float, int]],
    blind: set[str],
    data: st.DataObject,
) -> None:
    messages, why = data.draw(st.integers(0, 30)), data.draw(st.sampled_from(Why))
    old, woken = data.draw(st.booleans()), data.draw(st.booleans())
    world = lived(pool, replicas, history)
    seen = world.seen(messages)[pool.key]
    for source in blind:
        last = getattr(seen, source)
        gone = Stale(value=last.value, at=last.at, why=why) if old else Absent(why=why, at=last.at)
        seen = replace(seen, **{source: gone})
    if woken:
        seen = replace(seen, woken_at=world.now)
    decision = world.ask({pool.key: seen}).decisions[pool.key]
    current = world.replicas[pool.key]
    if blind & {"workload", "pods"}:
        assert not decision.changes
    else:
        assert decision.next is not None
        assert decision.next >= current


@given(
    first=pools("a"),
    second=pools("b"),
    replicas=st.tuples(sizes, sizes),
    history=steps,
    messages=st.integers(0, 30),
)
def test_a_blind_pool_changes_nothing_for_a_pool_that_is_known(
    first: Pool,
    second: Pool,
    replicas: tuple[int, int],
    history: list[tuple[float, int]],
    messages: int,
) -> None:
    world = World(dict(zip((first, second), replicas, strict=True)))
    for wait_s, work in history:
        world.tick(work)
        world.now += wait_s
    seen = world.seen(messages)
    both = world.ask(seen).decisions
    blind = world.ask({**seen, second.key: PoolObservation()}).decisions
    alone = world.ask({first.key: seen[first.key]}).decisions
    assert as_bytes(both[first.key]) == as_bytes(blind[first.key]) == as_bytes(alone[first.key])


@given(
    pool=pools(),
    replicas=sizes,
    history=steps,
    field=st.sampled_from(["pending", "in_flight", "at"]),
    data=st.data(),
)
def test_an_impossible_number_is_refused_with_a_reason(
    pool: Pool, replicas: int, history: list[tuple[float, int]], field: str, data: st.DataObject
) -> None:
    world = lived(pool, replicas, history)
    current = world.replicas[pool.key]
    absurd = data.draw(st.sampled_from(ABSURD_TIMES if field == "at" else ABSURD_COUNTS))
    counts = {"pending": 0, "in_flight": 0, "at": world.now, field: absurd}
    queue = Fresh(
        value=QueueDepth(pending=counts["pending"], in_flight=counts["in_flight"]),  # type: ignore[arg-type]  # absurd
        at=counts["at"],
    )
    seen = replace(world.seen(0)[pool.key], queue=queue)
    decision = world.ask({pool.key: seen}).decisions[pool.key]
    assert decision.reasons[0].code is Code.QUEUE_UNKNOWN
    assert decision.reasons[0].numbers["why"] == Why.IMPLAUSIBLE
    assert decision.next is not None
    assert decision.next >= current


@given(
    odd=pools("a"),
    other=pools("b"),
    replicas=st.one_of(st.integers(max_value=-1), st.integers(min_value=2**31)),
    messages=st.integers(0, 30),
)
def test_an_impossible_size_is_refused_and_the_other_pools_are_planned(
    odd: Pool, other: Pool, replicas: int, messages: int
) -> None:
    world = World({odd: 1, other: 1})
    seen = world.seen(messages)
    workload = Fresh(value=Workload(replicas=replicas), at=world.now)
    strange = {**seen, odd.key: replace(seen[odd.key], workload=workload)}
    decisions = world.ask(strange).decisions
    assert decisions[odd.key].next is None
    assert decisions[odd.key].reasons[-1].code is Code.WORKLOAD_UNKNOWN
    assert as_bytes(decisions[other.key]) == as_bytes(world.ask(seen).decisions[other.key])


@given(pool=pools(), history=steps, messages=st.integers(0, 30))
def test_zero_by_hand_is_left_alone_where_min_is_more(
    pool: Pool, history: list[tuple[float, int]], messages: int
) -> None:
    pool = replace(pool, min=max(pool.min, 1))
    world = lived(pool, 2, history)
    world.replicas[pool.key] = 0
    decision = world.ask(world.seen(messages)).decisions[pool.key]
    assert decision.reasons[-1].code is Code.SCALED_TO_ZERO_BY_HAND
    assert decision.next == 0


@given(
    pool=pools(),
    replicas=sizes,
    history=steps,
    seen=st.lists(any_observation, min_size=1, max_size=4),
    step_s=st.one_of(st.just(0.0), st.floats(-4000, 4000), st.sampled_from(ABSURD_TIMES)),
)
def test_no_observation_makes_the_planner_raise(
    pool: Pool,
    replicas: int,
    history: list[tuple[float, int]],
    seen: list[PoolObservation],
    step_s: float,
) -> None:
    world = lived(pool, replicas, history)
    memory: Memory = world.memory
    for sight in seen:
        observation = Observation(pools={pool.key: sight}, clock_step_s=step_s)
        result, memory = plan(observation, Fleet(pools=(pool,)), Intents(), memory, world.now)
        decision = result.decisions[pool.key]
        assert headline(decision, world.now)
        for reason in decision.reasons:
            assert sentence(reason, world.now)
        if decision.next is not None:
            assert 0 <= decision.next < 2**31
        remembered = memory.pools.get(pool.key)
        assert remembered is None or math.isfinite(remembered.since)
