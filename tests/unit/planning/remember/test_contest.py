"""A pool whose sizes another writer keeps replacing is left alone; other changes are no contest. A
writer that restores the size of a manifest is named at its first change and not fought.
"""

from __future__ import annotations

from controller.model.decision import Code, Gate
from controller.model.fleet import Fleet, Tenant, Tier
from controller.model.intents import Intents, Scope
from controller.model.observation import Observation
from controller.model.scarcity import Resources
from support.asked import a_freeze, intents_of
from support.planning import plan, seen_pool
from support.table import tabled
from unit.planning.story import Story, behavior, codes, make_pool, pods

QUICK = behavior(down_window_s=0)
SETTLED = "3* 5 : 5\n"
"""The plan itself has set the pool to 5, the size that its work needs, at second 0."""
CONTESTED = (
    SETTLED
    + """
    5 size=9 : 5
    5 : 5
    5 size=9 : 5
    5 : 5
    5 size=9 : 9 contested until=607
    5 : 9
"""
)


def settled(**fields: object) -> Story:
    return Story(make_pool(**{"behavior": QUICK, **fields}), replicas=3).tell(SETTLED)


# fmt: off
STORIES = {
    "left alone with a reason, until ten minutes after the last change": (
        {}, CONTESTED + """
        5 : 9 (5) [queue contested] times=3 ours=5 theirs=9 window_s=600
        597* 5 : 9 contested
        5 : 5"""),
    "so is a pool that is set to less": (
        {}, SETTLED + """
        5 size=2 : 5
        5 : 5
        5 size=2 : 5
        5 : 5
        600* 5 size=2 : 2
        5 : 5"""),
    "left alone for as long as the changes go on": (
        {}, CONTESTED + """
        5 size=11 wait=500 : 11 contested
        5 size=9 wait=500 : 9 contested
        5 size=12 wait=500 : 12 contested
        600* 5 : _
        5 : 5"""),
    "three changes further apart are no contest": (
        {}, SETTLED + 4 * """
        5 size=9 : 5
        5 : 5
        5 wait=300 : 5
        5 : 5
        """),
    "no contest: a change to what the plan wants": (
        {}, SETTLED + """
        2* 7 size=7 : 7
        2* 4 size=4 : 4
        2* 6 size=6 : 6
        2* 8 size=8 : 8"""),
    "while contested, a change to what the plan wants does not prolong it": (
        {}, CONTESTED + """
        5 wait=300 size=5 : 5 until=607
        100* 6 : _
        2* 6 wait=195 : _
        6 : 6"""),
    "no contest: zero by hand, which switches a pool off": (
        {"min": 2}, SETTLED + 5 * """
        5 size=0 : 0 scaled_to_zero_by_hand
        5 : 0
        3* 5 size=2 : 5
        """),
    "no contest: a change while the plan is blind": (
        {}, SETTLED + """
        ? size=9 : 9 blind
        5 : _
        ? size=8 : 8 blind
        5 : _
        ? size=7 : 7 blind
        5 : 5 !contested"""),
    "no contest: a late write of the plan": (
        {}, SETTLED + 4 * """
        9 fails : 9
        7 : 7
        5 works size=9 : 5 !contested
        5 : 5
        """),
    "a controller that is faster than a tick is noticed by the generation": (
        {}, """
        5 size=9 fails generation=4 : 5
        5 generation=6 : 5
        5 generation=8 : 5
        5 generation=10 : 9 contested ours=5 theirs=9"""),
    "no contest: a rollout between two writes that fail": (
        {}, "5 size=9 fails generation=4 : 5\n" + "".join(
            f"5 generation={number} : 5 !contested\n" for number in range(5, 20))),
    "a restart and a step of the clock do not end it": (
        {}, CONTESTED + """
        5 restart : 9 contested until=607
        5 step=3600 : 9 contested until=4207
        597* 5 : _
        5 : 5"""),
    "a clock that was set back between two runs does not prolong it": (
        {}, CONTESTED + """
        602* 5 wait=-86400 : _
        5 : 5"""),
    "an idle pool that is woken by hand goes back to zero three times": (
        {"cooldown_s": 20.0}, SETTLED + """
        100* 0 : _
        0 size=1 : 0
        0 : 0
        0 size=1 : 0
        0 : 0
        0 size=1 : 1 contested"""),
    "a size that a policy keeps for a while is still contested": (
        {"behavior": behavior(down_window_s=0, down=(pods(4, 60),))}, SETTLED + """
        5 wait=60 size=9 : 5
        5 : 5
        5 size=9 : 9 rate_limited_down
        62* 5 : _
        5 size=9 : 9 rate_limited_down
        62* 5 : _
        5 : 9 contested"""),
    "another change to a size of another writer is no contest": (
        {}, SETTLED + """
        5 size=9 : 5
        5 : 5
        5 size=9 : 5
        5 : 5
        2* 7 size=7 : 7
        7 size=4 : 7 !contested"""),
    "a change that stood for more than ten minutes is forgotten": (
        {"behavior": behavior(down_window_s=0, down=(pods(4, 900),))}, SETTLED + 4 * """
        1000* 5 size=9 : _ !contested
        """),
    "gitops: after ten minutes the plan tries again": (
        {}, SETTLED + """
        5 size=3 by=kustomize-controller : 3 (5) contested set_back times=1 until=603
        599* 5 : 3
        5 : 5"""),
    "gitops: a size that is restored again is left alone for an hour": (
        {}, SETTLED + """
        5 size=3 by=argocd-controller : 3 times=1
        599* 5 : 3
        2* 5 : 5
        5 wait=1200 size=3 by=argocd-controller : 3 contested times=2 window_s=3600
        3599* 5 : 3
        5 : 5"""),
    "gitops: one that is restored once in a while, for ten minutes": (
        {}, SETTLED + 3 * """
        5 size=3 by=argocd-controller : 3 times=1
        602* 5 : _
        5 wait=3600 : 5
        """),
    "gitops: a person who changes the size ends the wait": (
        {}, SETTLED + """
        5 size=3 by=argocd-controller : 3 contested
        5 size=4 by=kubectl : 5"""),
}
# fmt: on


