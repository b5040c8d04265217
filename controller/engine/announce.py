"""What the end of a write announces about its workload."""

from __future__ import annotations

from collections.abc import Iterator

from controller.engine.actuate import Write
from controller.engine.findings import Found, failed_write
from controller.engine.record import deciding
from controller.model.decision import HARMLESS, Announcement, OutcomeKind
from controller.model.snapshot import Severity
from controller.planning.explain import sentence
from controller.ports import Announcer


def announcement(write: Write) -> Announcement | None:
    """The news of a write: a size that changed, or was refused; None if there is none."""
    decision, outcome = write.decision, write.outcome
    sizes = f"from {decision.current} to {decision.next}"
    why = sentence(deciding(decision), write.at)
    if outcome.kind is OutcomeKind.APPLIED:
        is_up = (decision.next or 0) > (decision.current or 0)
        reason = "ScaledUp" if is_up else "ScaledDown"
        return Announcement(reason=reason, note=f"scaled {sizes}: {why}")
    if outcome.kind in HARMLESS:
        return None
    note = f"not scaled {sizes} ({why}): {failed_write(outcome)}"
    return Announcement(reason="ScaleRefused", note=note, is_warning=True)


def event_findings(announcer: Announcer | None) -> Iterator[Found]:
    """One, if Events cannot be written."""
    refusal = "" if announcer is None else announcer.refusal()
    if refusal:
        text = f"no events are written: {refusal}; allow us to create and patch events"
        yield Severity.INFO, "kubernetes", "events", text
