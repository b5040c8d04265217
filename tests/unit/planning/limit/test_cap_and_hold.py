"""An operator's cap and hold: ceilings that win over min, spares and pauses, and never raise."""

from __future__ import annotations

import pytest

from controller.model.decision import Bound, Code, Decision
from controller.model.fleet import Fleet, Rule
from controller.model.intents import Intents, Scope
from controller.model.memory import Memory
from controller.model.observation import Observation, Pods, Workload
from controller.planning.explain import sentence
from controller.planning.inputs import PAUSED_REPLICAS, PAUSED_SCALE_IN
from support.asked import a_cap, a_pause, a_pin, intents_of, no_growth_of
from support.planning import plan, seen_pool
from unit.planning.limit.test_pause import OBSERVED_FOR_LONG
from unit.planning.story import START, Story, behavior, codes, make_pool

POOL = make_pool(behavior=behavior(down_window_s=0), cooldown_s=0.0)
CAP = a_cap(pool=POOL.key, replicas=3, who="mara", why="OPS-1")
HOLD = no_growth_of(scope=Scope(), who="mara", why="OPS-1")


def decide(
    intents: Intents,
    *,
    work: int,
    current: int = 2,
    rule: Rule = Rule.NATIVE,
    annotations: dict[str, str] | None = None,
    **fields: object,
) -> Decision:
    """A pool with a max of 20."""
    pool = make_pool(behavior=behavior(down_window_s=0), cooldown_s=0.0, rule=rule, **fields)
    workload = Workload(replicas=current, current=current, annotations=annotations or {})
    seen = seen_pool(work, workload, at=START, pods=Pods(ready=current))
    result, _ = plan(
        Observation(pools={pool.key: seen}),
        Fleet(pools=(pool,)),
        intents,
        Memory(pools={pool.key: OBSERVED_FOR_LONG}),
        START,
    )
    return result.decisions[pool.key]


@pytest.mark.parametrize("rule", Rule)
def test_a_cap_is_a_ceiling_that_says_who_and_why(rule: Rule) -> None:
    decision = decide(intents_of(caps=(CAP,)), work=9, rule=rule)
    assert (decision.target, decision.next, decision.bound) == (3, 3, Bound.CAP)
    assert decision.recommendation == 9, "what the work asks for is still shown"
    assert sentence(decision.reasons[-1], START) == "capped by mara (OPS-1): at most 3 replicas"


def test_a_cap_takes_idle_replicas_away_and_wins_over_min_and_pins() -> None:
    decision = decide(intents_of(caps=(CAP,)), work=0, current=8, min=5)
    assert (decision.target, decision.next, decision.bound) == (3, 3, Bound.CAP)
    pinned = intents_of(caps=(CAP,), pins=(a_pin(pool=POOL.key, replicas=6),))
    assert decide(pinned, work=1).target == 3
    assert decide(intents_of(caps=(a_cap(pool=POOL.key, replicas=0),)), work=9).target == 0


@pytest.mark.parametrize("most", [20, 21, 2**31 - 1])
def test_a_cap_never_raises_a_pool_above_its_own_max(most: int) -> None:
    decision = decide(intents_of(caps=(a_cap(pool=POOL.key, replicas=most),)), work=50)
    assert (decision.target, decision.bound) == (20, Bound.MAX)
    assert Code.CAPPED not in codes(decision)


@pytest.mark.parametrize("work", [0, 2, 3])
def test_a_cap_that_limits_nothing_is_no_reason(work: int) -> None:
    decision = decide(intents_of(caps=(CAP,)), work=work)
    assert decision.target == work
    assert Code.CAPPED not in codes(decision)


@pytest.mark.parametrize(("keep", "kept"), [(None, 0), (2, 2), (5, 3)])
def test_a_pause_keeps_no_more_than_a_cap_allows(keep: int | None, kept: int) -> None:
    intents = intents_of(caps=(CAP,), pauses=(a_pause(scope=Scope(), keep=keep, who="ann"),))
    decision = decide(intents, work=9, current=8)
    assert (decision.target, decision.next) == (kept, kept)
    assert decision.bound is (Bound.CAP if kept == 3 else Bound.PAUSE)


def test_an_annotation_keeps_no_more_than_an_operators_cap() -> None:
    kept = decide(intents_of(caps=(CAP,)), work=9, annotations={PAUSED_REPLICAS: "7"})
    assert kept.target == 3
    held = decide(intents_of(caps=(CAP,)), work=0, current=8, annotations={PAUSED_SCALE_IN: "true"})
    assert held.target == 3


def test_a_cap_ends_at_its_time() -> None:
    story = Story(POOL, replicas=2).warmed_up(9)
    story.intents = intents_of(caps=(a_cap(pool=POOL.key, replicas=3, until=story.now + 5),))
    assert [story.tick(9).target for _ in range(7)] == [3, 3, 3, 3, 3, 9, 9]


@pytest.mark.parametrize("rule", Rule)
def test_without_growth_a_pool_keeps_what_it_has_and_says_who_and_why(rule: Rule) -> None:
    decision = decide(intents_of(no_growths=(HOLD,)), work=9, rule=rule)
    assert (decision.target, decision.next, decision.bound) == (2, 2, Bound.NO_GROWTH)
    assert sentence(decision.reasons[-1], START) == (
        "no growth, asked for by mara (OPS-1): no more than 2 replicas"
    )


def test_without_growth_a_pool_may_shrink_and_does_not_come_back() -> None:
    shrunk = decide(intents_of(no_growths=(HOLD,)), work=1, current=6)
    assert (shrunk.target, shrunk.next, shrunk.bound) == (1, 1, Bound.DEMAND)
    asleep = decide(intents_of(no_growths=(HOLD,)), work=5, current=0)
    assert (asleep.target, asleep.wake) == (0, False)


@pytest.mark.parametrize(
    ("scope", "target"),
    [
        (Scope(), 2),
        (Scope(tenant="acme"), 2),
        (Scope(pool="acme/research"), 2),
        (Scope(tenant="globex"), 9),
        (Scope(pool="acme/browser"), 9),
    ],
)
def test_a_hold_concerns_the_pools_of_its_scope(scope: Scope, target: int) -> None:
    assert decide(intents_of(no_growths=(no_growth_of(scope=scope),)), work=9).target == target


def test_min_pins_and_annotations_do_not_grow_a_pool_that_is_held() -> None:
    assert decide(intents_of(no_growths=(HOLD,)), work=0, min=5).target == 2
    pinned = intents_of(no_growths=(HOLD,), pins=(a_pin(pool=POOL.key, replicas=6),))
    assert decide(pinned, work=1).target == 2
    kept = decide(intents_of(no_growths=(HOLD,)), work=9, annotations={PAUSED_REPLICAS: "7"})
    assert kept.target == 2


def test_a_hold_ends_at_its_time() -> None:
    story = Story(POOL, replicas=2).warmed_up(2)
    story.intents = intents_of(no_growths=(no_growth_of(scope=Scope(), until=story.now + 3),))
    assert [story.tick(9).target for _ in range(5)] == [2, 2, 2, 9, 9]