@tabled("name", STORIES)
def test_a_story(name: str) -> None:
    fields, table = STORIES[name]
    table = "\n".join(line for line in table.splitlines() if line.strip())
    story = Story(make_pool(**{"behavior": QUICK, **fields}), replicas=3).tell(table)
    if name.startswith("no contest"):
        assert not story.remembered.set_back


def test_a_pool_that_is_set_back_three_times_is_left_alone_with_a_reason() -> None:
    table = "\n".join(line for line in CONTESTED.splitlines() if line.strip())
    story = Story(make_pool(behavior=QUICK), replicas=3).tell(table)
    decision = story.tick(5)
    assert (decision.target, decision.next, decision.gate) == (5, 9, Gate.CONTESTED)
    assert codes(decision) == [Code.QUEUE, Code.CONTESTED]


def test_zero_is_no_contest_where_the_plan_wants_zero_as_well() -> None:
    story = settled(cooldown_s=600.0)
    story.ticks(300)
    for _ in range(5):
        assert story.replicas == 1
        story.tell("2* 0 wait=600 size=0 : 0")
        assert not story.remembered.set_back
        story.tell("3* 1 : 1")


def test_a_pool_that_is_restored_remembers_nothing_new_while_nothing_happens() -> None:
    story = settled().tell("5 size=3 by=argocd-controller : 3\n605* 5 : _")
    before = story.remembered.set_back
    story.tick(5)
    assert len(before) == 1
    assert story.remembered.set_back is before


def limited(replicas: int) -> Tenant:
    quota, tier = Resources(replicas=replicas), Tier(name="growth", priority=500)
    return Tenant(name="acme", tier=tier, namespace="tenant-acme", quota=quota)


def test_no_other_pool_gets_what_a_contested_pool_has() -> None:
    story, other = settled(), make_pool("browser", behavior=QUICK)
    story.tell("5 size=9 : 5\n5 : 5\n5 size=9 : 5\n5 : 5")
    fleet = Fleet(tenants=(limited(11),), pools=(story.pool, other))
    for size in (9, 8):
        pools = {
            story.pool.key: seen_pool(5, size, at=story.now),
            other.key: seen_pool(20, 1, at=story.now),
        }
        seen = Observation(pools=pools)
        result, story.memory = plan(seen, fleet, Intents(), story.memory, story.now)
        decision = result.decisions[story.pool.key]
        assert (decision.next, decision.gate) == (size, Gate.CONTESTED)
        assert decision.reasons[-1].numbers["until"] == story.now + 600
        assert result.decisions[other.key].next == 11 - size
        story.wait(100)


def test_a_size_that_only_a_quota_forbids_is_contested_too() -> None:
    story = Story(make_pool(behavior=QUICK), 3, tenants=(limited(5),))
    story.tell("3* 9 : 5")
    gates = []
    for size in (9, 5, 9, 5, 9, 5):
        story.replicas = size
        gates.append(story.tick(9).gate)
    assert gates == [None] * 4 + [Gate.CONTESTED, Gate.CONTESTED]


def test_a_change_during_an_operators_freeze_is_no_contest() -> None:
    story = settled()
    story.intents = intents_of(freezes=(a_freeze(scope=Scope()),))
    for size in (9, 8, 9, 7, 9):
        story.tell(f"5 size={size} : {size} freeze")
    assert not story.remembered.set_back
