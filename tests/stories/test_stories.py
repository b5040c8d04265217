"""Stories through `plan()`, and what a planner without one of its rules would make of them."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from controller.model.intents import Intents, Scope
from stories import telling
from stories.telling import START, Planner, tell
from support.asked import a_pause, intents_of
from support.table import tabled


def pool(tenant: str, name: str, replicas: str) -> str:
    """A pool of a fleet file, with a window of 10 s downwards."""
    up, down = "{stabilizationWindowSeconds: 0}", "{stabilizationWindowSeconds: 10}"
    return (
        f"- {{name: {name}, tenant: {tenant}, replicas: {{{replicas}}},"
        f" queue: {{stream: TASKS, consumer: {name}}},"
        f" behavior: {{scaleUp: {up}, scaleDown: {down}}}}}\n"
    )


SCARCE = (
    "tenants: {globex: {tier: enterprise}, acme: {tier: growth}}\ncapacity: {replicas: 5}\npools:\n"
    + pool("globex", "p0", "min: 3, max: 6, idle: 0")
    + pool("globex", "p1", "min: 3, max: 6, idle: 0")
    + pool("acme", "p2", "min: 1, max: 6")
)
ONE = "tenants: {acme: {tier: starter}}\npools:\n" + pool("acme", "a", "min: 1, max: 6")


class Story(NamedTuple):
    """`noticed`: the planners with a fault that this story must notice."""

    fleet: str
    sizes: dict[str, int]
    table: str
    noticed: tuple[Planner, ...]
    intents: Intents = Intents()


STORIES = {
    # found as "a floor that fits is not given": awake, p0 and p1 have a min of 3 each, and with
    # p2's the floors are more than the capacity, so the higher tier goes first; at rest all fit
    "an idle size holds at rest only; awake, the floors of a higher tier come first": Story(
        SCARCE,
        {"globex/p0": 1, "globex/p1": 1, "acme/p2": 1},
        """
           0 globex/p0 4: 1 → 2 (3, 4) capacity room
           0 globex/p1 4: 1 → 2 (2, 4) capacity
           0 acme/p2   0: 1 → 1 (0, 1) capacity warm_up
           4 globex/p0 0: 2 → 2 (2, 2) demand by cooldown
           4 globex/p1 0: 2 → 2 (2, 2) demand by cooldown
           4 acme/p2   0: 1 → 1 (1, 1) min
          12 globex/p0 4: 2 → 2 (3, 4) capacity room
          12 globex/p1 4: 2 → 2 (2, 4) capacity
          12 acme/p2   0: 1 → 0 (0, 1) capacity
          16 globex/p0 4: 2 → 3 (3, 4) capacity
          16 globex/p1 4: 2 → 2 (2, 4) capacity
          16 acme/p2   0: 0 → 0 (0, 1) capacity
        3000 globex/p0 0: 3 → 0 (0, 0) demand by asleep
        3000 globex/p1 0: 2 → 0 (0, 0) demand by asleep
        3000 acme/p2   0: 0 → 0 (1, 1) min room
        3001 globex/p0 0: 0 → 0 (0, 0) demand
        3001 globex/p1 0: 0 → 0 (0, 0) demand
        3001 acme/p2   0: 0 → 1 (1, 1) min
        """,
        (telling.without_gates, telling.that_shares_nothing, telling.without_limits),
    ),
    "silence takes nothing away, and work that is seen again decides": Story(
        ONE,
        {"acme/a": 3},
        """
         0 acme/a 9: 3 → 6 (6, 6) max by at_max
         1 acme/a ?: 6 → 6 (6, 6) demand blind
        20 acme/a ?: 6 → 6 (6, 6) demand blind
        21 acme/a 2: 6 → 2 (2, 2) demand
        40 acme/a 2: 2 → 2 (2, 2) demand
        41 acme/a 0: 2 → 2 (2, 2) demand by stabilized_down
        52 acme/a 0: 2 → 1 (1, 1) min
        53 acme/a 30: 1 → 6 (6, 6) max
        """,
        (telling.that_takes_silence_for_zero, telling.without_memory, telling.without_limits),
    ),
    "a pause ends at its time": Story(
        ONE,
        {"acme/a": 3},
        """
         0 acme/a 3: 3 → 3 (0, 3) pause warm_up
        11 acme/a 3: 3 → 0 (0, 3) pause by paused
        29 acme/a 3: 0 → 0 (0, 3) pause
        30 acme/a 3: 0 → 3 (3, 3) demand
        """,
        (telling.that_ignores_until, telling.without_gates, telling.without_memory),
        intents_of(pauses=(a_pause(scope=Scope(), until=START + 30),)),
    ),
}
PLANTED = [(name, fault) for name, story in STORIES.items() for fault in story.noticed]


@tabled("name", STORIES)
def test_a_story(name: str) -> None:
    story = STORIES[name]
    tell(story.fleet, story.sizes, story.table, intents=story.intents)


@tabled(("name", "fault"), PLANTED)
def test_a_planner_without_one_of_its_rules_is_noticed(name: str, fault: Planner) -> None:
    story = STORIES[name]
    with pytest.raises(AssertionError, match="→"):
        tell(story.fleet, story.sizes, story.table, intents=story.intents, planner=fault)
