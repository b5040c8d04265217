"""Numbers that no cluster has are refused if the planner would shrink a pool for them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from controller.config import parse
from controller.model.intents import Intents
from controller.model.memory import Memory, Tick
from controller.record.ticks import TickError, decode_tick
from support.full_memory import Path, full_memory, time_paths, with_value
from support.planning import plan
from support.table import tabled
from unit.verbs.worlds import NOW, fresh

FLEET = """\
version: 1
nats: {servers: ['nats://127.0.0.1:9']}
prometheus: {url: 'http://127.0.0.1:9'}
models:
  large:
    limits: {requests_per_minute: 60000, input_tokens_per_minute: 100000000, parallel: 1000}
    price: {input: 3, output: 15}
tenants:
  acme:
    tier: growth
    quota: {replicas: 100}
    budget: {tokens_per_day: 1000000000000000, usd_per_hour: 1000000}
capacity:
  {replicas: 100, cpu: 1000, usd_per_hour: 1000000, node_classes: {spot: {nodes: {max: 30}}}}
pools:
  - name: busy
    tenant: acme
    queue: {stream: T, consumer: a}
    replicas: {max: 8}
    model: large
    usage: {input_tokens: 1000, output_tokens: 100, calls: 3, seconds: 30}
    nodes: [spot]
  - {name: held, tenant: acme, queue: {stream: T, consumer: b}, replicas: {max: 8}}
  - name: cpu
    tenant: acme
    queue: {stream: T, consumer: c}
    replicas: {min: 1, max: 8}
    rule: hpa
    behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
    metrics:
      - {type: Resource,
         resource: {name: cpu, target: {type: Utilization, averageUtilization: 75}}}
  - name: failing
    tenant: acme
    queue: {stream: T, consumer: d}
    replicas: {min: 1, max: 8}
    rule: hpa
    behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
    signals: {backlog: {prometheus: up}}
    metrics:
      - type: External
        external: {metric: {name: backlog}, target: {type: AverageValue, averageValue: 5}}
    fallback: {failureThreshold: 3, replicas: 3}
"""
PODS = [f"pod-{number}" for number in range(8)]


def observed(pending: int, in_flight: int) -> dict[str, Any]:
    """A pool of 8 replicas."""
    counters = {"delivered": 1000, "sequence": 1000, "redelivered": 0, "waiting_pulls": 0}
    requests = {"cpu_milli": 500, "memory_bytes": 2**29}
    return {
        "queue": fresh(NOW - 1, pending=pending, in_flight=in_flight, **counters),
        "workload": fresh(NOW - 1, replicas=8, current=8, ready=8, requests=requests),
        "pods": fresh(NOW - 1, ready=8, starting=0, unscheduled=0, crashing=0, terminating=0),
        "woken_at": NOW - 100.0,
    }


def measured_pod(name: str) -> dict[str, Any]:
    requests = {"cpu": 500}
    return {
        "name": name,
        "phase": "Running",
        "started_at": NOW - 900,
        "readiness": {"status": "True", "since": NOW - 880},
        "containers": [{"name": "app", "requests_milli": requests}],
        "sidecars": [{"name": "proxy", "requests_milli": {"cpu": 0}}],
        "requests_milli": requests,
    }


def remembered() -> dict[str, Any]:
    """A past that holds a pool without work at 8 replicas."""
    change = {"ours": 8, "theirs": 7}
    return {
        "since": NOW - 10_000,
        "last_active_at": NOW - 10,
        "recommendations": [{"replicas": 8, "first_at": NOW - 5000, "last_at": NOW - 2}],
        "scaled_up": [{"change": 2, "at": NOW - 300}],
        "scaled_down": [{"change": 1, "at": NOW - 200}],
        "asked": {"before": 7, "after": 8, "at": NOW - 5, "earlier": [6], "generation": 3},
        "ours": 8,
        "replaced": {**change, "at": NOW - 5000},
        "set_back": [{**change, "at": NOW - 5400}],
        "repeats": {"messages": 3, "since": NOW - 100, "delivered": 900, "sequence": 900},
        "blind_since": NOW - 50,
    }


POOLS = ("busy", "held", "cpu", "failing")
OF_POOL = {name: {"scope": {"pool": f"acme/{name}"}, "until": NOW + 1000} for name in POOLS}


def world(pool: str) -> dict[str, Any]:
    """A tick in which this pool alone is seen, and should keep its 8 replicas."""
    seen, memory = observed(0, 0), remembered()
    if pool == "busy":
        usage = {"input_tokens": 1000, "cached_input_tokens": 100, "output_tokens": 100}
        seen = {**observed(20, 8), "task_usage": {**usage, "calls": 3, "seconds": 30}}
    if pool == "cpu":
        items = [
            {"pod": name, "containers": {"app": 375}, "at": NOW - 5, "window_s": 30}
            for name in PODS
        ]
        seen["metrics"] = {"cpu": fresh(NOW - 1, type="pod_usages", items=items)}
        seen["measured_pods"] = [measured_pod(name) for name in PODS]
        memory = {"since": NOW - 10_000}
    if pool == "failing":
        seen["metrics"] = {"backlog": {"type": "absent", "why": "timed_out", "at": NOW - 1}}
        memory = {"since": NOW - 10_000, "failures": {"backlog": 1}}
    room = {"replicas": 90, "cpu_milli": 10**9, "memory_bytes": 2**50}
    tenant = {"usage": fresh(NOW - 1, used=1000, reserved=100, burn_per_minute=10)}
    return {
        "version": 1,
        "now": NOW,
        "observation": {
            "pools": {f"acme/{pool}": seen},
            "clock_step_s": 0.0,
            "tenants": {"acme": {**tenant, "quota": fresh(NOW - 1, **room)}},
            "capacity": fresh(NOW - 1, resources=room, classes={"spot": room}),
            "under_way": {"acme/held" if pool == "busy" else "acme/busy": 0},
        },
        "intents": {
            "asked": [
                {**OF_POOL[pool], "kind": "pin", "amount": 0},
                {**OF_POOL[pool], "kind": "cap", "amount": 19},
                {"kind": "no-growth", "scope": {"tenant": "acme"}, "until": NOW - 1},
                {
                    "kind": "budget",
                    "scope": {"tenant": "acme"},
                    "amount": 10**15,
                    "until": NOW - 1,
                },
                *([{**OF_POOL[pool], "kind": "pause", "amount": 8}] if pool == "held" else []),
            ],
        },
        "memory": {"pools": {f"acme/{pool}": memory}},
    }


# values of an attacker or of a broken exporter, and honest ones in another unit
ABSURD: list[float | str] = [
    *(-1, -(2**63), 2**63, 10**30, 1e300, -1e300, 1e12, -1e12, 1e-30, -1e-30),
    *("1e-30", "1e39", "-1"),
]
LONG_AGO = {"first_at", "last_at", "since", "last_active_at", "at"}
"""Times in a memory: what was long ago holds no pool."""


def numbers(plain: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every number."""
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield from numbers(value, (*path, key))
    elif isinstance(plain, list):
        for index, value in enumerate(plain[:1]):
            yield from numbers(value, (*path, index))
    elif isinstance(plain, int | float) and path not in {("version",), ("now",)}:
        yield path


