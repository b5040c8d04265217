"""What counts as a usage event, and what is refused with a reason."""

from __future__ import annotations

import json

import pytest

from controller.model.worker_messages import (
    LONGEST_TIER,
    MOST_SAVED_USD,
    MOST_TOKENS_OF_A_TASK,
    USAGE_SUBJECT_PREFIX,
)
from controller.nats.usage import RefusedEventError, decode_event
from support.table import tabled
from tests.unit.nats.usage_world import event

TENANTS = frozenset({"acme", "globex"})
ESCAPE = "\x1b]0;owned\x07\u202e"


def refusal(subject: str, data: bytes) -> str:
    with pytest.raises(RefusedEventError) as caught:
        decode_event(subject, data, TENANTS)
    return str(caught.value)


def test_keys_of_a_later_version_do_not_matter() -> None:
    subject, data = event(input=1)
    later = json.dumps(json.loads(data) | {"trace": "x"}).encode()
    assert decode_event(subject, later, TENANTS).usage.input == 1


@tabled(
    "usage",
    [
        {"input": -1},
        {"output": MOST_TOKENS_OF_A_TASK + 1},
        {"cached_input": 2**63},
        {"input": 10**400},
        {"input": 1.5},
        {"input": True},
        {"input": None},
        {"input": "7"},
        {"calls": -3},
    ],
)
def test_numbers_that_no_task_uses_are_refused(usage: dict[str, object]) -> None:
    assert f"on {USAGE_SUBJECT_PREFIX}.acme.research: " in refusal(*event(**usage))


@tabled("seconds", [-1.0, 1e300])
def test_a_time_that_no_task_takes_is_refused(seconds: float) -> None:
    refusal(*event(seconds=seconds, input=1))


@tabled(
    "absurd",
    [{"tier": "x" * (LONGEST_TIER + 1)}, {"saved_usd": MOST_SAVED_USD * 2}, {"saved_usd": "1"}],
)
def test_an_absurd_tier_or_saving_is_refused(absurd: dict[str, object]) -> None:
    subject, data = event(input=1)
    refusal(subject, json.dumps(json.loads(data) | absurd).encode())


@tabled(
    "data",
    [b"", b"null", b"[]", b"{}", b"\xff\xfe", b'{"tenant": "acme"', b"[" * 200_000, b"NaN"],
    ids=["empty", "null", "list", "no keys", "no text", "cut", "deep", "no number"],
)
def test_garbage_is_refused(data: bytes) -> None:
    refusal(f"{USAGE_SUBJECT_PREFIX}.acme.research", data)


def test_an_event_counts_only_for_the_tenant_that_its_subject_names() -> None:
    _, data = event("globex", input=1)
    assert "it names globex/research" in refusal(f"{USAGE_SUBJECT_PREFIX}.acme.research", data)


def test_a_tenant_that_the_fleet_has_not_is_named() -> None:
    assert refusal(*event("unknown", input=1)) == "the fleet has no tenant unknown"


def test_a_refusal_shows_nothing_that_a_terminal_would_obey() -> None:
    for words in (refusal(*event(f"x{ESCAPE}", input=1)), refusal(ESCAPE, b"{}")):
        assert words.isprintable()
