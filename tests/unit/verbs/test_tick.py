from __future__ import annotations

import json
import math
from typing import Any

import pytest

from controller.model.ids import pool_key
from controller.model.intents import Intents, Pause, Scope
from controller.model.memory import Memory, PoolMemory
from controller.model.observation import Observation, PoolObservation, QueueDepth
from controller.model.readings import Absent, Fresh, Stale, Why
from controller.model.tick import FAULTS_TOLD, Tick, TickError, decode_tick, encode_tick

NOW = 1_700_000_000.0
RESEARCH = pool_key("acme", "research")


def line(**fields: Any) -> bytes:
    return json.dumps({"version": 1, "now": NOW, "observation": {}, **fields}).encode()


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
            intents=Intents(pauses=(Pause(scope=Scope(tenant="acme"), who="ann"),)),
            memory=Memory(pools={RESEARCH: PoolMemory(since=NOW - 60)}),
        )
        assert decode_tick(encode_tick(tick), 1) == tick


def test_intents_and_memory_may_be_left_out() -> None:
    tick = decode_tick(line(), 1)
    assert (tick.intents, tick.memory) == (None, None)


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


@pytest.mark.parametrize(
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
def test_what_is_not_json_is_said_to_be_so(content: bytes) -> None:
    [complaint] = complaints(content)
    assert complaint.startswith(("is not JSON", "is nested too deeply"))


@pytest.mark.parametrize("content", [b"[]", b"3", b"null", b'"text"'])
def test_json_that_is_no_object_is_refused(content: bytes) -> None:
    [complaint] = complaints(content)
    assert complaint.startswith("must be an object")


@pytest.mark.parametrize("now", [-1, NOW * 1000, 1e300, 2**63])
def test_a_moment_outside_the_calendar_is_refused(now: float) -> None:
    assert complaints(line(now=now)) == ["now: must be Unix seconds, from 1970 to the year 3000"]


@pytest.mark.parametrize("used", ["NaN", "sNaN", "Infinity", "1e999999999", "1e-999999999"])
def test_an_exact_number_that_is_none_is_refused(used: str) -> None:
    usage = {"type": "fresh", "at": NOW, "value": {"used": used}}
    [complaint] = complaints(line(observation={"tenants": {"acme": {"usage": usage}}}))
    path = "observation.tenants.acme.usage.value.used"
    assert complaint == f"{path}: must be a number of at most 40 digits"


@pytest.mark.parametrize("count", [-1, -(2**63), 2**63, 10**30])
def test_absurd_counts_are_the_planners_to_judge(count: int) -> None:
    queue = {"type": "fresh", "at": NOW, "value": {"pending": count, "in_flight": 0}}
    tick = decode_tick(seen(queue=queue), 1)
    depth = tick.observation.pools[RESEARCH].queue
    assert isinstance(depth, Fresh)
    assert depth.value.pending == count


def test_texts_from_outside_are_harmless_once_they_are_in() -> None:
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


def test_of_very_many_faults_the_first_are_told_and_the_rest_counted() -> None:
    pools = {f"acme/{number}": 1 for number in range(FAULTS_TOLD + 5)}
    found = complaints(line(observation={"pools": pools}))
    assert len(found) == FAULTS_TOLD + 1
    assert found[-1] == "and 5 more faults"


def test_a_number_that_is_none_never_leaves_as_one() -> None:
    content = encode_tick(Tick(version=1, now=math.nan, observation=Observation()))
    assert complaints(content) == ["now: must be a number, not null"]