def with_number(tick: dict[str, Any], path: tuple[str | int, ...], value: Any) -> bytes:
    changed = inner = json.loads(json.dumps(tick))
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(changed).encode()


def sizes(tick: Tick, key: str) -> tuple[int, int]:
    """The target and the next size of a pool."""
    fleet = parse(FLEET, "fleet.yaml").fleet
    intents, memory = tick.intents or Intents(), tick.memory or Memory()
    decisions = plan(tick.observation, fleet, intents, memory, tick.now)[0].decisions
    decision = next(each for pool, each in decisions.items() if pool == key)
    following = 8 if decision.next is None else decision.next
    return following if decision.target is None else decision.target, following


CASES = [(pool, path) for pool in POOLS for path in numbers(world(pool))]


@tabled("pool", POOLS)
def test_the_worlds_keep_their_replicas(pool: str) -> None:
    tick = decode_tick(json.dumps(world(pool)).encode(), 1)
    assert sizes(tick, f"acme/{pool}") == (8, 8)


@tabled(("pool", "path"), CASES, ids=[f"{pool}-{'.'.join(map(str, path))}" for pool, path in CASES])
def test_no_absurd_number_shrinks_a_pool(pool: str, path: tuple[str | int, ...]) -> None:
    tick = world(pool)
    for value in ABSURD:
        if path[0] == "memory" and path[-1] in LONG_AGO and abs(float(value)) <= 1:
            continue
        try:
            changed = decode_tick(with_number(tick, path, value), 1)
        except TickError:
            continue
        assert sizes(changed, f"acme/{pool}") == (8, 8), value


TIMES = "must be from -32,503,680,000 to 1,731,622,400 Unix seconds, at most a year after now"
CALENDAR = "must be from -32,503,680,000 to 253,402,214,400 Unix seconds"
REPLICAS = "must be from 0 to 2,147,483,647 replicas"
AMOUNT = "must be from 0 to 9,223,372,036,854,775,807 units"
STEP = "must be from -31,622,400 to 1,700,000,000 seconds"
MOMENT = "must be from 0 to 32,503,680,000 Unix seconds, the years 1970 to 3000"
ASKED = "must be from 0 to 1,000,000,000,000,000 replicas or tokens"
POOL, HELD = "observation.pools.acme/busy", "memory.pools.acme/held"
ROOM, CAPACITY = "observation.tenants.acme.quota.value", "observation.capacity.value"


