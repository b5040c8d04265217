"""Whatever is asked for, nothing is written that a gate forbids."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from controller.kube.watch import believed
from controller.kube.workloads import WorkloadView
from controller.model.decision import Code, Decision, Gate
from controller.model.fleet import BlindPolicy, Fleet, Pool, Tenant, Tier
from controller.model.intents import Scope
from controller.model.observation import (
    Observation,
    Pod,
    PodPhase,
    Pods,
    PoolObservation,
    QueueDepth,
    Workload,
)
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.planning.explain import headline, sentence
from controller.planning.inputs import (
    FREEZE,
    PAUSED,
    PAUSED_REPLICAS,
    PAUSED_SCALE_IN,
    PAUSED_SCALE_OUT,
)
from property.worlds import START, World, lived, pools, sizes, steps
from support.asked import a_freeze, a_pause, a_pin, intents_of
from support.planning import plan

HOLDS = {Gate.FREEZE, Gate.BLIND, Gate.WARM_UP, Gate.CONTESTED, Gate.NOT_BECOMING_READY}
NAMES = (FREEZE, PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN, PAUSED_SCALE_OUT)

the_fleet = Scope()
any_intents = st.builds(
    intents_of,
    pins=st.lists(st.builds(a_pin, pool=st.just("acme/research"), replicas=sizes), max_size=1).map(
        tuple
    ),
    pauses=st.lists(
        st.builds(a_pause, scope=st.just(the_fleet), keep=st.none() | sizes), max_size=1
    ).map(tuple),
    freezes=st.lists(st.builds(a_freeze, scope=st.just(the_fleet)), max_size=1).map(tuple),
)
values = st.one_of(
    st.sampled_from(["true", "false", "", "0", "3", "-1", "+7", "x", "9" * 5_000]), st.text()
)
any_annotations = st.dictionaries(st.sampled_from(NAMES), values, max_size=3)
any_pods = st.builds(
    Pods,
    items=st.lists(
        st.builds(
            Pod, name=st.just("a"), phase=st.sampled_from(PodPhase), reason=st.just("Unschedulable")
        ),
        max_size=2,
    ).map(tuple),
)
depths = st.builds(
    QueueDepth,
    pending=st.integers(0, 30),
    in_flight=st.integers(0, 10),
    redelivered=st.integers(-1, 12),
)


@st.composite
def readings(draw: st.DrawFn, values: st.SearchStrategy[object]) -> Reading[object]:
    at = START + draw(st.integers(-900, 0))
    return draw(
        st.sampled_from(
            [
                Fresh(value=draw(values), at=at),
                Stale(value=draw(values), at=at),
                Absent(why=Why.TIMED_OUT, at=at),
            ]
        )
    )


@st.composite
def decided(draw: st.DrawFn) -> Decision:
    """A decision on any pool with any past, whatever is asked for and whatever is not known."""
    pool = draw(pools())
    world = lived(pool, draw(sizes), draw(steps))
    current = draw(sizes)  # another writer may have set it since
    seen = PoolObservation(
        queue=draw(readings(depths)),  # type: ignore[arg-type]  # of the right kind
        workload=Fresh(
            value=Workload(replicas=current, annotations=draw(any_annotations)), at=world.now
        ),
        pods=draw(readings(any_pods)),  # type: ignore[arg-type]  # of the right kind
    )
    policy = draw(st.none() | st.builds(BlindPolicy, after_s=st.just(60.0), replicas=sizes))
    tier = Tier(name="growth", priority=500, blind=policy)
    fleet = Fleet(tenants=(Tenant(name="acme", tier=tier, namespace="acme"),), pools=(pool,))
    observation = Observation(pools={pool.key: seen})
    result, _ = plan(observation, fleet, draw(any_intents), world.memory, world.now)
    return result.decisions[pool.key]


@given(decision=decided())
def test_a_gate_changes_nothing_and_a_step_lies_between_size_and_target(decision: Decision) -> None:
    current, target, following = decision.current, decision.target, decision.next
    assert current is not None
    assert target is not None
    assert following is not None
    if decision.gate in HOLDS:
        assert following == current
    assert min(current, target) <= following <= max(current, target)
    if following != target:
        assert decision.gate is not None


@given(decision=decided())
def test_every_decision_can_be_put_into_words(decision: Decision) -> None:
    assert headline(decision, START)
    assert all(sentence(reason, START) for reason in decision.reasons)
    if decision.next != decision.demand:
        assert decision.reasons


@given(
    pool=pools(),
    replicas=sizes,
    work=st.integers(0, 30),
    name=st.sampled_from([PAUSED, FREEZE]),
    text=st.text().filter(lambda text: text not in {"0", "f", "F", "false", "FALSE", "False"}),
)
def test_any_value_of_a_switch_but_a_false_one_keeps_a_deployment_as_it_is(
    pool: Pool, replicas: int, work: int, name: str, text: str
) -> None:
    world = World({pool: replicas})
    seen = world.seen(work)[pool.key]
    workload = Workload(replicas=replicas, annotations={name: text})
    held = replace(seen, workload=Fresh(value=workload, at=world.now))
    assert world.ask({pool.key: held}).decisions[pool.key].next == replicas


@given(
    pool=pools(),
    replicas=sizes,
    work=st.lists(st.integers(0, 40), min_size=10, max_size=40),
    phase=st.sampled_from([PodPhase.CRASHING, PodPhase.STARTING]),
)
def test_where_every_new_pod_fails_growth_ends_with_the_first_one(
    pool: Pool, replicas: int, work: list[int], phase: PodPhase
) -> None:
    world, sound = World({pool: replicas}), replicas
    for messages in work:
        size = world.replicas[pool.key]
        sound = min(sound, size)  # Kubernetes takes those that are not ready first
        failing = tuple(
            Pod(name=f"p{number}", phase=phase, reason="ImagePullBackOff")
            for number in range(size - sound)
        )
        seen = world.seen(messages)[pool.key]
        pods = Fresh(value=Pods(ready=sound, items=failing), at=world.now)
        result, world.memory = world._plan({pool.key: replace(seen, pods=pods)})
        decision = result.decisions[pool.key]
        assert decision.next is not None
        if failing:
            assert decision.next <= size
        if decision.next < (decision.target or 0):
            assert decision.reasons[-1].code is Code.NOT_BECOMING_READY
        assert decision.next <= max(size, pool.max)
        world.replicas[pool.key] = decision.next
        world.now += 1


# a Deployment as the API server may serve it: replicas may be missing, and defaults to 1
odd_replicas = st.one_of(st.integers(max_value=-1), st.integers(min_value=2**31))


def deployment(replicas: int | None, *, named: bool = True) -> bytes:
    spec = {"replicas": replicas} if named else {}
    return json.dumps({"metadata": {"name": "research"}, "spec": spec}).encode()


def reading(raw: bytes, now: float) -> Reading[Workload]:
    seen = WorkloadView(lambda _: None).read(Raw(raw))
    assert seen is not None
    assert seen.found is not None
    return believed(Fresh(value=seen.found, at=now))


def asked(pool: Pool, raw: bytes, work: int) -> Decision:
    world = World({pool: 1})
    seen = replace(world.seen(work)[pool.key], workload=reading(raw, world.now))
    return world.ask({pool.key: seen}).decisions[pool.key]


@given(pool=pools(), work=st.integers(0, 30), named=st.booleans())
def test_a_deployment_without_a_number_of_replicas_has_one(
    pool: Pool, work: int, named: bool
) -> None:
    one = asked(pool, deployment(1), work)
    assert asked(pool, deployment(None, named=named), work) == one
    assert one.current == 1


@given(pool=pools(), work=st.integers(0, 30))
def test_zero_by_hand_is_left_alone_as_the_api_server_shows_it(pool: Pool, work: int) -> None:
    decision = asked(replace(pool, min=max(pool.min, 1)), deployment(0), work)
    assert (decision.current, decision.next) == (0, 0)
    assert decision.reasons[-1].code is Code.SCALED_TO_ZERO_BY_HAND


@given(pool=pools(), work=st.integers(0, 30), replicas=odd_replicas)
def test_a_number_of_replicas_that_is_impossible_is_refused(
    pool: Pool, work: int, replicas: int
) -> None:
    decision = asked(pool, deployment(replicas), work)
    assert (decision.next, decision.gate) == (None, Gate.BLIND)
    assert decision.reasons[-1].code is Code.WORKLOAD_UNKNOWN
