"""An operator's pause: nothing, or as many replicas as it keeps, between zero and max."""

from __future__ import annotations

import pytest

from controller.model.decision import Bound, Code, Decision
from controller.model.fleet import Fleet, Rule
from controller.model.intents import Scope
from controller.model.memory import Memory, PoolMemory, RecommendationRun
from controller.model.observation import Observation, Workload
from controller.planning.explain import sentence
from support.asked import a_pause, intents_of
from support.planning import plan, seen_pool
from unit.planning.story import START, behavior, codes, make_pool

LONG_AGO = START - 9_000
OBSERVED_FOR_LONG = PoolMemory(
    since=LONG_AGO,
    last_active_at=LONG_AGO,
    recommendations=(RecommendationRun(replicas=0, first_at=LONG_AGO, last_at=LONG_AGO),),
)


def decide(keep: int | None, *, work: int, rule: Rule = Rule.NATIVE) -> Decision:
    """A pool of 8, with a max of 20, that mara pauses."""
    pool = make_pool(rule=rule, behavior=behavior(down_window_s=0), cooldown_s=0.0)
    seen = seen_pool(work, Workload(replicas=8, current=8), at=START)
    result, _ = plan(
        Observation(pools={pool.key: seen}),
        Fleet(pools=(pool,)),
        intents_of(pauses=(a_pause(scope=Scope(), keep=keep, who="mara", why="OPS-1"),)),
        Memory(pools={pool.key: OBSERVED_FOR_LONG}),
        START,
    )
    return result.decisions[pool.key]


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("work", [0, 8, 50])
def test_a_pause_that_keeps_fewer_than_none_holds_the_present_size(work: int, rule: Rule) -> None:
    for keep in (-1, -(2**63)):
        decision = decide(keep, work=work, rule=rule)
        assert (decision.target, decision.next, decision.bound) == (8, 8, Bound.PAUSE)
        assert codes(decision)[-1] is Code.PAUSE_UNREADABLE
        assert decision.reasons[-1].numbers == {"keep": keep, "who": "mara"}
    assert sentence(decide(-1, work=work).reasons[-1], START) == (
        "the pause by mara asks for -1 replicas, which cannot be: kept at 8 replicas"
    )


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("work", [0, 8, 50])
@pytest.mark.parametrize("keep", [21, 99, 2**31 - 1])
def test_a_pause_keeps_no_more_than_max_and_says_so(keep: int, work: int, rule: Rule) -> None:
    decision = decide(keep, work=work, rule=rule)
    assert (decision.target, decision.next, decision.bound) == (20, 20, Bound.PAUSE)
    assert codes(decision)[-2:] == [Code.AT_MAX, Code.KEPT_WHILE_PAUSED]
    assert decision.reasons[-1].value == 20


@pytest.mark.parametrize("keep", [0, 3, 20])
def test_a_pause_keeps_as_many_as_it_says(keep: int) -> None:
    for work in (0, 50):
        decision = decide(keep, work=work)
        assert (decision.target, decision.next) == (keep, keep)
        assert codes(decision)[-1] is Code.KEPT_WHILE_PAUSED


def test_a_pause_without_a_number_keeps_nothing() -> None:
    decision = decide(None, work=50)
    assert (decision.target, decision.next) == (0, 0)
    assert codes(decision)[-1] is Code.PAUSED
