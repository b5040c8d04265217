"""The plan as a whole: which pools are decided and remembered, and what planning may import."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from controller.model.fleet import Fleet
from controller.model.ids import PoolKey
from controller.model.intents import Intents
from controller.model.memory import Memory, PoolMemory
from controller.model.observation import Observation, Workload
from support.planning import plan, seen_pool
from support.table import tabled
from unit.planning.story import START, make_pool

CONTROLLER = Path(__file__).parents[3] / "controller"
PURE = [*(CONTROLLER / "planning").rglob("*.py"), *(CONTROLLER / "notation").rglob("*.py")]
A, B, GONE = PoolKey("acme/a"), PoolKey("acme/b"), PoolKey("acme/gone")


def test_only_pools_that_were_observed_and_that_the_fleet_has_are_decided() -> None:
    fleet = Fleet(pools=(make_pool("a"), make_pool("b")))
    other = PoolMemory(since=1.0)
    memory = Memory(pools={B: other, GONE: PoolMemory(since=1.0)})
    seen = seen_pool(3, Workload(replicas=0, resource_version="42"), at=START)
    observation = Observation(pools={A: seen, PoolKey("acme/c"): seen})
    result, after = plan(observation, fleet, Intents(), memory, START)
    assert (list(result.decisions), result.at) == ([A], START)
    assert result.decisions[A].resource_version == "42", "the one that it was made from"
    assert after.pools.keys() == {A, B}
    assert after.pools[B] is other
    assert memory.pools.keys() == {B, GONE}, "the memory given is not changed"


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


@tabled("file", sorted(PURE))
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
