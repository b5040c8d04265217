"""The cases: which the planner answers, and why it does not answer the others.

The environment variable AGENTDASH_CONFORMANCE names another folder of cases. A case of an unknown
type, or of a shape that cannot be read, is not left out: it says so in the summary, and its test
fails.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from conformance.agreement import agrees
from conformance.divergences import expected_of
from conformance.statement import EXPECTED, NotStatable, Stated, planned
from conformance.statements import STATEMENTS

CASES_HERE: Final = Path(__file__).parent / "cases"
FOLDER: Final = Path(os.environ.get("AGENTDASH_CONFORMANCE") or CASES_HERE)

UNKNOWN_TYPE: Final = "no statement is written for this type"
UNREADABLE: Final = "the runner cannot read this case: "
BY_PLAN: Final = "through plan()"


class Case(NamedTuple):
    """One case: what is given, and what the original answers."""

    name: str
    kind: str
    inputs: Mapping[str, Any]
    expected: Mapping[str, Any]


def load(folder: Path) -> list[Case]:
    """Every case of each file."""
    found = []
    for file in sorted(folder.glob("*.json")):
        for case in json.loads(file.read_text("utf-8"))["cases"]:
            name = case.get("name") or case.get("id")
            expected = case.get("expected", case.get("expect"))
            found.append(
                Case(
                    name=f"{file.stem}-{name}",
                    kind=str(case.get("type") or case.get("kind")),
                    inputs={**case.get("inputs", case.get("input")), EXPECTED: expected},
                    expected=expected,
                )
            )
    return found


def stated(case: Case) -> Stated | NotStatable:
    """What the planner is given for a case, or why it cannot be stated."""
    statement = STATEMENTS.get(case.kind)
    if statement is None:
        return NotStatable(UNKNOWN_TYPE)
    try:
        found = statement.state(case.inputs)
        excused = found.unless and differing(case, found)
    except NotStatable as reason:
        return reason
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        return NotStatable(f"{UNREADABLE}{error!r}")
    return NotStatable(found.unless) if excused else found


def differing(case: Case, found: Stated) -> list[str]:
    """What the plan answers otherwise than the original, of all that it shows."""
    answer = STATEMENTS[case.kind].read(case.inputs, planned(found))
    wanted = expected_of(case.kind, case.expected)
    shown = {
        key: value
        for key, value in wanted.items()
        if ("error" if key == "error_contains" else key) in answer
    }
    if not shown:
        return [f"the plan shows nothing of {sorted(wanted)}: {answer}"]
    return [
        f"{key}: {value} expected of {answer}"
        for key, value in shown.items()
        if not agrees(key, value, answer)
    ]


def counted(cases: Sequence[Case]) -> Mapping[str, Counter[str]]:
    """For each type, how many cases go through `plan()`, and how many do not, by reason."""
    counts: dict[str, Counter[str]] = {}
    for case in cases:
        found = stated(case)
        answered_by = found.reason if isinstance(found, NotStatable) else BY_PLAN
        counts.setdefault(case.kind, Counter())[answered_by] += 1
    return counts


def summary(cases: Sequence[Case]) -> str:
    """The counts for people."""
    counts = counted(cases)
    planned = sum(reasons[BY_PLAN] for reasons in counts.values())
    lines = [f"{planned} of {len(cases)} cases go through plan()"]
    for kind in sorted(counts):
        reasons = counts[kind]
        lines.append(f"{kind}: {reasons[BY_PLAN]} of {reasons.total()} through plan()")
        lines += [
            f"  {count} not: {reason}"
            for reason, count in sorted(reasons.items())
            if reason != BY_PLAN
        ]
    return "\n".join(lines)


def main() -> None:
    """Print how the cases of the folder are answered."""
    print(summary(load(FOLDER)))


if __name__ == "__main__":
    main()
