"""Findings about operators' intents stay few, whatever stands in the bucket."""

from __future__ import annotations

from controller.engine.intents import SHOWN, IntentFindings
from controller.model.intents import StoredIntents
from support.asked import a_pin, intents_of
from tests.unit.nats.usage_world import fleet, tenant

NOW = 1_700_000_000.0


def texts(stored: StoredIntents) -> list[str]:
    findings = IntentFindings(fleet(tenant()))
    return [text for _, _, _, text in findings.found(stored, NOW)]


def test_thousands_of_intents_for_unknown_pools_are_few_findings_and_their_number() -> None:
    pins = tuple(a_pin(pool=f"acme/nobody-{number}", replicas=1) for number in range(5_000))
    found = texts(StoredIntents(intents=intents_of(pins=pins), read=True))
    assert len(found) == SHOWN + 1
    assert any("4,980 more intents have no effect" in text for text in found)


def test_faults_beyond_the_first_are_told_as_a_number() -> None:
    assert texts(StoredIntents(read=True, more_faults=19_980)) == [
        "19,980 more keys in the bucket are no intents that can be read"
    ]


def test_intents_that_a_restored_bucket_does_not_have_are_named_as_kept() -> None:
    [text] = texts(StoredIntents(read=True, kept=2))
    assert "intents in force that it does not have: 2" in text
