"""The house stays small: lines of each room, the size of files, and files that serve one other.

Budgets stand in pyproject.toml under `tool.agentdash.weight`; more needs its reason there.
"""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from graphlib import TopologicalSorter
from operator import itemgetter
from pathlib import Path

ROOT = Path(__file__).parents[2]
WEIGHT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["agentdash"]["weight"]
SMALL, LARGE = 100, 600


def product() -> dict[str, str]:
    """The files of the product with their texts."""
    files = [file for top in ("agentdash", "controller") for file in (ROOT / top).rglob("*.py")]
    return {str(file.relative_to(ROOT)): file.read_text("utf-8") for file in files}


def lines(text: str) -> int:
    return len(text.splitlines())


def importers(files: dict[str, str]) -> dict[str, set[str]]:
    """For each file, the files that import it or something of it."""
    modules = {name[:-3].replace("/", ".").removesuffix(".__init__"): name for name in files}
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module:
                named = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
            elif isinstance(node, ast.Import):
                named = [each.name for each in node.names]
            else:
                continue
            for module in named:
                if module in modules and modules[module] != name:
                    found[modules[module]].add(name)
    return found


def test_each_room_keeps_to_its_budget() -> None:
    rooms: defaultdict[str, int] = defaultdict(int)
    for name, text in product().items():
        top, _, rest = name.partition("/")
        room, is_folder, _ = rest.partition("/")
        rooms[f"{top}/{room}" if is_folder else top] += lines(text)
    budgets = WEIGHT["lines"]
    assert rooms.keys() <= budgets.keys(), "a new room needs a budget"
    over = {room: (had, budgets[room]) for room, had in rooms.items() if had > budgets[room]}
    assert not over, "room: (lines, budget)"


def test_the_product_keeps_to_its_number_of_files() -> None:
    assert len(product()) <= WEIGHT["files"]


def test_no_file_is_too_large() -> None:
    large = {name for name, text in product().items() if lines(text) > LARGE}
    assert large == set(WEIGHT["large"]), "divide it, or name it with its reason"


def test_a_small_file_serves_more_than_one_other_file() -> None:
    files = product()
    by = importers(files)
    small = {
        name
        for name, text in files.items()
        if lines(text) < SMALL
        and not name.endswith("__init__.py")
        and {Path(each).parent for each in by[name]} == {Path(name).parent}
        and len(by[name]) == 1
    }
    assert small == set(WEIGHT["small"]), "join it with the file that it serves, or name it"


def test_planning_stands_on_eight_floors_and_has_no_circle() -> None:
    room = {n: text for n, text in product().items() if n.startswith("controller/planning/")}
    below: defaultdict[str, set[str]] = defaultdict(set)
    for name, those in importers(room).items():
        for each in those:
            below[each].add(name)
    # raises CycleError, with the circle
    floors: dict[str, int] = {}
    for name in TopologicalSorter({name: below[name] for name in room}).static_order():
        floors[name] = 1 + max((floors[each] for each in below[name]), default=0)
    assert max(floors.values()) <= 8, sorted(floors.items(), key=itemgetter(1))
