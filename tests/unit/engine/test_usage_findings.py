"""What is said about tokens that cannot be counted."""

from __future__ import annotations

from decimal import Decimal

import pytest

from controller.engine.show.findings import usage_findings
from controller.model.observation import RefusedEvents, TenantObservation, TokenUsage
from controller.model.readings import Absent, Fresh, Reading, Stale, Why
from controller.model.snapshot import Severity

USED = TokenUsage(used=Decimal(7))
NONE_REFUSED = RefusedEvents()


def texts(*readings: Reading[TokenUsage], refused: RefusedEvents = NONE_REFUSED) -> list[str]:
    tenants = {f"t{n}": TenantObservation(usage=each) for n, each in enumerate(readings)}
    found = list(usage_findings(tenants, refused))
    assert all((severity, where) == (Severity.WARNING, "nats") for severity, where, _, _ in found)
    return [text for _, _, _, text in found]


def test_tokens_that_are_known_are_nothing_to_speak_of() -> None:
    assert texts(Fresh(value=USED, at=1.0)) == []


@pytest.mark.parametrize("why", [Why.NEVER_READ, Why.DISCONNECTED])
def test_a_lost_connection_is_told_by_its_own_finding_alone(why: Why) -> None:
    assert texts(Absent(why=why), Stale(value=USED, at=1.0, why=why)) == []


def test_tenants_that_lack_the_same_are_named_together() -> None:
    absent = Absent(why=Why.STREAM_MISSING, detail="there is no stream")
    assert texts(*[absent] * 5) == [
        "token usage of t0, t1, t2 and 2 more unknown (stream missing): there is no stream"
    ]


def test_each_reason_is_told_apart() -> None:
    stale = Stale(value=USED, at=1.0, why=Why.INCOMPLETE, detail="removed")
    absent = Absent(why=Why.REFUSED, detail="may not")
    assert texts(stale, absent) == [
        "token usage of t0 stale (incomplete): removed",
        "token usage of t1 unknown (refused): may not",
    ]


def test_events_that_were_not_counted_are_numbered_and_the_last_is_shown() -> None:
    refused = RefusedEvents(count=3, last="the fleet has no tenant nobody")
    assert texts(refused=refused) == [
        "3 usage events were not counted; the last: the fleet has no tenant nobody"
    ]
