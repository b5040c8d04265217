"""When no write succeeds, that is a finding, and it says why and what to do."""

from __future__ import annotations

import pytest

from controller.engine.actuate import WriteHealth
from controller.model.decision import Outcome, OutcomeKind
from controller.model.snapshot import NO_WRITE, Severity

REFUSED = Outcome(kind=OutcomeKind.UNAUTHORIZED, status=401, detail="Unauthorized")


def test_writes_that_all_fail_for_several_intervals_are_a_finding() -> None:
    health = WriteHealth(interval_s=1.0)
    health.ended(REFUSED, 100.0)
    assert not list(health.findings(110.0))
    health.ended(REFUSED, 109.0)
    [(severity, subject, kind, text)] = health.findings(110.1)
    assert (severity, subject, kind) == (Severity.CRITICAL, "kubernetes", NO_WRITE)
    assert text == (
        "no write succeeds: Unauthorized; see that the ServiceAccount or user of this process "
        "still exists"
    )


@pytest.mark.parametrize(
    "kind", [OutcomeKind.APPLIED, OutcomeKind.CONFLICT, OutcomeKind.GONE, OutcomeKind.INVALID]
)
def test_a_write_that_the_server_took_up_ends_it(kind: OutcomeKind) -> None:
    health = WriteHealth(interval_s=1.0)
    health.ended(REFUSED, 100.0)
    health.ended(Outcome(kind=kind), 105.0)
    assert not list(health.findings(300.0))


def test_where_nothing_is_to_be_written_nothing_fails() -> None:
    health = WriteHealth(interval_s=1.0)
    health.ended(REFUSED, 100.0)
    health.nothing_to_write()
    assert not list(health.findings(300.0))
