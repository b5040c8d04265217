from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import pytest

from controller.model.ids import pool_key
from controller.model.intents import Scope
from controller.model.memory import Memory, PoolMemory, Tick
from controller.model.observation import Observation, PoolObservation, QueueDepth
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.record.ticks import TickError, decode_tick
from support.asked import a_budget, a_cap, a_freeze, a_pause, a_pin, intents_of, no_growth_of
from support.table import tabled
from support.ticks import encode_tick

NOW = 1_700_000_000.0
RESEARCH = pool_key("acme", "research")


def line(**fields: Any) -> bytes:
    return json.dumps({"version": 1, "now": NOW, "observation": {}, **fields}).encode()


POOL = 'observation.pools["acme/research"]'


def seen(**pool: Any) -> bytes:
    return line(observation={"pools": {"acme/research": pool}})


def complaints(content: bytes) -> list[str]:
    with pytest.raises(TickError) as caught:
        decode_tick(content, 7)
    assert caught.value.line == 7
    return [str(fault) for fault in caught.value.faults]


def test_a_tick_comes_back_from_json_as_it_was() -> None:
    readings = (
        Fresh(value=QueueDepth(pending=3, in_flight=1), at=NOW),
        Stale(value=QueueDepth(pending=3, in_flight=1), at=NOW - 9, why=Why.DISCONNECTED),
        Absent(why=Why.STREAM_MISSING, at=NOW),
    )
    for queue in readings:
        tick = Tick(
            version=1,
            now=NOW,
            observation=Observation(pools={RESEARCH: PoolObservation(queue=queue)}),
            intents=intents_of(pauses=(a_pause(scope=Scope(tenant="acme"), who="ann"),)),
            memory=Memory(pools={RESEARCH: PoolMemory(since=NOW - 60)}),
        )
        assert decode_tick(encode_tick(tick), 1) == tick


def test_each_fault_of_a_line_is_named_with_its_path_in_words() -> None:
    content = line(
        version=2,
        now="noon",
        observation={
            "pools": {
                "acme/research": {
                    "queue": {"type": "fresh", "at": 1, "value": {"pendng": 1, "in_flight": 1.5}},
                    "workload": {"type": "old"},
                    "pods": {
                        "type": "fresh",
                        "at": 1,
                        "value": {"items": [{"name": "a", "phase": "READY"}]},
                    },
                }
            }
        },
    )
    pool = 'observation.pools["acme/research"]'
    phases = "unscheduled, starting, running, ready, crashing, failed, terminating"
    assert complaints(content) == [
        "version: must be 1, not 2",
        'now: must be a number, not "noon"',
        f"{pool}.queue.value.pendng: unknown key; did you mean pending?",
        f"{pool}.queue.value.pending: is required",
        f"{pool}.queue.value.in_flight: must be a whole number, not 1.5",
        f"{pool}.workload.type: must be one of fresh, stale, absent",
        f'{pool}.pods.value.items[0].phase: must be one of {phases}, not "READY"',
    ]


def test_the_error_reads_as_one_line_for_each_fault() -> None:
    with pytest.raises(TickError) as caught:
        decode_tick(line(now=None, version=True), 7)
    assert str(caught.value) == (
        "line 7: version: must be 1, not true\nline 7: now: must be a number, not null"
    )


@tabled(
    "content",
    [
        b"{",
        b"NaN",
        b'{"now": NaN}',
        b'{"now": 1e999}',
        b'"\xff"',
        b'"\\ud800"',
        b"[" * 100_000,
        b"9" * 5000,
        b"{} {}",
    ],
)
def test_a_line_that_is_not_json_is_refused(content: bytes) -> None:
    [complaint] = complaints(content)
    assert complaint.startswith(("is not JSON", "is nested too deeply"))


@tabled("content", [b"[]", b"3", b"null", b'"text"'])
def test_json_that_is_no_object_is_refused(content: bytes) -> None:
    [complaint] = complaints(content)
    assert complaint.startswith("must be an object")


