"""An operator's cap, ban on growth and pause: ceilings that win over min and spares."""

from __future__ import annotations

from msgspec.structs import replace

from controller.model.decision import Bound, Code, Decision
from controller.model.fleet import Rule
from controller.model.intents import Intent, Intents, Scope
from controller.planning.explain import sentence
from support.asked import a_cap, a_pause, a_pin, no_growth_of
from support.table import tabled
from unit.planning.story import START, Story, behavior, make_pool

POOL = make_pool(behavior=behavior(down_window_s=0), cooldown_s=0.0)
CAP = a_cap(pool=POOL.key, replicas=3, who="mara", why="OPS-1")
PIN = a_pin(pool=POOL.key, replicas=6)
HOLD = no_growth_of(scope=Scope(), who="mara", why="OPS-1")


def asked(*intents: Intent) -> Intents:
    return Intents(asked=intents)


def pause(keep: int | None) -> Intent:
    return a_pause(scope=Scope(), keep=keep, who="mara", why="OPS-1")


# The pool has a max of 20 and has been observed for long.
# fmt: off
STORIES = {
    "a cap is a ceiling, and what the work asks for is still shown": (
        asked(CAP), POOL, 2, "9 : 3 (3, 9) cap capped"),
    "a cap takes idle replicas away and wins over min": (
        asked(CAP), replace(POOL, min=5), 8, "0 : 3 (3) cap"),
    "a cap wins over a pin": (asked(CAP, PIN), POOL, 2, "1 : 3"),
    "a cap of none": (asked(a_cap(pool=POOL.key, replicas=0)), POOL, 2, "9 : 0"),
    "a cap above max raises nothing": (
        asked(a_cap(pool=POOL.key, replicas=21)), POOL, 2, "50 : 20 max !capped"),
    "a cap at max is no reason": (
        asked(a_cap(pool=POOL.key, replicas=20)), POOL, 2, "50 : 20 max !capped"),
    "a cap that limits nothing is no reason": (
        asked(CAP), POOL, 2, """
        3 : 3 !capped
        2 : 2 !capped
        0 : 0 !capped"""),
    "a pause keeps no more than a cap allows": (asked(CAP, pause(5)), POOL, 8, "9 : 3 (3) cap"),
    "a pause keeps fewer than a cap": (asked(CAP, pause(2)), POOL, 8, "9 : 2 (2) pause"),
    "a pause without a number keeps nothing": (asked(CAP, pause(None)), POOL, 8, "9 : 0 pause"),
    "an annotation keeps no more than a cap": (asked(CAP), POOL, 2, "9 @replicas=7 : 3"),
    "a pool that must not shrink obeys a cap": (asked(CAP), POOL, 8, "0 @scale-in=true : 3"),
    "a cap ends at its time": (
        asked(a_cap(pool=POOL.key, replicas=3, until=START + 5)), POOL, 2, """
        5* 9 : 3
        9 : 9"""),
    "without growth a pool keeps what it has": (
        asked(HOLD), POOL, 2, "9 : 2 (2) no_growth not_growing"),
    "without growth a pool may shrink, and does not come back": (
        asked(HOLD), POOL, 6, """
        1 : 1 demand
        9 : 1 no_growth
        0 : 0
        5 : 0 no_growth"""),
    "a ban on growth of its tenant": (
        asked(no_growth_of(scope=Scope(tenant="acme"))), POOL, 2, "9 : 2"),
    "a ban on growth of its own": (
        asked(no_growth_of(scope=Scope(pool="acme/research"))), POOL, 2, "9 : 2"),
    "a ban on growth of others": (
        asked(no_growth_of(scope=Scope(tenant="globex")),
              no_growth_of(scope=Scope(pool="acme/browser"))), POOL, 2, "9 : 9"),
    "min does not grow a pool that must not": (asked(HOLD), replace(POOL, min=5), 2, "0 : 2"),
    "a pin does not": (asked(HOLD, PIN), POOL, 2, "1 : 2"),
    "an annotation does not": (asked(HOLD), POOL, 2, "9 @replicas=7 : 2"),
    "a ban on growth ends at its time": (
        asked(no_growth_of(scope=Scope(), until=START + 3)), POOL, 2, """
        3* 9 : 2
        9 : 9"""),
    "a pause ends at its time": (asked(a_pause(scope=Scope(), until=START)), POOL, 1, "3 : 3"),
    "a pin ends at its time": (
        asked(a_pin(pool=POOL.key, replicas=2, until=START)), POOL, 1, "3 : 3"),
    "a pause that keeps fewer than none holds the present size": (
        asked(pause(-1)), POOL, 8, """
        0 : 8 (8) pause pause_unreadable keep=-1
        50 : 8 pause"""),
    "a pause keeps no more than max and says so": (
        asked(pause(2**31 - 1)), POOL, 8, "0 : 20 (20) pause at_max kept_while_paused"),
    "a pause keeps as many as it says": (
        asked(pause(3)), POOL, 8, """
        0 : 3 kept_while_paused
        50 : 3 kept_while_paused"""),
    "a pause that keeps none": (asked(pause(0)), POOL, 8, "50 : 0 kept_while_paused"),
    "a pause": (asked(pause(None)), POOL, 8, "50 : 0 (0) pause paused"),
}
# fmt: on


@tabled("rule", Rule)
@tabled("name", STORIES)
def test_a_story(name: str, rule: Rule) -> None:
    intents, pool, size, table = STORIES[name]
    if rule is Rule.HPA and "does not come back" in name:
        return  # it wakes to its min first
    Story(replace(pool, rule=rule), size, intents).watched_for_long().tell(table)


def decision(*intents: Intent) -> Decision:
    return Story(POOL, 8, asked(*intents)).watched_for_long().tick(50)


def test_each_says_who_and_why() -> None:
    told = {each: sentence(decision(each).reasons[-1], START) for each in (CAP, HOLD, pause(-1))}
    assert list(told.values()) == [
        "capped by mara (OPS-1): at most 3 replicas",
        "no growth, asked for by mara (OPS-1): no more than 8 replicas",
        "the pause by mara asks for -1 replicas, which cannot be: kept at 8 replicas",
    ]
    assert decision(pause(99)).reasons[-1].value == 20
    assert (decision(pause(99)).bound, decision(CAP).bound) == (Bound.PAUSE, Bound.CAP)
    assert decision(HOLD).reasons[-1].code is Code.NOT_GROWING
