"""The HPA and KEDA, case by case. AGENTDASH_CONFORMANCE names another folder of cases."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from conformance.agreement import agrees
from conformance.answers import ANSWERS, DIVERGENCES, expected_of

FOLDER = Path(os.environ.get("AGENTDASH_CONFORMANCE") or Path(__file__).parent / "cases")


def kind_of(case: dict[str, Any]) -> str:
    return str(case.get("type") or case.get("kind"))


def load(folder: Path) -> list[Any]:
    """One parameter for each case of each file."""
    found = []
    for file in sorted(folder.glob("*.json")):
        for case in json.loads(file.read_text("utf-8"))["cases"]:
            name = case.get("name") or case.get("id")
            found.append(pytest.param(case, id=f"{file.stem}-{name}"))
    return found


CASES = load(FOLDER)


@pytest.mark.parametrize("case", CASES)
def test_the_answer_is_the_one_of_the_original(case: dict[str, Any]) -> None:
    kind = kind_of(case)
    assert kind in ANSWERS, f"nobody has said how to answer a case of type {kind}"
    answer = ANSWERS[kind](case.get("inputs", case.get("input")))
    for key, wanted in expected_of(kind, case.get("expected", case.get("expect"))).items():
        assert agrees(key, wanted, answer), f"{key}: {wanted} expected of {answer}"


def test_there_are_cases() -> None:
    assert CASES, f"no case in {FOLDER}"


def test_every_divergence_says_what_and_why_and_concerns_types_that_are_answered() -> None:
    assert len({divergence.rule for divergence in DIVERGENCES}) == len(DIVERGENCES)
    for divergence in DIVERGENCES:
        assert divergence.what
        assert divergence.why
        assert {kind for kind, _ in divergence.uncompared} <= ANSWERS.keys()
