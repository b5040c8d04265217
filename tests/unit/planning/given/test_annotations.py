"""A Deployment that its own annotations pause or freeze, as KEDA's users know them."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from controller.model.decision import Bound, Code, Gate
from controller.model.fleet import Fleet, Rule, Tenant, Tier
from controller.model.intents import Intents, Scope
from controller.model.observation import Observation, Workload
from controller.model.readings import Fresh
from controller.model.scarcity import Resources, Warm
from controller.planning.explain import sentence
from controller.planning.inputs import FREEZE, PAUSED, PAUSED_REPLICAS, read_halts
from controller.planning.whatif import counterfactuals
from support.asked import a_freeze, a_pause, a_pin, intents_of
from support.planning import seen_pool
from support.table import tabled
from unit.planning.story import ANNOTATIONS, START, Story, behavior, make_pool

POOL = make_pool(behavior=behavior(down_window_s=0), cooldown_s=60.0)
PAUSE = intents_of(pauses=(a_pause(scope=Scope()),))


def tenants(quota: int | None) -> dict[str, Any]:
    tier, limits = Tier(name="growth", priority=500), Resources(replicas=quota)
    owner = Tenant(name="acme", tier=tier, namespace="tenant-acme", quota=limits)
    return {"tenants": (owner,)}


# A pool of 4 replicas that has been observed for long; both rules.
# fmt: off
BY_BOTH_RULES = {
    "a paused deployment stays as it is": """
        0 @paused=true : 4 (4) pause kept_by_annotation annotation=autoscaling.keda.sh/paused
        9 @paused=banana : 4 (4) pause kept_by_annotation
        9 @paused= : 4 (4) pause""",
    "with scale-in paused nothing is taken away, and growth is allowed": """
        0 @scale-in=true : 4 (4) pause no_shrinking
        9 @scale-in=true : 9""",
    "with scale-out paused nothing is added": "9 @scale-out=true : 4 pause no_growth",
    "with scale-out paused shrinking is allowed": "2 @scale-out=true : 2",
    "with both paused nothing changes": "9 @scale-in=true @scale-out=true : 4 (4)",
    "with both paused nothing goes": "0 @scale-in=true @scale-out=true : 4 (4)",
    "other annotations have no effect": "9 @other=7 : 9",
}
STORIES: dict[str, tuple[dict[str, Any], str]] = {
    "paused replicas are written also above max": ({}, """
        9 @replicas=2 @paused=false : 2 (2) pause kept_by_annotation
        0 @replicas=30 : 30 (30) pause kept_by_annotation
        9 @replicas=0 : 0 (0) pause"""),
    "with scale-out paused a pin adds nothing": (
        {"intents": intents_of(pins=(a_pin(pool=POOL.key, replicas=3),))}, "4 @scale-out=true : 4"),
    "nor does min": ({"pool": replace(POOL, min=6)}, "4 @scale-out=true : 4"),
    "nor does sharing": (tenants(100), "9 @scale-out=true : 4 (4)"),
    "a pool that must not shrink still obeys max": (
        {"pool": replace(POOL, max=3)}, "0 @scale-in=true : _ (3) no_shrinking"),
    "a quota lowers a pool that must not shrink": (tenants(3), "0 @scale-in=true : _ (3)"),
    "a quota does not lower one that is held": (tenants(3), "0 @paused=true : 4 (4)"),
    "an operator's pause wins": ({"intents": PAUSE}, """
        9 @replicas=2 : _ (0) pause
        9 size=4 @scale-in=true : _ (0) pause
        9 size=4 @scale-out=true : _ (0) pause"""),
    "but not over a hold at the present size": ({"intents": PAUSE}, "9 @paused=true : 4 (4) pause"),
    "a pool that is kept smaller is not shrunk while blind": (
        {}, "? @replicas=2 : 4 (2) blind"),
    "a frozen deployment stays and its reason says who and why": ({}, """
        0 @freeze=OPS-881 : 4 (0) freeze
        9 @freeze=OPS-881 : 4 (9) freeze frozen who=agentdash.dev/freeze reason=OPS-881"""),
    "an operator's freeze is named before the annotation's": (
        {"intents": intents_of(freezes=(a_freeze(scope=Scope(), who="mara"),))},
        "9 @freeze=OPS-1 : 4 freeze who=mara"),
    "replicas kept above max are the target too where there is room": (
        {"pool": replace(POOL, max=1, warm=Warm(replicas=1)), "size": 2, **tenants(10)}, """
        0 @replicas=2 : 2 (2)
        9 @replicas=2 : 2 (2)"""),
    # KEDA writes the number of its annotation whatever max says; `keep` is held to max
    "an operator's keep is held to max": (
        {"intents": intents_of(pauses=(a_pause(scope=Scope(), keep=30),))}, "0 : 20"),
}
# fmt: on


def story(
    pool: Any = POOL, size: int = 4, intents: Intents | None = None, **fleet: object
) -> Story:
    return Story(pool, size, intents, **fleet).watched_for_long()


@tabled("rule", Rule)
@tabled("name", BY_BOTH_RULES)
def test_a_story_of_both_rules(name: str, rule: Rule) -> None:
    story(replace(POOL, rule=rule)).tell(BY_BOTH_RULES[name])


@tabled("name", STORIES)
def test_a_story(name: str) -> None:
    given, table = STORIES[name]
    story(**given).tell(table)


@tabled("value", ["false", "False", "0", "f"])
@tabled("name", ["paused", "scale-in", "scale-out", "freeze"])
def test_a_switch_with_a_false_value_is_off(name: str, value: str) -> None:
    story().tell(
        f"9 @{name}={value} : 9\n0 @{name}={value} wait=99 : _\n0 @{name}={value} wait=99 : 0"
    )


@tabled("value", ["", "many", "-3", "2.5", "4294967296", "9" * 5_000])
def test_paused_replicas_that_are_no_number_change_nothing(value: str) -> None:
    for work in (0, 9):
        told = story().tell(f"{work} @replicas={value} : 4 (4) annotation_unreadable")
        assert told.decision is not None
        assert f"({value})" in sentence(told.decision.reasons[-1], START)


@tabled("name", ["paused", "scale-in"])
def test_a_pause_is_named_instead_of_another_hold(name: str) -> None:
    Story(replace(POOL, behavior=behavior()), 4).tell(f"0 @{name}=true : 4 pause !warm_up")


@tabled(("work", "wanted"), [(0, 0), (9, 9)])
@tabled(
    "annotations",
    [
        {"paused": "true"},
        {"replicas": "3"},
        {"replicas": "many"},
        {"scale-in": "true", "scale-out": "true"},
        {"paused": "true", "freeze": "OPS-1"},
    ],
)
def test_the_size_without_the_pause_is_shown(
    annotations: dict[str, str], work: int, wanted: int
) -> None:
    named = {ANNOTATIONS[name]: text for name, text in annotations.items()}
    one, asked = story(), Workload(replicas=4, annotations=named)
    before = one.memory
    decision = one.tick(work, workload=Fresh(value=asked, at=START))
    found = counterfactuals(
        decision,
        observation=Observation(pools={POOL.key: seen_pool(work, asked, at=START)}),
        fleet=Fleet(pools=(POOL,)),
        intents=Intents(),
        memory=before,
        now=START,
    )
    assert {each.lifted: each.target for each in found}[Bound.PAUSE] == wanted
    assert (decision.gate is Gate.FREEZE) is (FREEZE in named)
    assert PAUSED not in named or Code.KEPT_BY_ANNOTATION in {x.code for x in decision.reasons}


@tabled(
    ("text", "replicas"), [("3", 3), ("+7", 7), ("007", 7), ("-0", 0), ("+" + "0" * 5_000 + "7", 7)]
)
def test_every_way_to_write_the_paused_replicas_is_read(text: str, replicas: int) -> None:
    [halt] = read_halts({PAUSED_REPLICAS: text})
    assert (halt.keep, halt.unreadable) == (replicas, None)
