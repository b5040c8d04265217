"""The rows of one moment, and the pools that are being written meanwhile."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from controller.model.fleet import Fleet
from controller.model.intents import Intent
from controller.model.observation import Observation
from controller.model.scarcity import Budget, Resources, TaskUsage
from controller.planning.compile import compile_fleet
from controller.planning.share.rows import Scarcity, scarcity_of, spends_budget
from support.asked import a_budget
from support.table import tabled
from unit.planning.world import NOON, World, pool, tenant, used


@tabled(("written", "left"), [(14, 6), (-1, 20), (2**63, 0)])
def test_a_pool_that_is_being_written_is_not_decided_and_keeps_its_part(
    written: int, left: int
) -> None:
    world = World({pool("a"): (40, 1), pool("b"): (40, 1)}, room=Resources(replicas=20))
    world.observation = replace(world.observation, under_way={"acme/a": written})
    assert {name: each.target for name, each in world.decide().items()} == {"b": left}


BUDGET = Budget(tokens_per_day=1_000_000)


def paced(
    now: float, used_tokens: int = 900_000, *, hard: bool = True, asked: tuple[Intent, ...] = ()
) -> Scarcity:
    owner = tenant(budget=replace(BUDGET, hard=hard))
    task = TaskUsage(input_tokens=1000, seconds=Decimal(60))
    seen = Observation(tenants={"acme": used(used_tokens, at=now)})
    sharing = compile_fleet(Fleet(tenants=(owner,), pools=(pool("a", usage=task),))).sharing
    return scarcity_of(sharing, seen, now, None, asked)


@tabled(
    ("seconds_left", "minutes"), [(6_000.0, 100), (5_999.0, 100), (5_940.5, 100), (5_940.0, 99)]
)
def test_the_pace_counts_whole_minutes_to_the_reset_rounded_up(
    seconds_left: float, minutes: int
) -> None:
    """So it stays the same for a minute."""
    midnight = NOON + 43_200
    assert paced(midnight - seconds_left).rows["budget:acme"].capacity * minutes == 100_000


@tabled(
    ("planned_with", "asked", "tokens", "spends"),
    [
        (900_000, None, 999_999, False),
        (900_000, None, 1_000_000, True),
        (1_000_000, None, 1_000_001, False),  # it was planned as spent
        (900_000, 950_000, 950_000, True),
        (900_000, 2_000_000, 1_000_000, False),
    ],
)
def test_tokens_spend_a_hard_budget_once_and_an_operators_counts(
    planned_with: int, asked: int | None, tokens: int, *, spends: bool
) -> None:
    budgets = () if asked is None else (a_budget(tenant="acme", tokens=asked),)
    planned = paced(NOON, planned_with, asked=budgets)
    assert spends_budget(tenant(budget=BUDGET), planned, Decimal(tokens)) is spends
    soft = tenant(budget=replace(BUDGET, hard=False))
    assert not spends_budget(soft, paced(NOON, planned_with, hard=False), Decimal(2_000_000))
