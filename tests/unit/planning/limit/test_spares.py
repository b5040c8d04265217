"""Spares are a floor over what the present work takes: they stand on nothing else that keeps a pool
large. And a pool that nothing is known of for long, which its tier raises.
"""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.fleet import (
    AverageValueTarget,
    BlindPolicy,
    ExternalMetric,
    Fallback,
    Pool,
    Rule,
    SelectPolicy,
    Tenant,
    Tier,
)
from controller.model.intents import Intents, Scope
from controller.model.observation import QueueDepth
from controller.model.readings import Absent, Stale, Why
from controller.model.scarcity import Resources, Warm
from controller.planning.explain import sentence
from support.asked import a_freeze, a_pause, a_pin, intents_of
from support.table import tabled
from unit.planning.story import START, Story, behavior, make_pool, pods

WARM = Warm(replicas=2)
QUICK = behavior(down_window_s=0)
KEPT = behavior(down_window_s=0, select_down=SelectPolicy.DISABLED)


def spared(**fields: object) -> Pool:
    return make_pool(warm=WARM, **fields)


def pins(count: int) -> Intents:
    return intents_of(pins=(a_pin(pool=make_pool().key, replicas=count),))


# fmt: off
BY_BOTH_RULES = {
    "a blind pool does not grow by its spares again and again": (spared(), 3, "5* ? : 3"),
    "nor does a pool that may not shrink": (spared(behavior=KEPT), 6, "5* 0 : 6"),
    "spares open no way around a policy on growth": (
        spared(behavior=behavior(up=(pods(1, 60),))), 1, "20* 9 : 2"),
    "nor around an upward window": (
        spared(min=1, behavior=behavior(up_window_s=10, down_window_s=5)), 3, """
        8* 6 : 3
        6* 6 : _"""),
    "nor around one after some time": (
        spared(min=1, behavior=behavior(up_window_s=10, down_window_s=5)), 3, """
        20* 0 : 3
        8* 6 : 3"""),
    "spares are named also where the recommendation covers them": (
        spared(behavior=KEPT), 6, "1 : 6 demand warm_spares"),
}
STORIES = {
    "a blind pool still has its spares on top of min": (spared(min=2), 2, "? : 4"),
    "without a known demand they stand on min alone": (spared(min=1), 2, "? : 3 (3) warm"),
    "they follow once the policy has granted what the work needs": (
        spared(behavior=behavior(up=(pods(4, 15),))), 1, """
        15* 9 : 5
        9 : 11"""),
    "spares that woke an idle pool are not taken for work": (spared(), 0, "20* 0 : 2"),
    # the window keeps 4: max(4, work + 2)
    "they do not stand on what a window keeps": (
        spared(), 6, """
        301* 4 : 6
        4 : 6
        0 : 4
        3 : 5
        0 : 4
        4 : 6"""),
    "nor on what a cooldown keeps": (
        spared(cooldown_s=60.0, behavior=QUICK), 0, """
        1 : 3
        100* 0 : 2"""),
    "nor on what a policy keeps": (
        spared(behavior=behavior(down_window_s=0, down=(pods(1, 60),))), 9, """
        7 : 9
        60* 1 : 8
        540* 1 : _
        1 : 3"""),
    "with just its spares a pool is not held while its memory is young": (
        spared(), 5, "3 : 5 (5) !warm_up"),
}
# fmt: on


@tabled("name", STORIES)
def test_a_story(name: str) -> None:
    pool, size, table = STORIES[name]
    Story(pool, size).tell(table)


@tabled("rule", Rule)
@tabled("name", BY_BOTH_RULES)
def test_a_story_of_both_rules(name: str, rule: Rule) -> None:
    pool, size, table = BY_BOTH_RULES[name]
    Story(replace(pool, rule=rule), size).tell(table)


def test_a_pin_counts_what_runs_and_comes_once_beside_a_cooldown() -> None:
    Story(make_pool(), 6, pins(3)).tell("""
        1 : 6
        5 : 8""")
    pool = make_pool(cooldown_s=60.0, behavior=behavior(down_window_s=10))
    story = Story(pool).tell("1 : 1")
    story.intents = pins(1)
    story.tell("20* 0 size=0 : 1")  # the message is gone, and the replica was removed by hand


