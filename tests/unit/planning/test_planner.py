"""The plan as a whole: which pools are decided and remembered, and what planning may import."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory
from controller.model.observation import Observation, PoolObservation, Workload
from support.planning import plan, seen_pool
from unit.planning.story import START, make_pool

CONTROLLER = Path(__file__).parents[3] / "controller"
PURE = [*(CONTROLLER / "planning").rglob("*.py"), *(CONTROLLER / "notation").rglob("*.py")]


def seen(messages: int, replicas: int, version: str = "7") -> PoolObservation:
    return seen_pool(messages, Workload(replicas=replicas, resource_version=version), at=START)


def test_only_the_pools_that_were_observed_are_decided() -> None:
    fleet = Fleet(pools=(make_pool("a"), make_pool("b")))
    other = PoolMemory(since=1.0)
    memory = Memory(pools={PoolKey("acme/b"): other})
    observation = Observation(pools={PoolKey("acme/a"): seen(3, 0)})
    result, after = plan(observation, fleet, Intents(), memory, START)
    assert list(result.decisions) == ["acme/a"]
    assert after.pools[PoolKey("acme/b")] is other
    assert PoolKey("acme/a") in after.pools


def test_a_pool_that_the_fleet_does_not_have_is_neither_decided_nor_remembered() -> None:
    fleet = Fleet(pools=(make_pool("a"),))
    memory = Memory(pools={PoolKey("acme/gone"): PoolMemory(since=1.0)})
    observation = Observation(pools={PoolKey("acme/b"): seen(3, 0)})
    result, after = plan(observation, fleet, Intents(), memory, START)
    assert result.decisions == {}
    assert after.pools == {}


def test_a_decision_carries_the_resource_version_it_was_made_from() -> None:
    fleet = Fleet(pools=(make_pool("a"),))
    observation = Observation(pools={PoolKey("acme/a"): seen(3, 0, version="42")})
    result, _ = plan(observation, fleet, Intents(), Memory(), START)
    assert result.at == START
    assert result.decisions[PoolKey("acme/a")].resource_version == "42"


def test_the_memory_given_is_not_changed() -> None:
    fleet = Fleet(pools=(make_pool("a"),))
    memory = Memory()
    plan(Observation(pools={PoolKey("acme/a"): seen(3, 1)}), fleet, Intents(), memory, START)
    assert memory.pools == {}


FORBIDDEN = {
    "asyncio",
    "io",
    "logging",
    "os",
    "random",
    "socket",
    "subprocess",
    "threading",
    "time",
}
ALLOWED_OUTSIDE = {"msgspec", "cronsim"}
FLOORS = ("controller.model.", "controller.notation.", "controller.planning.")


@pytest.mark.parametrize("file", sorted(PURE), ids=lambda file: file.name)
def test_planning_imports_only_values_and_arithmetic(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            continue
        for module in modules:
            top = module.partition(".")[0]
            assert top not in FORBIDDEN, module
            if top == "controller":
                assert module.startswith(FLOORS), module
            else:
                assert top in sys.stdlib_module_names | ALLOWED_OUTSIDE, module
