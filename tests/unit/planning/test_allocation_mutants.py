"""The tests of sharing notice a rule that is left out: each is broken once, in a copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
PLANNING = "controller/planning"


class Mutant(NamedTuple):
    """A rule broken: in `file`, `now` instead of `before`; `test` is the call that must fail."""

    what: str
    file: str
    before: str
    now: str
    test: str


ALLOCATION, STEPS, BUDGET = "test_allocation", "test_steps", "test_budget"
MUTANTS = (
    Mutant(
        "a ceiling raises",
        "allocation/allocate.py",
        "return min(floor, limit), min(need, limit), min(want, limit)",
        "return max(floor, limit), max(need, limit), max(want, limit)",
        f"{ALLOCATION}:test_swapped_bounds_are_noticed()",
    ),
    Mutant(
        "tenants weigh the same",
        "allocation/filling.py",
        "level = max(self._drawn[tenant]) * multiply // divide",
        "level = max(self._drawn[tenant])",
        f"{ALLOCATION}:test_weights_split_a_tier()",
    ),
    Mutant(
        "pools weigh the same",
        "allocation/filling.py",
        "level = counted * multiply // divide",
        "level = counted",
        f"{ALLOCATION}:test_pools_split_what_their_tenant_has_by_their_own_weights()",
    ),
    Mutant(
        "the least part of a fair row is the share",
        "allocation/filling.py",
        "level = max(self._drawn[tenant])",
        "level = min(self._drawn[tenant])",
        f"{ALLOCATION}:test_the_largest_part_of_any_fair_row_is_a_tenants_share()",
    ),
    Mutant(
        "a soft row is hard",
        "allocation/rows.py",
        "return use if soft is None else max(int(soft * use), 1)",
        "return use",
        f"{ALLOCATION}:test_a_soft_row_takes_a_half_fed_replica_and_not_less()",
    ),
    Mutant(
        "a soft row refuses floors",
        "allocation/allocate.py",
        "self.filling.fill(pools, self.floors, strict=False)",
        "self.filling.fill(pools, self.floors, strict=True)",
        f"{ALLOCATION}:test_a_soft_row_refuses_neither_baseline_nor_floors()",
    ),
    Mutant(
        "who runs already is forgotten",
        "allocation/filling.py",
        "waits = members.current[pool] <= filling.have[pool]",
        "waits = True",
        f"{ALLOCATION}:test_among_equals_who_runs_already_keeps_it()",
    ),
    Mutant(
        "the lowest tier is first",
        "allocation/allocate.py",
        "sorted(tiers.items(), reverse=True)",
        "sorted(tiers.items())",
        f"{ALLOCATION}:test_the_higher_tier_has_all_it_needs_before_the_lower_shares()",
    ),
    Mutant(
        "there is no baseline",
        "allocation/allocate.py",
        "        self._baseline()\n",
        "",
        f"{ALLOCATION}:test_the_higher_tier_has_all_it_needs_before_the_lower_shares()",
    ),
    Mutant(
        "the places of a held pool are given away",
        "allocation/allocate.py",
        "self.filling.rows.seat(pool, claim.current)",
        "self.filling.rows.seat(pool, 0)",
        f"{ALLOCATION}:test_a_held_pool_is_counted_as_it_is_and_nobody_else_is_given_its_places()",
    ),
    Mutant(
        "a leap goes too far",
        "allocation/leaping.py",
        "return all(drawn[row] <= left for row, left in room.items())",
        "return all(drawn[row] <= left + 9 for row, left in room.items())",
        f"{ALLOCATION}:test_what_is_granted_in_one_leap_is_what_would_be_granted_one_by_one()",
    ),
    Mutant(
        "large weights are compared as they round",
        "allocation/exact.py",
        "scale = 2 * largest * largest",
        "scale = largest",
        f"{ALLOCATION}:test_weights_of_any_size_are_compared_exactly()",
    ),
    Mutant(
        "busy replicas are removed",
        "steps.py",
        "idle = max(position.current - position.busy, 0)",
        "idle = position.current",
        f"{STEPS}:test_down_takes_the_idle_and_lets_the_busy_finish()",
    ),
    Mutant(
        "who is leaving takes no room",
        "steps.py",
        "[position.current + position.terminating for",
        "[position.current for",
        f"{STEPS}:test_up_goes_only_into_room_that_is_free()",
    ),
    Mutant(
        "what running jobs reserved is still there",
        "budget.py",
        "rest = tokens - used - _exact(use.reserved)",
        "rest = tokens - used",
        f"{BUDGET}:test_a_job_is_admitted_only_if_it_fits_what_is_left()",
    ),
    Mutant(
        "an empty budget lets one through",
        "budget.py",
        "first_passes=status.state is not BudgetState.HARD",
        "first_passes=True",
        f"{BUDGET}:test_an_empty_budget_takes_floors_and_pins_too()",
    ),
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "controller", folder / "controller")
    return folder


def run(copy: Path, tests: list[str]) -> subprocess.CompletedProcess[str]:
    """These calls, one after the other, against the copy."""
    lines = []
    for number, test in enumerate(tests):
        module, call = test.split(":")
        lines.append(f"import unit.planning.{module} as module_{number}; module_{number}.{call}")
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(copy), str(ROOT / "tests")])},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_a_mutation_all_these_tests_pass(copy: Path) -> None:
    assert run(copy, [mutant.test for mutant in MUTANTS]).stderr == ""


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.what for mutant in MUTANTS])
def test_a_broken_rule_is_noticed_by_the_test_named_for_it(copy: Path, mutant: Mutant) -> None:
    file = copy / PLANNING / mutant.file
    source = file.read_text("utf-8")
    assert source.count(mutant.before) == 1
    file.write_text(source.replace(mutant.before, mutant.now), "utf-8")
    try:
        result = run(copy, [mutant.test])
    finally:
        file.write_text(source, "utf-8")
    assert "AssertionError" in result.stderr