@tabled("messages", [191, 209])
def test_spares_beside_a_tolerated_size_come_once_and_stay(messages: int) -> None:
    metric = ExternalMetric(name="queue", target=AverageValueTarget(milli=10_000))
    pool = spared(rule=Rule.HPA, max=60, behavior=QUICK, metrics=(metric,))
    needed = -(-messages // 10) + 2
    for replicas in (1, needed - 2, needed, 30):
        assert Story(pool, replicas).ticks(10, messages)[-5:] == [needed] * 5


POOL = make_pool(cooldown_s=5.0, behavior=QUICK)
POLICY = BlindPolicy(after_s=600.0, replicas=2)
NOTHING = QueueDepth(pending=0, in_flight=0)


def blind(
    replicas: int = 0,
    pool: Pool = POOL,
    policy: BlindPolicy | None = POLICY,
    intents: Intents | None = None,
    quota: int | None = None,
) -> Story:
    """A pool whose tier waits ten minutes without an answer of its queue, and then asks for two."""
    tier = Tier(name="growth", priority=500, blind=policy)
    limits = Resources(replicas=quota)
    tenant = Tenant(name="acme", tier=tier, namespace="tenant-acme", quota=limits)
    return Story(pool, replicas, intents, tiers=(tier,), tenants=(tenant,))


def stale(story: Story, at: float) -> int | None:
    """The next size with an answer of then."""
    return story.tick(queue=Stale(value=NOTHING, at=at)).next


@tabled("replicas", [0, 1])
def test_after_its_time_a_blind_pool_is_raised_and_not_before(replicas: int) -> None:
    story = blind(replicas).tell(f"601* ? : {replicas}")
    raised = story.tick(None)
    assert raised.reasons[-1].numbers == {"since": START, "after_s": 600.0}
    said = sentence(raised.reasons[-1], story.now - 1)
    assert "10 min 1 s, longer than 10 min: at least 2 replicas" in said
    story.tell("? : 2 (2) [queue_unknown blind_for_long held_blind] blind")
    story.restart()
    story.tell("""
        ? : 2
        1 : 1""")


# fmt: off
BLIND = {
    "a larger pool is never lowered": (lambda: blind(5), "700* ? : 5 [queue_unknown held_blind]"),
    "without a policy a pool is only held": (lambda: blind(1, policy=None), "700* ? : 1"),
    "a good answer in between starts the time again": (blind, """
        500* ? : 0
        0 : 0
        601* ? : 0
        ? : 2"""),
    "a step of the clock adds no blind time": (blind, """
        300* ? : 0
        ? step=3600 : 0
        300* ? : 0
        ? : 2"""),
    "a clock that was set back between two runs does not prolong it": (blind, """
        0 : 0
        300* ? wait=9000 : _
        602* ? wait=-86400 : _
        ? : 2"""),
    "a restart remembers since when": (blind, """
        600* ? : 0
        ? restart : 0
        ? : 2"""),
    "a larger fallback of its own counts": (
        lambda: blind(pool=replace(POOL, fallback=Fallback(failure_threshold=3, replicas=6))), """
        601* ? : 0
        ? : 6"""),
    "a smaller one does not": (
        lambda: blind(pool=replace(POOL, fallback=Fallback(failure_threshold=3, replicas=1))), """
        601* ? : 0
        ? : 2"""),
    "max still holds": (lambda: blind(pool=replace(POOL, max=1)), """
        601* ? : 0
        ? : 1"""),
    "a pause still holds": (
        lambda: blind(intents=intents_of(pauses=(a_pause(scope=Scope()),))), "700* ? : 0"),
    "a freeze still holds": (
        lambda: blind(intents=intents_of(freezes=(a_freeze(scope=Scope()),))), "700* ? : 0"),
    "a quota still holds": (lambda: blind(quota=1), """
        601* ? : 0
        ? : 1"""),
    "a pool that was switched off by hand stays off": (
        lambda: blind(pool=replace(POOL, min=1)), "700* ? : 0 scaled_to_zero_by_hand"),
}
# fmt: on


@tabled("name", BLIND)
def test_a_blind_story(name: str) -> None:
    begun, table = BLIND[name]
    begun().tell(table)


def test_since_when_nothing_is_known_is_told_by_the_answers_and_remembered() -> None:
    story = blind()
    assert [stale(story, START - 599) for _ in range(3)] == [0, 0, 2]
    story = blind()
    assert [stale(story, START - 599) for _ in range(2)] == [0, 0]
    assert story.tick(None).next == 2, "an answer that is then lost"
    absent = Absent(why=Why.CONSUMER_MISSING, at=START - 601)
    assert blind().tick(queue=absent).next == 2
    story = blind()
    story.tell("599* ? : 0")
    assert [stale(story, story.now - 10), stale(story, story.now - 10)] == [0, 0], "newer answers"


def test_a_pool_with_other_metrics_is_not_blind_because_its_queue_is() -> None:
    lag = ExternalMetric(name="lag", target=AverageValueTarget(milli=1_000))
    story = blind(1, replace(POOL, rule=Rule.HPA, metrics=(lag,)))
    assert stale(story, START - 9_000) == 1
    assert story.decision is not None
    assert story.decision.reasons[-1].code == "held_unmeasured"
