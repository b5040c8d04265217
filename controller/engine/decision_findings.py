"""Findings about decisions: conditions that last until a person acts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from controller.engine.findings import Found
from controller.model.decision import Code, Decision
from controller.model.snapshot import Severity
from controller.planning.explain import sentence

_WHAT_TO_DO: Final[Mapping[Code, str]] = {
    Code.CONTESTED: "remove its other autoscaler, or freeze the pool while somebody works on it",
    Code.POISON: (
        "see what these messages have in common; max_deliver of the consumer limits deliveries"
    ),
    Code.BLIND_FOR_LONG: "its size is a guess until its queue and metrics can be read again",
    Code.ANNOTATION_UNREADABLE: "set it to a whole number, or remove it to let the pool scale",
    Code.PAUSE_UNREADABLE: "resume the pool, or pause it again with a whole number of replicas",
    Code.LIMIT_UNREADABLE: "correct the ResourceQuota or the nodes that it was read from",
}


def needs_attention(decision: Decision) -> bool:
    """Whether `decision_findings` has a finding for this decision."""
    return any(reason.code in _WHAT_TO_DO for reason in decision.reasons)


def decision_findings(decisions: Iterable[Decision], now: float) -> Iterator[Found]:
    """One finding for each reason that needs a person: what is wrong, and what to do about it. Its
    kind is the reason's code.
    """
    for decision in decisions:
        for reason in decision.reasons:
            advice = _WHAT_TO_DO.get(reason.code)
            if advice is not None:
                text = f"{sentence(reason, now)}; {advice}"
                yield Severity.WARNING, decision.pool, reason.code.value, text
