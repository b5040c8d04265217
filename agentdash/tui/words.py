"""The one place in the dashboard that turns reasons and codes into English.

Each function takes `at`, the time that the reason speaks of (Unix seconds): the snapshot's time, or
a scale event's own.
"""

from __future__ import annotations

from agentdash.tui import figures
from controller.model.decision import Code, Decision, Reason
from controller.model.observation import ClusterEvent
from controller.planning import explain


def reason_title(code: Code) -> str:
    """A short name for the rule."""
    return explain.title(code)


def reason_sentence(reason: Reason, at: float) -> str:
    """What the rule saw and did, as one sentence."""
    return explain.sentence(reason, at)


def last_sentence(decision: Decision, at: float) -> str:
    """The sentence of the rule that was applied last: it says why the number is what it is."""
    if not decision.reasons:
        return "no rule gave a reason"
    return reason_sentence(decision.reasons[-1], at)


def as_words(code: str) -> str:
    """A code with spaces: `not_becoming_ready` is `not becoming ready`."""
    return str(code).replace("_", " ")


def warning_heading(warning: ClusterEvent, now: float) -> str:
    """What kind of warning of the cluster it is, how often, and when: `BackOff x3, 20s ago`."""
    times = f" x{warning.count}" if warning.count > 1 else ""
    return f"{warning.reason}{times}, {figures.age(now - warning.at)} ago"