@tabled(
    ("where", "value", "allowed"),
    [
        ("observation.clock_step_s", 1000000000000.0, STEP),
        ("observation.clock_step_s", -1000000000000.0, STEP),
        ("observation.clock_step_s", 1e300, STEP),
        (
            f"{POOL}.workload.value.requests.cpu_milli",
            2**62,
            "must be from 0 to 1,000,000,000 millicores",
        ),
        (
            f"{POOL}.workload.value.requests.memory_bytes",
            2**47,
            "must be from 0 to 70,368,744,177,664 bytes",
        ),
        (f"{POOL}.task_usage.input_tokens", 2**63, "must be from 0 to 1,000,000,000 tokens"),
        (f"{POOL}.task_usage.calls", 2**63, "must be from 0 to 1,000,000 calls"),
        (f"{POOL}.task_usage.seconds", 1e-30, "must be from 0.001 to 2,592,000 seconds"),
        (
            f"{POOL}.queue.value.sequence",
            -1,
            "must be from 0 to 9,223,372,036,854,775,807 messages",
        ),
        (f"{ROOM}.replicas", -1, AMOUNT),
        (f"{ROOM}.cpu_milli", 2**63, AMOUNT),
        (f"{CAPACITY}.resources.memory_bytes", -1, AMOUNT),
        (f"{CAPACITY}.classes.spot.replicas", -5, AMOUNT),
        ("observation.under_way.acme/busy", 2**63, REPLICAS),
        ("intents.asked.4.amount", -1, ASKED),
        ("intents.asked.4.until", 1700000000000.0, MOMENT),
        ("intents.asked.0.amount", -3, ASKED),
        ("intents.asked.0.until", -1, MOMENT),
        ("intents.asked.1.amount", -3, ASKED),
        ("intents.asked.1.until", 1700000000000.0, MOMENT),
        ("intents.asked.2.until", -1, MOMENT),
        ("intents.asked.3.amount", -1, ASKED),
        ("intents.asked.3.until", -1, MOMENT),
        (f"{HELD}.since", 100000000000.0, TIMES),
        (f"{HELD}.recommendations.0.replicas", -1, REPLICAS),
        (f"{HELD}.recommendations.0.last_at", 1e300, CALENDAR),
        (f"{HELD}.scaled_down.0.change", -1, REPLICAS),
        (f"{HELD}.asked.earlier.0", -1, REPLICAS),
        (f"{HELD}.set_back.0.at", -1000000000000.0, CALENDAR),
        (f"{HELD}.replaced.theirs", 2**31, REPLICAS),
        (f"{HELD}.failures.backlog", 2**63, "must be from 0 to 2,147,483,648 failures"),
    ],
)
def test_a_refusal_names_the_path_and_what_is_allowed(where: str, value: Any, allowed: str) -> None:
    tick = world("busy" if where.startswith(POOL) else "held")
    tick["memory"]["pools"].setdefault("acme/held", remembered())["failures"] = {"backlog": 1}
    path = [int(part) if part.isdigit() else part for part in where.split(".")]
    with pytest.raises(TickError) as caught:
        decode_tick(with_number(tick, tuple(path), value), 1)
    [fault] = caught.value.faults
    said, _, shown = fault.message.rpartition(", not ")
    assert said == allowed
    assert shown.lower() in {str(value), str(float(value))}
    assert fault.path.replace('["', ".").replace('"]', "").replace("[", ".").replace("]", "") == (
        where
    )


FULL = {
    "pools": {"acme/held": msgspec.to_builtins(full_memory(NOW))},
    "planned_at": NOW,
}


def tick_with(memory: Any) -> bytes:
    plain = {"version": 1, "now": NOW, "observation": {}, "memory": memory}
    return json.dumps(plain).encode()


@tabled("path", list(time_paths(FULL)))
def test_no_time_of_a_memory_may_be_far_in_the_future(path: Path) -> None:
    assert decode_tick(tick_with(FULL), 1).memory is not None
    with pytest.raises(TickError) as caught:
        decode_tick(tick_with(with_value(FULL, path, NOW + 2 * 366 * 86_400)), 1)
    [fault] = caught.value.faults
    assert "at most a year after now" in fault.message


@tabled("now", [100_000.0, 0.0])
def test_a_recording_may_have_a_clock_that_begins_at_zero(now: float) -> None:
    memory = {"since": now - 200_000, "last_active_at": now}
    plain = {
        "version": 1,
        "now": now,
        "observation": {},
        "memory": {"pools": {"acme/busy": memory}},
    }
    assert decode_tick(json.dumps(plain).encode(), 1).memory is not None
