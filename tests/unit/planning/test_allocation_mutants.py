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
pytestmark = pytest.mark.mutants
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
        "allocation/bounds.py",
        "floor=min(floor, limit),\n        need=min(need, limit),\n        want=limit,",
        "floor=max(floor, limit),\n        need=max(need, limit),\n        want=asked,",
        f"{ALLOCATION}:test_swapped_bounds_are_noticed()",
    ),
    Mutant(
        "tenants weigh the same",
        "allocation/contest.py",
        "level = max(self._drawn[tenant]) * multiply // divide",
        "level = max(self._drawn[tenant])",
        f"{ALLOCATION}:test_weights_split_a_tier()",
    ),
    Mutant(
        "pools weigh the same",
        "allocation/order.py",
        "step = 2 * multiply * size",
        "step = 2 * size",
        f"{ALLOCATION}:test_pools_split_what_their_tenant_has_by_their_own_weights()",
    ),
    Mutant(
        "the least part of a fair row is the share",
        "allocation/contest.py",
        "all(each[other] >= each[row] for each in kinds)",
        "all(each[other] <= each[row] for each in kinds)",
        f"{ALLOCATION}:test_the_largest_part_of_any_fair_row_is_a_tenants_share()",
    ),
    Mutant(
        "a soft row is hard",
        "allocation/tariff.py",
        "return use if soft is None else max(int(soft * use), 1)",
        "return use",
        f"{ALLOCATION}:test_a_soft_row_takes_a_half_fed_replica_and_not_less()",
    ),
    Mutant(
        "a soft row refuses floors",
        "allocation/allocate.py",
        "fill(self.filling, pools, self.floors, strict=False)",
        "fill(self.filling, pools, self.floors, strict=True)",
        f"{ALLOCATION}:test_a_soft_row_refuses_neither_baseline_nor_floors()",
    ),
    Mutant(
        "who runs already is forgotten",
        "allocation/order.py",
        "waits = filling.members.current[pool] <= have",
        "waits = True",
        f"{ALLOCATION}:test_among_equals_who_runs_already_keeps_it()",
    ),
    Mutant(
        "the lowest tier is first",
        "allocation/members.py",
        "sorted(tiers.items(), reverse=True)",
        "sorted(tiers.items())",
        f"{ALLOCATION}:test_the_higher_tier_has_all_it_needs_before_the_lower_shares()",
    ),
    Mutant(
        "there is no baseline",
        "allocation/allocate.py",
        "        self.baseline.grant(self.tiers.values(), self.policy.baseline)\n",
        "",
        f"{ALLOCATION}:test_the_higher_tier_has_all_it_needs_before_the_lower_shares()",
    ),
    Mutant(
        "whoever has no more than a baseline has it by the baseline",
        "allocation/baseline.py",
        "return [each for each in self._lacking if each > tier]",
        "return list(self._lacking)",
        f"{ALLOCATION}:test_a_baseline_that_decides_is_named()",
    ),
    Mutant(
        "that a soft row was passed is forgotten",
        "allocation/baseline.py",
        "self.lenient[pool] = refused",
        "pass",
        f"{ALLOCATION}:test_a_baseline_that_a_rate_limit_could_not_feed_is_named()",
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
        "a tenant alone is given one too many",
        "allocation/alone.py",
        "room = max(rows.left[row], 0) // use",
        "room = max(rows.left[row], 0) // use + 1",
        f"{ALLOCATION}:test_what_one_tenant_alone_draws_on_stops_that_tenant_alone()",
    ),
    Mutant(
        "what a tenant draws on beside its own row is forgotten",
        "allocation/alone.py",
        "everywhere.takes, have[pool] - had)",
        "everywhere.takes[:1], have[pool] - had)",
        f"{ALLOCATION}:test_what_one_tenant_alone_draws_on_stops_that_tenant_alone()",
    ),
    Mutant(
        "a row that others draw on is taken for a tenant's own",
        "allocation/alone.py",
        "if owners.setdefault(use[0], tenant) not in (tenant, _SEVERAL):",
        "if owners.setdefault(use[0], tenant) == _SEVERAL:",
        f"{ALLOCATION}:test_a_tenant_with_many_pools_has_no_larger_share()",
    ),
    Mutant(
        "what comes after a piece of the order is forgotten",
        "allocation/order.py",
        "self._more = horizon is not None",
        "self._more = False",
        f"{ALLOCATION}:test_a_large_demand_is_put_in_order_piece_by_piece()",
    ),
    Mutant(
        "a piece of the order reaches further for one pool than for another",
        "allocation/order.py",
        "high = min(high, offset + (horizon * divide - 1) // multiply + 1)",
        "high = min(high, have[pool] + AHEAD)",
        f"{ALLOCATION}:test_a_large_demand_is_put_in_order_piece_by_piece()",
    ),
    Mutant(
        "whoever is left is refused by the row that ran out last",
        "allocation/contest.py",
        "filling.refused_by[pool] = filling.rows.give(pool, strict=self._strict)",
        "filling.refused_by[pool] = row",
        f"{ALLOCATION}:test_the_first_row_that_refuses_is_the_one_that_is_named()",
    ),
    Mutant(
        "a tariff serves rows it was not made for",
        "allocation/tariff.py",
        "return self._names == _names(rows)",
        "return True",
        f"{ALLOCATION}:test_uses_that_are_known_from_before_are_not_taken_for_other_rows()",
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
