"""The sentences of `plan` and `why`: the only place where these verbs ask the planner for words."""

from __future__ import annotations

from controller.model.decision import Decision, Reason
from controller.planning import explain

UNKNOWN = explain.UNKNOWN
"""What stands for a number that is not known."""


def headline_of(decision: Decision, at: float) -> str:
    """A decision in one line, as of `at`."""
    return explain.headline(decision, at)


def step_of(reason: Reason, at: float) -> tuple[str, str]:
    """The name of the rule that was applied, and a sentence with its numbers, as of `at`."""
    return explain.title(reason.code), explain.sentence(reason, at)
