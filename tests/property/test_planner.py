"""What holds for every pool, every history and every amount of work."""

from __future__ import annotations

import itertools

import msgspec
import pytest
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
from controller.model.memory import Memory
from controller.model.observation import Observation
from controller.planning.demand.hpa_metrics import object_average_value, object_value
from controller.planning.inputs import Tolerance
from property.worlds import World, as_bytes, lived, moved, pools, sizes, steps
from support.planning import plan

messages = st.integers(0, 30)
STEADY = Behavior(
    scale_up=ScalingRules(stabilization_window_s=0),
    scale_down=ScalingRules(stabilization_window_s=10),
)


@given(pool=pools(), replicas=sizes, history=steps, work=messages)
def test_a_plan_that_was_obeyed_asks_for_nothing_more(
    pool: Pool, replicas: int, history: list[tuple[float, int]], work: int
) -> None:
    world = lived(pool, replicas, history)
    world.tick(work)
    again = world.tick(work).decisions[pool.key]
    assert not again.changes, again


@given(pool=pools(), replicas=sizes, history=steps, work=messages)
def test_target_lies_between_min_and_max_unless_it_was_zero_by_hand(
    pool: Pool, replicas: int, history: list[tuple[float, int]], work: int
) -> None:
    world = lived(pool, replicas, history)
    decision = world.ask(world.seen(work)).decisions[pool.key]
    assert decision.target is not None
    if decision.reasons[-1].code is not Code.SCALED_TO_ZERO_BY_HAND:
        assert pool.min <= decision.target <= pool.max


@given(pool=pools(), replicas=sizes, history=steps, work=messages, more=st.integers(0, 20))
def test_more_work_never_wants_less(
    pool: Pool, replicas: int, history: list[tuple[float, int]], work: int, more: int
) -> None:
    world = lived(pool, replicas, history)
    less = world.ask(world.seen(work)).decisions[pool.key]
    most = world.ask(world.seen(work + more)).decisions[pool.key]
    assert less.target is not None
    assert less.next is not None
    assert most.target is not None
    assert most.next is not None
    assert most.target >= less.target
    assert most.next >= less.next


@given(
    names=st.lists(st.sampled_from("abcdef"), unique=True, min_size=2, max_size=4),
    replicas=st.lists(sizes, min_size=4, max_size=4),
    history=steps,
    work=messages,
    data=st.data(),
)
def test_no_order_of_pools_or_keys_matters(
    names: list[str],
    replicas: list[int],
    history: list[tuple[float, int]],
    work: int,
    data: st.DataObject,
) -> None:
    fleet = [data.draw(pools(name)) for name in names]
    world = World(dict(zip(fleet, replicas, strict=False)))
    for wait_s, amount in history:
        world.tick(amount)
        world.now += wait_s
    seen = world.seen(work)
    answers = set()
    for order in itertools.islice(itertools.permutations(fleet), 6):
        observation = Observation(pools={pool.key: seen[pool.key] for pool in reversed(order)})
        remembered = {pool.key: world.memory.pools[pool.key] for pool in order if history}
        memory = replace(world.memory, pools=remembered)
        result = plan(observation, Fleet(pools=order), Intents(), memory, world.now)
        answers.add(as_bytes(result))
    assert len(answers) == 1


@given(pool=pools(), replicas=sizes, history=steps, work=messages)
def test_a_number_that_differs_from_its_demand_says_why(
    pool: Pool, replicas: int, history: list[tuple[float, int]], work: int
) -> None:
    world = lived(pool, replicas, history)
    decision = world.ask(world.seen(work)).decisions[pool.key]
    beyond = [reason.code for reason in decision.reasons if reason.code is not Code.QUEUE]
    if decision.demand not in {decision.next, None} or decision.gate is not None:
        assert beyond
    if decision.next != decision.target:
        assert decision.gate is not None


@given(pool=pools(), replicas=sizes, history=steps, later=steps)
def test_a_restart_from_json_decides_the_same(
    pool: Pool,
    replicas: int,
    history: list[tuple[float, int]],
    later: list[tuple[float, int]],
) -> None:
    running = lived(pool, replicas, history)
    restarted = lived(pool, replicas, history)
    restarted.memory = msgspec.json.decode(msgspec.json.encode(running.memory), type=Memory)
    for wait_s, work in later:
        assert as_bytes(running.tick(work)) == as_bytes(restarted.tick(work))
        running.now += wait_s
        restarted.now += wait_s
    assert as_bytes(running.memory) == as_bytes(restarted.memory)


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


@given(pool=pools(), replicas=sizes, work=st.lists(messages, min_size=20, max_size=60))
def test_within_one_window_the_direction_changes_at_most_once(
    pool: Pool, replicas: int, work: list[int]
) -> None:
    pool = replace(pool, min=1, behavior=STEADY)
    world = World({pool: replicas})
    turns: list[int] = []
    last = 0
    for second, amount in enumerate(work):
        before = world.replicas[pool.key]
        world.tick(amount)
        world.now += 1
        move = world.replicas[pool.key] - before
        if move * last < 0:
            turns.append(second)
        last = move or last
    # upwards is at once; downwards needs a whole window without a higher wish
    assert all(third - first >= 10 for first, third in zip(turns, turns[2:], strict=False))


@given(
    value=st.integers(1, 10**7),
    target=st.integers(1, 10**6),
    replicas=st.integers(1, 50),
    tolerance=st.floats(0, 0.5),
)
def test_noise_inside_the_tolerance_changes_nothing(
    value: int, target: int, replicas: int, tolerance: float
) -> None:
    both = Tolerance(down=tolerance, up=tolerance)
    if both.holds(value / target):
        assert object_value(value, target, replicas, replicas, both).replicas == replicas
    if both.holds(value / (target * replicas)):
        assert object_average_value(value, target, replicas, both).replicas == replicas


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


@pytest.mark.parametrize("low", [0, 1, 2])
@pytest.mark.parametrize("activation", [0, 2])
def test_every_small_world_stays_within_its_bounds_and_comes_to_rest(
    low: int, activation: int
) -> None:
    """All sizes to 4, all pairs of amounts of work to 4."""
    pool = replace(POOL, min=low, max=3, activation=activation, cooldown_s=4.0)
    for replicas, before, after in itertools.product(range(5), range(5), range(5)):
        world = World({pool: replicas})
        for work in [before] * 3 + [after] * 40:
            decision = world.tick(work).decisions[pool.key]
            again = world.ask(world.seen(work)).decisions[pool.key]
            assert not again.changes
            assert decision.next is not None
            if decision.next != decision.demand:
                assert len(decision.reasons) > 1
            world.now += 1
        final = world.replicas[pool.key]
        by_hand = low > 0 and replicas == 0
        asleep = low == 0 and after <= activation
        assert final == (0 if by_hand or asleep else min(max(after, low, 1), 3))