@tabled("now", [-1, NOW * 1000, 1e300, 2**63])
def test_a_moment_outside_the_calendar_is_refused(now: float) -> None:
    assert complaints(line(now=now)) == ["now: must be Unix seconds, from 1970 to the year 3000"]


def exact(used: Any) -> bytes:
    usage = {"type": "fresh", "at": NOW, "value": {"used": used}}
    return line(observation={"tenants": {"acme": {"usage": usage}}})


@tabled("used", ["1e999999999", "1e-999999999", 1e300, 10**50])
def test_an_exact_number_with_too_many_digits_is_refused(used: Any) -> None:
    path = "observation.tenants.acme.usage.value.used"
    assert complaints(exact(used)) == [f"{path}: must be a number of at most 40 digits"]


@tabled("used", ["NaN", "sNaN", "Infinity", "٣٤", "1_000", " 100 ", "+5", ".5", "5.", "0x10"])
def test_an_exact_number_is_an_ascii_decimal(used: str) -> None:
    path = "observation.tenants.acme.usage.value.used"
    assert complaints(exact(used)) == [
        f'{path}: must be a decimal number, such as 1500 or 0.25, not "{used}"'
    ]
    [complaint] = complaints(seen(task_usage={"seconds": used}))
    assert complaint.startswith(f"{POOL}.task_usage.seconds: must be a decimal number")


@tabled("used", ["1500", "0.25", "1E+5", "-1", 1500, 0.25])
def test_an_exact_number_may_be_text_or_a_number(used: Any) -> None:
    usage = decode_tick(exact(used), 1).observation.tenants["acme"].usage
    assert isinstance(usage, Fresh)
    assert usage.value.used == Decimal(str(used))


@tabled("count", [-1, -(2**63), 2**63, 10**30])
def test_absurd_counts_of_messages_are_left_to_the_planner(count: int) -> None:
    queue = {"type": "fresh", "at": NOW, "value": {"pending": count, "in_flight": 0}}
    tick = decode_tick(seen(queue=queue), 1)
    depth = tick.observation.pools[RESEARCH].queue
    assert isinstance(depth, Fresh)
    assert depth.value.pending == count


def test_texts_from_outside_are_cleaned() -> None:
    queue = {"type": "absent", "why": "refused", "detail": "no \x1b[31m\u202eright"}
    content = line(observation={"pools": {"acme/\x1b]0;x\x07": {"queue": queue}}})
    [(key, pool)] = decode_tick(content, 1).observation.pools.items()
    assert isinstance(pool.queue, Absent)
    for text in (key, pool.queue.detail):
        assert text.isprintable()
        assert "\N{REPLACEMENT CHARACTER}" in text


def test_a_hostile_key_is_harmless_in_the_complaint() -> None:
    [complaint] = complaints(line(**{"\x1b[2J": 1}))
    assert complaint.isprintable()


def test_a_tick_without_a_time_is_refused() -> None:
    content = encode_tick(Tick(version=1, now=math.nan, observation=Observation()))
    assert complaints(content) == ["now: must be a number, not null"]


def test_a_key_that_stands_twice_is_refused_by_its_name() -> None:
    """A decoder takes the last of two values and says nothing."""
    twice = '{"pending": 900, "in_flight": 0, "pending": 0}'
    queue = f'{{"type": "fresh", "at": 1, "value": {twice}}}'
    pools = f'{{"acme/a": {{}}, "acme/a": {{}}, "acme/research": {{"queue": {queue}}}}}'
    content = f'{{"version": 1, "now": 1, "now": 2, "observation": {{"pools": {pools}}}}}'
    assert complaints(content.encode()) == [
        "now: stands here twice: keep one",
        'observation.pools["acme/a"]: stands here twice: keep one',
        f"{POOL}.queue.value.pending: stands here twice: keep one",
    ]


