"""A Deployment that its own annotations pause or freeze, as KEDA's users know them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision, Gate
from controller.model.fleet import Fleet, Pool, Rule, Tenant, Tier
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory, PoolMemory, RecommendationRun
from controller.model.observation import Observation, Pods, PoolObservation, QueueDepth, Workload
from controller.model.readings import Absent, Fresh, Reading, Why
from controller.model.scarcity import Resources, Warm
from controller.planning.explain import sentence
from controller.planning.inputs import (
    FREEZE,
    PAUSED,
    PAUSED_REPLICAS,
    PAUSED_SCALE_IN,
    PAUSED_SCALE_OUT,
    read_halts,
)
from controller.planning.whatif import counterfactuals
from support.asked import a_freeze, a_pause, a_pin, intents_of
from support.planning import plan
from unit.planning.story import START, behavior, codes, make_pool

POOL = make_pool(behavior=behavior(down_window_s=0), cooldown_s=60.0)
IDLE_FOR_LONG = PoolMemory(
    since=START - 9_000,
    last_active_at=START - 9_000,
    recommendations=(RecommendationRun(replicas=0, first_at=START - 9_000, last_at=START - 9_000),),
)


class OnePlan:
    """One plan of one pool that has been observed for long."""

    def __init__(
        self,
        annotations: dict[str, str],
        *,
        work: int,
        replicas: int = 4,
        pool: Pool = POOL,
        intents: Intents | None = None,
        queue: Reading[QueueDepth] | None = None,
        quota: int | None = None,
    ) -> None:
        workload = Workload(replicas=replicas, annotations=annotations)
        depth = QueueDepth(pending=work, in_flight=0)
        self.pool = pool
        self.observation = Observation(
            pools={
                pool.key: PoolObservation(
                    queue=queue or Fresh(value=depth, at=START),
                    workload=Fresh(value=workload, at=START),
                    pods=Fresh(value=Pods(ready=replicas), at=START),
                )
            }
        )
        tenant = Tenant(
            name="acme",
            tier=Tier(name="growth", priority=500),
            namespace="tenant-acme",
            quota=Resources(replicas=quota),
        )
        self.fleet = Fleet(tenants=(tenant,), pools=(pool,))
        self.intents = intents or Intents()
        self.memory = Memory(pools={pool.key: IDLE_FOR_LONG})

    def decide(self) -> Decision:
        result, _ = plan(self.observation, self.fleet, self.intents, self.memory, START)
        return result.decisions[self.pool.key]

    def without_the_pause(self) -> int | None:
        found = counterfactuals(
            self.decide(),
            observation=self.observation,
            fleet=self.fleet,
            intents=self.intents,
            memory=self.memory,
            now=START,
        )
        return {each.lifted: each.target for each in found}[Bound.PAUSE]


def decide(annotations: dict[str, str], **fields: object) -> Decision:
    return OnePlan(annotations, **fields).decide()  # type: ignore[arg-type]  # its own keywords


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("work", [0, 9])
@pytest.mark.parametrize("value", ["true", "banana", ""])
def test_a_paused_deployment_stays_as_it_is(value: str, work: int, rule: Rule) -> None:
    decision = decide({PAUSED: value}, work=work, pool=replace(POOL, rule=rule))
    assert (decision.target, decision.next, decision.bound) == (4, 4, Bound.PAUSE)
    assert codes(decision)[-1] is Code.KEPT_BY_ANNOTATION
    assert decision.reasons[-1].numbers["annotation"] == PAUSED


@pytest.mark.parametrize("value", ["false", "False", "0", "f"])
@pytest.mark.parametrize("name", [PAUSED, PAUSED_SCALE_IN, PAUSED_SCALE_OUT, FREEZE])
def test_a_switch_with_a_false_value_is_off(name: str, value: str) -> None:
    assert decide({name: value}, work=9).next == 9
    assert decide({name: value}, work=0).next == 0


@pytest.mark.parametrize("kept", [0, 2, 4, 30])
@pytest.mark.parametrize("work", [0, 9])
def test_paused_replicas_are_written_as_keda_does_also_above_max(kept: int, work: int) -> None:
    decision = decide({PAUSED_REPLICAS: str(kept), PAUSED: "false"}, work=work)
    assert (decision.target, decision.next, decision.bound) == (kept, kept, Bound.PAUSE)
    assert codes(decision)[-1] is Code.KEPT_BY_ANNOTATION
    assert decision.reasons[-1].numbers["annotation"] == PAUSED_REPLICAS


@pytest.mark.parametrize("value", ["", "many", "-3", "2.5", "4294967296", "9" * 5_000])
@pytest.mark.parametrize("work", [0, 9])
def test_paused_replicas_that_are_no_number_change_nothing(value: str, work: int) -> None:
    decision = decide({PAUSED_REPLICAS: value}, work=work)
    assert (decision.target, decision.next) == (4, 4)
    assert codes(decision)[-1] is Code.ANNOTATION_UNREADABLE
    assert f"({value})" in sentence(decision.reasons[-1], START)


@pytest.mark.parametrize("rule", Rule)
def test_a_pause_of_scale_in_takes_nothing_away_and_allows_growth(rule: Rule) -> None:
    pool = replace(POOL, rule=rule)
    decision = decide({PAUSED_SCALE_IN: "true"}, work=0, pool=pool)
    assert (decision.target, decision.next, decision.bound) == (4, 4, Bound.PAUSE)
    assert codes(decision)[-1] is Code.NO_SHRINKING
    assert decide({PAUSED_SCALE_IN: "true"}, work=9, pool=pool).next == 9


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("replicas", [0, 4])
def test_a_pause_of_scale_out_adds_nothing_and_allows_shrinking(rule: Rule, replicas: int) -> None:
    pool = replace(POOL, rule=rule)
    decision = decide({PAUSED_SCALE_OUT: "true"}, work=9, replicas=replicas, pool=pool)
    assert (decision.next, decision.bound) == (replicas, Bound.PAUSE)
    assert codes(decision)[-1] is Code.NO_GROWTH
    assert decide({PAUSED_SCALE_OUT: "true"}, work=2, pool=pool).next == 2


def test_with_scale_out_paused_neither_a_pin_nor_min_adds_anything() -> None:
    intents = intents_of(pins=(a_pin(pool=POOL.key, replicas=3),))
    assert decide({PAUSED_SCALE_OUT: "true"}, work=4, intents=intents).next == 4
    assert decide({PAUSED_SCALE_OUT: "true"}, work=4, pool=replace(POOL, min=6)).next == 4


def test_with_scale_out_paused_sharing_adds_nothing_either() -> None:
    decision = decide({PAUSED_SCALE_OUT: "true"}, work=9, quota=100)
    assert (decision.target, decision.next) == (4, 4)


@pytest.mark.parametrize("name", [PAUSED, PAUSED_SCALE_IN])
def test_a_pause_is_named_instead_of_another_hold(name: str) -> None:
    one = OnePlan({name: "true"}, work=0, pool=replace(POOL, behavior=behavior()))
    one.memory = Memory()  # otherwise it would be held while it warms up
    decision = one.decide()
    assert (decision.next, decision.gate, decision.bound) == (4, None, Bound.PAUSE)


@pytest.mark.parametrize("work", [0, 9])
def test_with_both_directions_paused_nothing_changes(work: int) -> None:
    decision = decide({PAUSED_SCALE_IN: "true", PAUSED_SCALE_OUT: "true"}, work=work)
    assert (decision.target, decision.next) == (4, 4)


def test_a_pool_that_must_not_shrink_still_obeys_max() -> None:
    decision = decide({PAUSED_SCALE_IN: "true"}, work=0, pool=replace(POOL, max=3))
    assert (decision.target, codes(decision)[-1]) == (3, Code.NO_SHRINKING)


@pytest.mark.parametrize(
    ("annotations", "target"), [({PAUSED: "true"}, 4), ({PAUSED_SCALE_IN: "true"}, 3)]
)
def test_a_quota_lowers_a_pool_that_must_not_shrink_but_not_one_that_is_held(
    annotations: dict[str, str], target: int
) -> None:
    assert decide(annotations, work=0, quota=3).target == target


@pytest.mark.parametrize(
    ("annotations", "target"),
    [
        ({PAUSED: "true"}, 4),
        ({PAUSED_REPLICAS: "2"}, 0),
        ({PAUSED_SCALE_IN: "true"}, 0),
        ({PAUSED_SCALE_OUT: "true"}, 0),
    ],
)
def test_an_operators_pause_wins_except_over_a_hold_at_the_present_size(
    annotations: dict[str, str], target: int
) -> None:
    intents = intents_of(pauses=(a_pause(scope=Scope()),))
    decision = decide(annotations, work=9, intents=intents)
    assert (decision.target, decision.bound) == (target, Bound.PAUSE)


def test_a_pool_that_is_kept_smaller_is_not_shrunk_while_blind() -> None:
    blind = Absent(why=Why.TIMED_OUT, at=START)
    decision = decide({PAUSED_REPLICAS: "2"}, work=0, queue=blind)
    assert (decision.target, decision.next, decision.gate) == (2, 4, Gate.BLIND)


@pytest.mark.parametrize(("work", "wanted"), [(0, 0), (9, 9)])
@pytest.mark.parametrize(
    "annotations",
    [
        {PAUSED: "true"},
        {PAUSED_REPLICAS: "3"},
        {PAUSED_REPLICAS: "many"},
        {PAUSED_SCALE_IN: "true", PAUSED_SCALE_OUT: "true"},
    ],
)
def test_the_size_without_the_pause_is_shown(
    annotations: dict[str, str], work: int, wanted: int
) -> None:
    assert OnePlan(annotations, work=work).without_the_pause() == wanted


def test_lifting_the_pause_does_not_lift_the_freeze() -> None:
    one = OnePlan({PAUSED: "true", FREEZE: "OPS-1"}, work=9)
    assert one.without_the_pause() == 9
    assert one.decide().gate is Gate.FREEZE


@pytest.mark.parametrize("work", [0, 9])
def test_a_frozen_deployment_stays_and_its_reason_says_who_and_why(work: int) -> None:
    decision = decide({FREEZE: "OPS-881, until mara is back"}, work=work)
    assert (decision.target, decision.next, decision.gate) == (work, 4, Gate.FREEZE)
    assert codes(decision)[-1] is Code.FROZEN
    assert decision.reasons[-1].numbers == {"who": FREEZE, "reason": "OPS-881, until mara is back"}


def test_an_operators_freeze_is_named_before_the_annotations() -> None:
    intents = intents_of(freezes=(a_freeze(scope=Scope(), who="mara", why="OPS-2"),))
    decision = decide({FREEZE: "OPS-1"}, work=9, intents=intents)
    assert decision.reasons[-1].numbers["who"] == "mara"


def test_other_annotations_have_no_effect() -> None:
    assert decide({"deployment.kubernetes.io/revision": "7"}, work=9).next == 9


@pytest.mark.parametrize("work", [0, 1, 9])
def test_replicas_kept_above_max_are_the_target_too_where_there_is_room(work: int) -> None:
    small = replace(POOL, max=1, warm=Warm(replicas=1))
    decision = OnePlan({PAUSED_REPLICAS: "2"}, work=work, replicas=2, pool=small, quota=10).decide()
    assert (decision.target, decision.next) == (2, 2)


@pytest.mark.parametrize(
    ("text", "replicas"), [("3", 3), ("+7", 7), ("007", 7), ("-0", 0), ("+" + "0" * 5_000 + "7", 7)]
)
def test_every_way_to_write_the_paused_replicas_is_read(text: str, replicas: int) -> None:
    [halt] = read_halts({PAUSED_REPLICAS: text})
    assert (halt.keep, halt.unreadable) == (replicas, None)


def test_paused_replicas_above_max_are_written_and_an_operators_keep_is_not() -> None:
    """KEDA writes the number of its annotation whatever max says; `keep` is held to max."""
    annotation = decide({PAUSED_REPLICAS: "30"}, work=0)
    intents = intents_of(pauses=(a_pause(scope=Scope(), keep=30, who="mara"),))
    intent = decide({}, work=0, intents=intents)
    assert (annotation.next, intent.next) == (30, POOL.max)
