"""What the checks of `agentdash doctor` found, as values."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from controller.model.value import Value

REPORT_VERSION: Final = 1


class Level(StrEnum):
    """How bad it is. `fail`: something does not work; `warn`: something works worse than it could;
    `skip`: it could not be looked at.
    """

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


class Diagnosis(Value):
    """One line: what was looked at (`check`), of what (`subject`, such as a pool; empty for all),
    what was found, and what to do about it (empty where nothing is to be done).
    """

    check: str
    level: Level
    text: str
    subject: str = ""
    todo: str = ""


class Report(Value):
    """The lines of all checks, in the order of the table of checks."""

    lines: tuple[Diagnosis, ...]
    version: int = REPORT_VERSION

    @property
    def has_failure(self) -> bool:
        """Whether something does not work, or could not be looked at."""
        return any(line.level in {Level.FAIL, Level.SKIP} for line in self.lines)


class Progress(Value):
    """What a run of the checks has found so far: `ended` of `checks` checks, and their lines."""

    checks: int
    ended: int = 0
    lines: tuple[Diagnosis, ...] = ()
