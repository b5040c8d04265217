"""The table of promises speaks of tests that exist, and says what is not held."""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path

import pytest

from agentdash.cli import main
from agentdash.verbs.ship import promises
from support.table import tabled

ROOT = Path(__file__).parents[3]


@cache
def named_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(
        each.name
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        and each.name.startswith("test_")
    )


def exists(test: str) -> bool:
    path, _, name = test.partition("::")
    return (ROOT / path).is_file() and name in named_in(path)


def test_every_test_that_a_promise_names_exists() -> None:
    named = {test for each in promises() for test in each.tests}
    assert {test for test in named if not exists(test)} == set()


def test_a_promise_has_a_test_or_says_what_is_missing() -> None:
    assert [each.id for each in promises() if not (each.tests or each.missing)] == []
    assert [each.id for each in promises() if len(set(each.tests)) < len(each.tests)] == []


def test_each_has_its_own_number() -> None:
    numbers = range(1, len(promises()) + 1)
    assert [each.id for each in promises()] == [f"F{number:02}" for number in numbers]


@tabled("test", ["tests/none.py::test_it", "tests/unit/verbs/test_promises.py::test_none"])
def test_a_test_that_does_not_exist_is_noticed(test: str) -> None:
    assert not exists(test)


def test_the_states_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promises"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert main(["promises", "--json"]) == 0
    states = [each["state"] for each in json.loads(capsys.readouterr().out)]
    assert last == (
        f"{len(states)} promises: {states.count('held')} held, {states.count('in part')} in part, "
        f"{states.count('not held')} not held"
    )
