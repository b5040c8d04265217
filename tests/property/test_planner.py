"""What holds for every pool, every history and every amount of work."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from controller.model.decision import Code
from controller.model.fleet import (
    Behavior,
    Fleet,
    PolicyType,
    Pool,
    ScalingPolicy,
    ScalingRules,
)
from controller.model.intents import Intents
from controller.model.observation import Observation, QueueDepth
from controller.model.readings import Fresh, Why
from property.worlds import (
    ABSURD_COUNTS,
    ABSURD_TIMES,
    World,
    lived,
    moved,
    pools,
    sizes,
    steps,
)
from support.planning import plan

messages = st.integers(0, 30)
STEADY = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=10),
)


@given(pool=pools(), replicas=sizes, history=steps, work=messages)
def test_target_lies_between_min_and_max_unless_it_was_zero_by_hand(
    pool: Pool, replicas: int, history: list[tuple[float, int]], work: int
) -> None:
    world = lived(pool, replicas, history)
    decision = world.ask(world.seen(work)).decisions[pool.key]
    assert decision.target is not None
    if decision.reasons[-1].code is not Code.SCALED_TO_ZERO_BY_HAND:
        assert pool.min <= decision.target <= pool.max


@given(pool=pools(), replicas=sizes, history=steps, later=steps, step_s=st.integers(-9_000, 9_000))
def test_a_step_of_the_clock_decides_the_same(
    pool: Pool,
    replicas: int,
    history: list[tuple[float, int]],
    later: list[tuple[float, int]],
    step_s: int,
) -> None:
    """Beside the times that its reasons name."""
    steady, stepped = lived(pool, replicas, history), lived(pool, replicas, history)
    stepped.now += step_s
    fleet = Fleet(pools=(pool,))
    for world, moves_s in ((steady, 0.0), (stepped, float(step_s))):
        observation = Observation(pools={}, clock_step_s=moves_s)
        _, world.memory = plan(observation, fleet, Intents(), world.memory, world.now)
    for wait_s, work in later:
        expected, answer = steady.tick(work), stepped.tick(work)
        [decision], [usual] = answer.decisions.values(), expected.decisions.values()
        assert moved(decision, -step_s) == usual
        steady.now += wait_s
        stepped.now += wait_s


@given(
    up=st.integers(1, 6),
    down=st.integers(1, 6),
    period_s=st.sampled_from([5, 20]),
    replicas=st.integers(1, 12),
    work=st.lists(messages, min_size=30, max_size=80),
)
def test_no_step_exceeds_its_policy_within_any_period(
    up: int, down: int, period_s: int, replicas: int, work: list[int]
) -> None:
    def limited(value: int) -> ScalingRules:
        policy = ScalingPolicy(type=PolicyType.PODS, value=value, period_s=period_s)
        return ScalingRules(stabilization_window_s=0, policies=(policy,))

    rules = Behavior(scale_up=limited(up), scale_down=limited(down))
    pool = replace(POOL, behavior=rules, cooldown_s=3.0)
    world = World({pool: replicas})
    history = [replicas]
    for amount in work:
        world.tick(amount)
        world.now += 1
        history.append(world.replicas[pool.key])
    for index, (before, size) in enumerate(itertools.pairwise(history), start=1):
        began = history[max(index - period_s, 0)]
        assert size <= max(before, began + up)
        assert size >= min(before, began - down)


POOL = Pool(
    key="acme/research",  # type: ignore[arg-type]  # as pool_key would make it
    name="research",
    tenant="acme",
    namespace="acme",
    deployment="research",
    stream="TASKS",
    consumer="research",
    behavior=STEADY,
    max=12,
)


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
