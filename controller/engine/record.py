"""Step 4 of a tick: record decisions and the outcomes of writes, as scale events and log lines.

A line is logged for the replica counts that changed since the last full tick, when a person has to
act, and when a write fails in a new way. In steady state nothing is logged.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Final

from controller.engine.actuate import Write
from controller.engine.show.findings import Found, decision_findings, failed_write
from controller.model.decision import (
    HARMLESS,
    Announcement,
    Bound,
    Code,
    Decision,
    Outcome,
    OutcomeKind,
    Reason,
)
from controller.model.ids import PoolKey
from controller.model.snapshot import ScaleEvent, Severity
from controller.planning.explain import headline, sentence
from controller.ports import Announcer

log = logging.getLogger(__name__)

EVENTS_KEPT: Final = 200
SIZES_LOGGED: Final = 20


class Recorder:
    """The newest `EVENTS_KEPT` scale events, and counts since the process began."""

    def __init__(self, *, writes: bool) -> None:
        """If `writes` is False, log the changes that would have been written."""
        self._writes = writes
        self._scaled = "scaled" if writes else "would scale"
        self._events: deque[ScaleEvent] = deque(maxlen=EVENTS_KEPT)
        self._pending: dict[PoolKey, tuple[int | None, int | None]] = {}
        self._failures: dict[PoolKey, tuple[OutcomeKind, int]] = {}
        self._alarms: dict[PoolKey, frozenset[str]] = {}
        self._untold: list[tuple[Decision, float]] = []
        self.scaled: Counter[tuple[PoolKey, str, str]] = Counter()
        self.decisions = 0
        self.written_count = 0
        self.failed_count = 0

    def begin_with(self, events: Iterable[ScaleEvent]) -> None:
        """Go on from the events of the process before this one."""
        known = {(each.at, each.pool) for each in self._events}
        left = [each for each in events if (each.at, each.pool) not in known]
        newest_first = sorted([*self._events, *left], key=lambda each: each.at, reverse=True)
        self._events = deque(newest_first[:EVENTS_KEPT], maxlen=EVENTS_KEPT)

    def decided(self, at: float, decisions: Iterable[Decision]) -> bool:
        """Count the decisions that change a replica count; a repeated one counts once.

        `decisions` are those made again at `at` (Unix seconds). True if one was counted.
        """
        before = self.decisions
        for decision in decisions:
            self._log_alarms(decision, at)
            if not decision.changes:
                self._pending.pop(decision.pool, None)
                continue
            change = (decision.current, decision.next)
            if self._pending.get(decision.pool) == change:
                continue
            self._pending[decision.pool] = change
            self.decisions += 1
            if not self._writes:
                self._note(decision, at)
        return self.decisions > before

    def _log_alarms(self, decision: Decision, at: float) -> None:
        """Log each reason for which a person has to act, once while it lasts."""
        known = self._alarms.pop(decision.pool, frozenset())
        found = {kind: text for _, _, kind, text in decision_findings((decision,), at)}
        for kind, text in found.items():
            if kind not in known:
                log.warning(
                    "needs attention", extra={"pool": decision.pool, "kind": kind, "why": text}
                )
        if found:
            self._alarms[decision.pool] = frozenset(found)

    def written(self, write: Write) -> None:
        """Record a write that ended. A conflict does not count as a failure, because the pool is
        decided again with the newer replica count; nor does a write that was not sent, because we
        lead no longer.
        """
        decision, outcome = write.decision, write.outcome
        self._pending.pop(decision.pool, None)
        if outcome.kind in {OutcomeKind.CONFLICT, OutcomeKind.READ_ONLY}:
            log.debug("overtaken", extra=_fields(decision, write.at))
            return
        self._events.appendleft(_event(write))
        if outcome.kind is OutcomeKind.APPLIED:
            self.written_count += 1
            self._failures.pop(decision.pool, None)
            self.scaled[decision.pool, direction(decision), trigger(decision)] += 1
            self._note(decision, write.at)
            return
        self.failed_count += 1
        # not the detail: servers and proxies put a new request id into each
        failure = (outcome.kind, outcome.status)
        if self._failures.get(decision.pool) != failure:
            self._failures[decision.pool] = failure
            log.warning("not scaled", extra=_fields(decision, write.at) | _failure(outcome))

    def _note(self, decision: Decision, at: float) -> None:
        log.debug(self._scaled, extra=_fields(decision, at))
        self._untold.append((decision, at))

    def tell(self) -> None:
        """Log what changed since the last call: of a single pool with all that is known of it, of
        several pools in one line with the sizes of the first ones.
        """
        changes, self._untold = self._untold, []
        if len({decision.pool for decision, _ in changes}) > 1:
            log.info(self._scaled, extra=_together([decision for decision, _ in changes]))
            return
        for decision, at in changes:
            log.info(self._scaled, extra=_fields(decision, at))

    def events(self) -> tuple[ScaleEvent, ...]:
        """The events that are kept, newest first."""
        return tuple(self._events)


def deciding(decision: Decision) -> Reason:
    """The reason to show for the decision: the last one whose value is `decision.next`."""
    reasons = decision.reasons or (Reason(code=Code.QUEUE, value=decision.demand),)
    for reason in reversed(reasons):
        if reason.value == decision.next:
            return reason
    return reasons[-1]


def direction(decision: Decision) -> str:
    """`up` if the decision adds replicas, else `down`; unknown counts as 0."""
    return "up" if (decision.next or 0) > (decision.current or 0) else "down"


def trigger(decision: Decision) -> str:
    """What caused the change: `wake` for a pool's first message, else the name of the bound."""
    return "wake" if decision.wake and decision.bound is Bound.DEMAND else decision.bound.value


def _event(write: Write) -> ScaleEvent:
    decision = write.decision
    return ScaleEvent(
        at=write.at,
        pool=decision.pool,
        before=decision.current or 0,
        after=decision.next or 0,
        bound=decision.bound.value,
        reason=deciding(decision),
        outcome=write.outcome,
        decision=decision,
    )


def _failure(outcome: Outcome) -> dict[str, object]:
    return {
        "outcome": outcome.kind.value,
        "status": outcome.status,
        "detail": outcome.detail,
    }


def _together(decisions: list[Decision]) -> dict[str, object]:
    ups = sum(direction(each) == "up" for each in decisions)
    sizes = {each.pool: each.next for each in decisions[:SIZES_LOGGED]}
    return {"changes": len(decisions), "up": ups, "down": len(decisions) - ups, "sizes": sizes}


def _fields(decision: Decision, at: float) -> dict[str, object]:
    return {
        "pool": decision.pool,
        "before": decision.current,
        "after": decision.next,
        "demand": decision.demand,
        "target": decision.target,
        "bound": decision.bound.value,
        "trigger": trigger(decision),
        "why": sentence(deciding(decision), at),
        "summary": headline(decision, at),
    }


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


def event_findings(announcer: Announcer) -> Iterator[Found]:
    """One, if Events cannot be written."""
    if refusal := announcer.refusal():
        text = f"no events are written: {refusal}; allow us to create and patch events"
        yield Severity.INFO, "kubernetes", "events", text
