"""Findings about decisions: conditions that last until a person acts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from controller.engine.findings import Found, listed
from controller.engine.fleet_findings import FLEET
from controller.model.decision import Code, Decision, Reason
from controller.model.rights import writer
from controller.model.snapshot import Severity
from controller.planning.explain import sentence, writing_manager

_WHAT_TO_DO: Final[Mapping[Code, str]] = {
    Code.OTHER_AUTOSCALER: "delete that one, or take the pool out of the fleet file",
    Code.POISON: (
        "see what these messages have in common; agentdash's workers bury them after"
        " AGENTDASH_ATTEMPTS tries (agentdash dead list), others must end them themselves: with"
        " max_deliver they would be lost"
    ),
    Code.BLIND_FOR_LONG: "its size is a guess until its queue and metrics can be read again",
    Code.ANNOTATION_UNREADABLE: "set it to a whole number, or remove it to let the pool scale",
    Code.PAUSE_UNREADABLE: "resume the pool, or pause it again with a whole number of replicas",
    Code.LIMIT_UNREADABLE: "correct the ResourceQuota or the nodes that it was read from",
}


_OF_A_WRITER: Final = frozenset({Code.CONTESTED, Code.SET_BACK})


def needs_attention(decision: Decision) -> bool:
    """Whether `decision_findings` has a finding for this decision."""
    return any(_what_to_do(reason) for reason in decision.reasons)


def _what_to_do(reason: Reason) -> str:
    """What a person is to do; empty if nothing."""
    if reason.code in _OF_A_WRITER:
        return writer(writing_manager(reason)).to_do
    return _WHAT_TO_DO.get(reason.code, "")


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
            if to_do := _what_to_do(reason):
                text = f"{sentence(reason, now)}; {to_do}"
                yield Severity.WARNING, decision.pool, _kind(reason), text


def _kind(reason: Reason) -> str:
    """The code; where a pool has several queues, with the one that it is about: each has its own
    finding.
    """
    queue = reason.numbers.get("queue")
    return reason.code.value if queue is None else f"{reason.code.value} {queue}"


def _is_blind_for_long(decision: Decision) -> bool:
    return any(reason.code is Code.BLIND_FOR_LONG for reason in decision.reasons)
