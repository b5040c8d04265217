"""Findings about decisions: conditions that last until a person acts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from controller.engine.findings import Found, listed
from controller.engine.fleet_findings import FLEET
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


def decision_findings(decisions: Collection[Decision], now: float) -> Iterator[Found]:
    """One for each reason that needs a person, of the kind of its code: what is wrong, and what to
    do about it. Pools that have all been blind for long are one finding: they have one cause.
    """
    blind = [each for each in decisions if _is_blind_for_long(each)]
    if len(blind) > 1:
        names = listed([each.pool for each in blind])
        text = f"the work of {len(blind)} pools, {names}, has not been known for long"
        advice = "their sizes are guesses until their queues and metrics can be read again"
        yield Severity.WARNING, FLEET, Code.BLIND_FOR_LONG.value, f"{text}; {advice}"
    for decision in decisions:
        for reason in decision.reasons:
            if reason.code is Code.BLIND_FOR_LONG and len(blind) > 1:
                continue
            to_do = _WHAT_TO_DO.get(reason.code)
            if to_do is not None:
                text = f"{sentence(reason, now)}; {to_do}"
                yield Severity.WARNING, decision.pool, reason.code.value, text


def _is_blind_for_long(decision: Decision) -> bool:
    return any(reason.code is Code.BLIND_FOR_LONG for reason in decision.reasons)
