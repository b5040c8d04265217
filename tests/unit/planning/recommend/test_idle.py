"""From zero and back to zero: activation and cooldown, KEDA's part; and the bounds of a size."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from controller.model.fleet import Rule
from controller.model.intents import Intents, Scope
from support.asked import a_cap, a_pause, intents_of
from support.table import tabled
from unit.planning.story import Story, behavior, make_pool, percent, pods

QUICK = behavior(down_window_s=0)
SLOW = behavior(down_window_s=30, down=(pods(1, 10),))

# fmt: off
STORIES = {
    "at zero twenty tasks take the pool to its demand at once": (
        make_pool(max=50), 0, "20 : 20 [queue activated]"),
    "a burst takes a pool from one to ten in one tick": (
        make_pool(max=10), 1, "20 : 10 max [queue at_max]"),
    "neither windows nor policies delay the first replica": (
        make_pool(behavior=behavior(up_window_s=300, up=(percent(100, 60),))), 1, """
        901* 0 : 1
        1300* 0 : 0
        9 : 1 activated"""),
    "the last replica goes only after the cooldown has passed": (
        make_pool(cooldown_s=900.0, behavior=QUICK), 1, """
        1 : 1
        900* 0 : 1 [queue cooldown] until=900
        0 : 0 [queue asleep]
        0 : 0 [queue]"""),
    "a pool whose work does not activate shrinks by its behavior and then sleeps": (
        make_pool(activation=50, target=10, cooldown_s=60.0, behavior=SLOW), 4, """
        60* 40 : 4 [queue inactive cooldown]
        30* 40 : 4 inactive
        10* 40 : 3
        10* 40 : 2
        10* 40 : 1
        40 : 0"""),
    "every step to zero obeys the policies": (
        make_pool(cooldown_s=10.0, behavior=behavior(down_window_s=0, down=(pods(3, 60),))), 7, """
        60* 0 : 4
        60* 0 : 1
        0 : 0"""),
    "a pool never active waits for the initial cooldown from when it first ran": (
        make_pool(initial_cooldown_s=50.0, cooldown_s=900.0, behavior=QUICK), 0, """
        0 : 0
        51* 0 size=1 : 1
        0 : 0"""),
    "work while the deployment is unknown keeps the pool awake": (
        make_pool(cooldown_s=60.0, behavior=QUICK), 1, """
        1 : 1
        100* 1 workload=? : None
        0 : 1 cooldown"""),
    "every message starts the cooldown again": (
        make_pool(cooldown_s=60.0, behavior=QUICK), 1, """
        100* 1 : 1
        60* 0 : 1
        0 : 0"""),
    "the reason of a window says until when it holds": (
        make_pool(), 8, """
        301* 8 : 8
        2 : 8 stabilized_down window_s=300 until=600"""),
    "a shrinking limit is named with its policy": (
        make_pool(behavior=behavior(down_window_s=0, down=(percent(50, 60),))), 11,
        "0 : 5 rate_limited_down period_s=60"),
    "a size below min goes to its demand in the same tick": (make_pool(min=3), 1, "9 : 9"),
    "an idle pool stays at min and says so": (
        make_pool(min=2), 2, "302* 0 : 2 [queue at_min] min"),
    "zero by hand is left alone where min is more": (
        make_pool(min=2), 3, """
        301* 3 : 3
        9 size=0 : 0 [queue scaled_to_zero_by_hand]
        2 size=1 : 2"""),
    "work that wakes a pool is named before the forced activation": (
        make_pool(), 0, "3 @active=true : 3 [queue activated]"),
    "replicas that were started by hand are kept for one window": (
        make_pool(behavior=behavior(down_window_s=60)), 0, """
        400* 0 : 0
        60* 1 size=5 : 5
        1 : 1"""),
}
BY_BOTH_RULES = {
    "forced activation wakes a pool at zero": (
        make_pool(), 0, "0 @active=true : 1 activation_forced"),
    "forced activation wakes it to its min, also if it was scaled to zero by hand": (
        make_pool(min=2), 3, """
        301* 3 : 3
        0 size=0 : 0 scaled_to_zero_by_hand
        0 @active=true : 2 activation_forced"""),
    "forced activation ends the rest below min": (
        make_pool(min=3, idle=0), 0, """
        0 : 0
        0 @active=true : 3"""),
    "while activation is forced no cooldown takes the last replica": (
        make_pool(cooldown_s=5.0, behavior=QUICK), 1, """
        30* 0 @active=true : 1
        5* 0 : 1
        0 : 0"""),
    "an idle pool rests below min until it is active": (
        make_pool(min=3, idle=1, cooldown_s=10.0, target=5, behavior=QUICK), 3, """
        5 : 3
        0 after=20 : 3
        2* 0 : 1
        ? : 1
        1 : 3"""),
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


def test_a_pool_that_is_woken_says_so_and_one_of_a_pause_by_hand_does_not() -> None:
    assert Story(make_pool()).tick(20).wake
    story = Story(make_pool(min=2), replicas=3).warmed_up(pending=3)
    story.replicas = 0
    assert not story.tick(9).wake


@tabled(
    "asked",
    [
        {"pauses": (a_pause(scope=Scope(tenant="acme")),)},
        {"caps": (a_cap(pool=make_pool().key, replicas=0),)},
    ],
)
def test_a_pool_that_was_paused_runs_again_also_if_the_process_that_paused_it_left_no_word(
    asked: dict[str, Any],
) -> None:
    story = Story(make_pool(min=2), replicas=3).warmed_up(pending=3)
    story.replicas = 0  # by a leader whose memory is lost
    story.intents = intents_of(**asked)
    assert story.tick(9).next == 0
    story.intents = Intents()
    assert story.tick(9).next == 9


def test_a_pool_that_the_plan_scaled_to_zero_follows_a_min_that_is_raised() -> None:
    story = Story(make_pool(cooldown_s=5.0, behavior=QUICK), replicas=1)
    story.ticks(20)
    assert (story.replicas, story.remembered.own_zero) == (0, True)
    story.pool = make_pool(min=2)
    assert story.tick().next == 2
