"""What is kept of decisions and of their writes."""

from __future__ import annotations

import pytest

from controller.engine.actuate import EVENTS_KEPT, Recorder, Write
from controller.model.decision import Code, Decision, Outcome, OutcomeKind, Reason
from controller.model.ids import pool_key

APPLIED = Outcome(kind=OutcomeKind.APPLIED, status=200)


def decided(demand: int) -> Decision:
    return Decision(
        pool=pool_key("acme", "coder"),
        current=1,
        demand=demand,
        recommendation=demand,
        target=demand,
        next=demand,
        reasons=(Reason(code=Code.QUEUE, value=demand),),
    )


def test_a_scale_event_carries_the_decision_of_its_moment() -> None:
    recorder = Recorder(writes=True)
    then, later = decided(4), decided(9)
    recorder.written(Write(decision=then, outcome=APPLIED, at=10.0))
    recorder.written(Write(decision=later, outcome=APPLIED, at=20.0))
    assert [event.decision for event in recorder.events()] == [later, then]


def test_only_the_newest_events_and_their_decisions_are_kept() -> None:
    recorder = Recorder(writes=True)
    for number in range(EVENTS_KEPT + 50):
        recorder.written(Write(decision=decided(number + 2), outcome=APPLIED, at=float(number)))
    events = recorder.events()
    assert len(events) == EVENTS_KEPT
    assert events[0].decision == decided(EVENTS_KEPT + 51)


def test_a_failure_that_only_differs_in_its_request_id_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder(writes=True)
    for number in range(50):
        detail = f"internal error, request id {number}"
        failed = Outcome(kind=OutcomeKind.FAILED, status=500, detail=detail)
        recorder.written(Write(decision=decided(4), outcome=failed, at=float(number)))
    forbidden = Outcome(kind=OutcomeKind.FORBIDDEN, status=403, detail="no")
    recorder.written(Write(decision=decided(4), outcome=forbidden, at=60.0))
    said = [record.__dict__["outcome"] for record in caplog.records]
    assert said == ["failed", "forbidden"]
