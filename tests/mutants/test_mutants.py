"""Each rule of the tables is removed once, and a test that guards it must fail.

They run by `pytest --mutants tests/mutants` alone: they say something of the tests, not of the
product. A rule that has lost its guard needs a test, or an entry that names the right one.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mutants.demand_rules import DEMAND_RULES
from mutants.engine_rules import ENGINE_RULES
from mutants.fault_rules import FAULT_RULES
from mutants.gate_rules import GATE_RULES
from mutants.kept_rules import KEPT_RULES
from mutants.recommend_rules import RECOMMEND_RULES
from mutants.sharing_rules import SHARING_RULES
from mutants.worker_rules import WORKER_RULES
from support.mutation import NOTICED, UNNOTICED, Mutant, Mutants

pytestmark = pytest.mark.mutants
RULES = (
    *DEMAND_RULES,
    *RECOMMEND_RULES,
    *SHARING_RULES,
    *GATE_RULES,
    *KEPT_RULES,
    *ENGINE_RULES,
    *WORKER_RULES,
    *FAULT_RULES,
)


@pytest.fixture(scope="module")
def mutants() -> Iterator[Mutants]:
    with Mutants() as running:
        yield running


@pytest.mark.parametrize("mutant", RULES, ids=[mutant.rule for mutant in RULES])
def test_a_test_notices_when_the_rule_is_removed(mutant: Mutant, mutants: Mutants) -> None:
    fate = mutants.fate(mutant)
    if fate == UNNOTICED:
        pytest.fail(
            f'the rule "{mutant.rule}" has lost its guard: {UNNOTICED} '
            f"(called: {', '.join(mutant.tests)})",
            pytrace=False,
        )
    if fate != NOTICED:
        pytest.fail(f'the rule "{mutant.rule}" cannot be tried: {fate}', pytrace=False)


@pytest.mark.parametrize("mutant", RULES, ids=[mutant.rule for mutant in RULES])
def test_its_guards_pass_while_the_rule_stands(mutant: Mutant, mutants: Mutants) -> None:
    assert mutants.unbroken(mutant.tests) == UNNOTICED


def test_every_rule_is_named_once() -> None:
    names = [mutant.rule for mutant in RULES]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("change", "fate"),
    [
        ({"without": RULES[0].text}, UNNOTICED),
        ({"text": "no such text"}, "its text stands 0 times in controller/planning/demand/work.py"),
        ({"place": "", "text": "return "}, "not once: 'return '"),
        ({"tests": ("test_that_is_nowhere()",)}, "0 modules define test_that_is_nowhere"),
        ({"tests": (f"{RULES[0].tests[0].partition('(')[0]}()",)}, "TypeError"),
    ],
    ids=["nothing removed", "no text", "many texts", "no test", "wrong call"],
)
def test_what_is_not_noticed_is_told(
    change: dict[str, object], fate: str, mutants: Mutants
) -> None:
    assert fate in mutants.fate(RULES[0]._replace(**change))  # type: ignore[arg-type]
