"""What deserves attention of what was decided: what goes on until somebody does something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from controller.engine.findings import Found
from controller.model.decision import Code, Decision
from controller.model.snapshot import Severity
from controller.planning.explain import sentence

_WHAT_TO_DO: Final[Mapping[Code, str]] = {
    Code.CONTESTED: "take away its other autoscaler, or freeze the pool while somebody works on it",
    Code.POISON: (
        "see what these messages have in common; the consumer's max_deliver sets an end to them"
    ),
    Code.BLIND_FOR_LONG: "it runs on a guess until its queue and metrics can be read again",
    Code.ANNOTATION_UNREADABLE: "set it to a whole number, or remove it to let the pool scale",
}


def decision_findings(decisions: Iterable[Decision], now: float) -> Iterator[Found]:
    """One for each reason that calls for somebody, of the kind of its code: what is the matter, and
    what to do.
    """
    for decision in decisions:
        for reason in decision.reasons:
            advice = _WHAT_TO_DO.get(reason.code)
            if advice is not None:
                text = f"{sentence(reason, now)}; {advice}"
                yield Severity.WARNING, decision.pool, reason.code.value, text
