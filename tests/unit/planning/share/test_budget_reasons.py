"""The reasons of a pool that a token budget holds back: paced, spent, or its use is not known."""

from __future__ import annotations

from decimal import Decimal

from controller.model.intents import Intent, Scope
from controller.model.scarcity import Budget, TaskUsage
from support.asked import a_budget, a_freeze
from support.table import tabled
from unit.planning.world import NOON, World, pool, seen, tenant, used

TASK = TaskUsage(input_tokens=5000, seconds=Decimal(10))
MIDNIGHT = NOON + 43_200


def budget(tokens: int, name: str = "acme", until: float | None = None) -> tuple[Intent, ...]:
    return (a_budget(tenant=name, tokens=tokens, until=until, who="mara", why="OPS-1"),)


def world(
    tokens: int | None,
    *asked: Intent,
    task: TaskUsage | None = TASK,
    hard: bool = True,
) -> World:
    """Two pools of one tenant with a day of 100,000 tokens, each with work for four."""
    return World(
        {pool("a", usage=task): (4, 0), pool("b", usage=task): (4, 0)},
        tenant(budget=Budget(tokens_per_day=100_000, hard=hard)),
        asked=asked,
        of_tenants={} if tokens is None else {"acme": used(tokens)},
    )


PACED, FREE = ("_ (1) budget !budget_spent", "_ (0) budget !budget_spent"), ("_ (4)", "_ (4)")
SPENT = ("_ (0) budget budget_spent",) * 2
# fmt: off
WORLDS = {
    "a tenant that is paced keeps one replica, and its budget is not called spent": (
        world(90_000), PACED),
    "a spent budget stops every pool and says so": (world(100_000), SPENT),
    "also where the tasks' use is not known": (world(100_000, task=None), SPENT),
    "a budget that is not hard paces": (world(200_000, hard=False), ("_ (1)", "_ (0)")),
    "and stops no pool": (world(200_000, hard=False, task=None), FREE),
    "an operator's budget takes the place of the fleet file's": (
        world(100_000, *budget(100_000_000)), FREE),
    "one that is spent": (world(50_000, *budget(50_000)), ("_ (0) budget_set budget_spent",) * 2),
    "under a freeze a spent budget stands too, and the freeze holds": (
        world(100_000, a_freeze(scope=Scope(tenant="acme"))), ("0 (0) budget_spent frozen",) * 2),
    "one that has ended": (world(90_000, *budget(10**9, until=NOON)), PACED),
    "one that ends later": (world(90_000, *budget(10**9, until=NOON + 1)), FREE),
    "one of another tenant": (world(90_000, *budget(10**9, "globex")), PACED),
    "one below zero": (world(0, *budget(-5)), ("_ (0)", "_ (0)")),
    "without known use a budget still holds": (
        world(None, *budget(10**9)), ("_ (0) usage_unknown",) * 2),
}
# fmt: on


@tabled("name", WORLDS)
def test_a_world(name: str) -> None:
    found, (first, second) = WORLDS[name]
    found.expect(a=first, b=second)


@tabled(
    ("measured", "line"),
    [
        (None, "_ (1)"),
        (TaskUsage(input_tokens=500, seconds=Decimal(120)), "_ (4)"),
        *(
            (absurd, "0 (0) unshareable subject=its_tasks'_usage")
            for absurd in (
                TaskUsage(input_tokens=-500, seconds=Decimal(120)),
                TaskUsage(input_tokens=500, seconds=Decimal(0)),
                TaskUsage(input_tokens=500, seconds=Decimal("NaN")),
                TaskUsage(input_tokens=500, calls=-1, seconds=Decimal(120)),
            )
        ),
    ],
)
def test_the_pace_feeds_as_many_as_measured_tasks_allow(
    measured: TaskUsage | None, line: str
) -> None:
    """1,000 tokens a minute; a task takes 5,000 in 10 seconds by the fleet file."""
    now = MIDNIGHT - 100 * 60
    found = World(
        {pool("a", usage=TASK): seen(9, 0, task_usage=measured)},
        tenant(budget=Budget(tokens_per_day=1_000_000)),
        of_tenants={"acme": used(900_000, at=now)},
        now=now,
    )
    found.expect(a=line.partition(" subject")[0])
    if "subject" in line:
        assert found.decide()["a"].reasons[-1].numbers == {"subject": "its tasks' usage"}