def test_a_key_that_stands_twice_is_refused_beside_other_faults() -> None:
    content = b'{"version": 1, "version": 1, "now": "noon", "observation": {}}'
    assert complaints(content) == [
        "version: stands here twice: keep one",
        'now: must be a number, not "noon"',
    ]


def test_the_same_key_may_stand_in_two_objects() -> None:
    empty: dict[str, Any] = {"metrics": {}}
    content = line(observation={"pools": {"acme/a": empty, "acme/b": empty}})
    assert len(decode_tick(content, 1).observation.pools) == 2


def test_two_keys_that_are_alike_once_cleaned_are_refused() -> None:
    pools: dict[str, Any] = {"acme/a\x01": {}, "acme/a\x02": {}}
    [complaint] = complaints(line(observation={"pools": pools}))
    assert "two keys here are alike once their unprintable characters are gone" in complaint


@tabled("kind", ["pause", "freeze", "no-growth"])
def test_a_scope_that_names_a_tenant_and_a_pool_is_refused(kind: str) -> None:
    both = {"kind": kind, "scope": {"tenant": "acme", "pool": "acme/research"}}
    assert complaints(line(intents={"asked": [{"kind": kind}, both]})) == [
        "intents.asked[1].scope: names a tenant and a pool: take one of them out"
    ]


def test_intents_of_a_tick_that_an_older_version_recorded_are_read() -> None:
    fleet, tenant, pool = Scope(), Scope(tenant="acme"), Scope(pool="acme/research")
    before = {
        "pins": [{"pool": "acme/research", "replicas": 3, "who": "ann"}],
        "pauses": [{"scope": {"tenant": "acme"}, "keep": 1}, {"scope": {}}],
        "freezes": [{"scope": {"pool": "acme/research"}, "until": NOW + 60}],
        "caps": [{"pool": "acme/research", "replicas": 8}],
        "no_growths": [{"scope": {}}],
        "budgets": [{"tenant": "acme", "tokens": 5_000_000}],
    }
    assert decode_tick(line(intents=before), 1).intents == intents_of(
        pins=(a_pin(pool="acme/research", replicas=3, who="ann"),),
        pauses=(a_pause(scope=tenant, keep=1), a_pause(scope=fleet)),
        freezes=(a_freeze(scope=pool, until=NOW + 60),),
        caps=(a_cap(pool="acme/research", replicas=8),),
        no_growths=(no_growth_of(scope=fleet),),
        budgets=(a_budget(tenant="acme", tokens=5_000_000),),
    )


@tabled(
    ("asked", "words"),
    [
        ({"kind": "pin", "scope": {"tenant": "acme"}, "amount": 1}, "only a pool can have a pin"),
        ({"kind": "cap", "scope": {"pool": "acme/research"}}, "a cap without replicas"),
        ({"kind": "budget", "scope": {}, "amount": 1}, "only a tenant can have a budget"),
        ({"kind": "freeze", "amount": 1}, "a freeze of 1"),
    ],
)
def test_an_intent_that_cannot_be_is_refused_in_words(asked: dict[str, Any], words: str) -> None:
    [complaint] = complaints(line(intents={"asked": [asked]}))
    assert words in complaint


def test_a_number_out_of_its_types_bounds_is_reported_with_the_bound() -> None:
    native: dict[str, Any] = {
        "learned": {"at": -1, "arrivals": 2**70, "completions": 0, "moves": [1.0]},
        "asked_at": 1e31,
        "pending": 0,
        "delivered": 0,
    }
    memory = {"pools": {"acme/research": {"since": 1, "native": native}}}
    path = 'memory.pools["acme/research"].native'
    assert complaints(line(memory=memory)) == [
        f"{path}.learned.at: must be from 0 to 1e+30, not -1.0",
        f"{path}.learned.arrivals: must be from 0 to {2**63 - 1:,}, not {2**70}",
        f"{path}.learned.moves: must be a list of at least 48 items, not a list of 1",
        f"{path}.asked_at: must be from 0 to 1e+30, not 1e+31",
    ]
