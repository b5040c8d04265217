"""The HPA, KEDA and the sharing of what is scarce, case by case.

Each case that can be stated as a fleet, an observation, intents and a memory is answered by the
planner, where its plan shows what the case asks for. The others are in `NOT_STATED`, with the
reason.
AGENTDASH_CONFORMANCE names another folder of cases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import pytest

from conformance import hpa_statements, keda_statements, sharing_statements
from conformance.cases import (
    BY_PLAN,
    CASES_HERE,
    FOLDER,
    UNKNOWN_TYPE,
    UNREADABLE,
    Case,
    counted,
    differing,
    load,
    stated,
)
from conformance.divergences import DIVERGENCES
from conformance.statement import NotStatable
from conformance.statements import STATEMENTS
from support.table import tabled

CASES: Final = load(FOLDER)
EACH: Final = [pytest.param(case, id=case.name) for case in CASES]
STATABLE: Final = [
    pytest.param(case, id=case.name) for case in CASES if not isinstance(stated(case), NotStatable)
]

NOT_STATED: Final[Mapping[str, Mapping[str, int]]] = {
    "allocate": {
        (
            "agentdash gives each tenant one replica first, counts whole shares, and reserves none"
        ): 2,
    },
    "clamp_without_behavior": {
        "its size is out of bounds, where the HPA asks no window and no rate": 1,
        "the step between zero and one is KEDA's (divergence: HPA to and from zero)": 1,
    },
    "demand": {
        "rule native learns arrivals and task times; it has no such formula": 1,
    },
    "fallback_metric": {
        (
            "the fleet file's reader refuses it: pools[0].fallback.failureThreshold: must"
            " be at least 0, not the number -3"
        ): 1,
    },
    "hpa_health_mirror": {
        "it is a condition of KEDA's object: a plan has reasons instead": 3,
    },
    "modifier_pairing": {
        "it is a check of names, which the fleet file's reader does": 1,
    },
    "pod_grouping": {
        "it is a part of a metric's arithmetic that no decision shows": 3,
    },
    "pod_requests": {
        "it is a part of a metric's arithmetic that no decision shows": 4,
    },
    "reconcile": {
        "the step between zero and one is KEDA's (divergence: HPA to and from zero)": 3,
    },
    "resource_utilization": {
        "it depends on flags of the controller manager that agentdash does not read": 2,
    },
    "scale_event_log": {
        "it is a log that a plan remembers, which no decision shows": 5,
    },
    "scaledobject_decision": {
        "in the same plan the HPA's part acts as well (divergence: KEDA and the HPA as one)": 1,
        (
            "the plan writes the paused size, which KEDA leaves to its reconciler "
            "(divergence: KEDA and the HPA as one)"
        ): 1,
    },
    "triggers_activity": {
        "it is KEDA's memory of each trigger's activity: a plan looks at all of them": 6,
    },
    "warm": {
        "there are no spares in percent of the size to come": 1,
    },
}
"""For each type the cases of this folder that are not stated, by the reason."""


def is_stated_or_says_why_not(case: Case) -> None:
    assert case.kind in STATEMENTS, f"{UNKNOWN_TYPE}: {case.kind}"
    found = stated(case)
    assert not (isinstance(found, NotStatable) and found.reason.startswith(UNREADABLE)), found


@tabled("case", EACH)
def test_a_case_is_stated_or_says_why_not(case: Case) -> None:
    is_stated_or_says_why_not(case)


@tabled("case", STATABLE)
def test_the_plan_answers_as_the_original(case: Case) -> None:
    given = stated(case)
    assert not isinstance(given, NotStatable)
    assert not differing(case, given)


def test_there_are_cases() -> None:
    assert CASES, f"no case in {FOLDER}"


@pytest.mark.skipif(FOLDER != CASES_HERE, reason="the table is about the cases that are kept here")
def test_each_case_that_is_not_stated_has_its_reason_in_the_table() -> None:
    found = {
        kind: {reason: count for reason, count in reasons.items() if reason != BY_PLAN}
        for kind, reasons in counted(CASES).items()
    }
    assert {kind: reasons for kind, reasons in found.items() if reasons} == NOT_STATED


def test_every_divergence_says_what_and_why_and_concerns_types_that_are_answered() -> None:
    assert len({divergence.rule for divergence in DIVERGENCES}) == len(DIVERGENCES)
    for divergence in DIVERGENCES:
        assert divergence.what
        assert divergence.why
        assert {kind for kind, _ in divergence.uncompared} <= STATEMENTS.keys()


def test_every_divergence_that_a_reason_names_is_in_the_table() -> None:
    reasons = [
        value
        for module in (hpa_statements, keda_statements, sharing_statements)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    ]
    named = {name for reason in reasons for name in re.findall(r"\(divergence: (.*)\)", reason)}
    assert named
    assert named <= {divergence.rule for divergence in DIVERGENCES}


def test_a_case_of_an_unknown_type_is_not_left_out() -> None:
    case = Case(name="held", kind="telepathy", inputs={}, expected={"replicas": 1})
    assert counted([case]) == {"telepathy": {UNKNOWN_TYPE: 1}}
    with pytest.raises(AssertionError, match="no statement is written for this type: telepathy"):
        is_stated_or_says_why_not(case)


def test_a_case_that_cannot_be_read_is_not_left_out() -> None:
    case = Case(name="held", kind="step", inputs={"places": 3}, expected={"pools": {}})
    [reason] = counted([case])["step"]
    assert reason.startswith(UNREADABLE)
    with pytest.raises(AssertionError, match="cannot read this case"):
        is_stated_or_says_why_not(case)
