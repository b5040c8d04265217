"""Single values: numbers are kept exactly as they are written, or refused; durations, quantities,
addresses and label selectors have the spellings of Go and Kubernetes.
"""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from functools import reduce
from typing import Any

import pytest

from controller.config import FleetFileError, parse
from controller.model.settings import Settings
from controller.notation.quantity import spell_duration
from support.table import tabled

TARGET = {"type": "AverageValue", "averageValue": 1}
POOL = {
    "name": "a",
    "tenant": "acme",
    "queue": {"stream": "S", "consumer": "c"},
    "replicas": {"max": 9},
    "behavior": {"scaleUp": {}},
    "modifiers": {"formula": "queue"},
    "metrics": [{"type": "External", "external": {"metric": {"name": "queue"}, "target": TARGET}}],
}
POOL["modifiers"]["target"] = 1  # type: ignore[index]
FLEET = {
    "version": 1,
    "nats": {"servers": ["nats://h"]},
    "kubernetes": {},
    "controller": {},
    "tenants": {"acme": {"tier": "growth", "budget": {}, "quota": {}}},
    "pools": [POOL],
}
COOLDOWN, WEIGHT = ("pools", 0, "cooldown"), ("pools", 0, "weight")
USD, SERVER = ("tenants", "acme", "budget", "usd_per_hour"), ("nats", "servers", 0)
CPU, MEMORY = ("tenants", "acme", "quota", "cpu"), ("tenants", "acme", "quota", "memory")
TARGET_KEY = ("pools", 0, "metrics", 0, "external", "target", "averageValue")
TOLERANCE = ("pools", 0, "behavior", "scaleUp", "tolerance")
SELECTOR, INTERVAL = ("kubernetes", "selector"), ("controller", "interval")


def settings(path: tuple[str | int, ...], written: object) -> Settings:
    fleet: Any = copy.deepcopy(FLEET)
    reduce(lambda below, key: below[key], path[:-1], fleet)[path[-1]] = written
    return parse(json.dumps(fleet), "fleet.yaml")


def refusal(path: tuple[str | int, ...], written: object) -> str:
    with pytest.raises(FleetFileError) as caught:
        settings(path, written)
    [problem] = caught.value.errors
    return problem.message


@tabled(
    ("written", "seconds"),
    [
        *((0, 0.0), (90, 90.0), (0.5, 0.5), ("0", 0.0), ("15m", 900.0), ("1h30m", 5400.0)),
        *(("1.5h", 5400.0), ("2m0.5s", 120.5), ("500ms", 0.5), ("20us", 0.00002)),
        ("720h", 2_592_000.0),
    ],
)
def test_durations_are_seconds_or_gos_spelling(written: object, seconds: float) -> None:
    assert settings(COOLDOWN, written).fleet.pools[0].cooldown_s == seconds


@tabled(
    "written",
    [
        *(True, [], {}, float("nan"), float("inf"), float("-inf")),
        *("", "15", "1d", "1w", "15mm", "1y", "m", "-5m", "+5m", "1h 30m", "1h???30m", "5m5"),
        *("15M", "١m", "1e3s", ".s", "1..5s", " 15m", "15m\n", "9" * 400 + "h"),
    ],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    assert "must be a duration" in refusal(COOLDOWN, written)


@tabled("written", [-1, "99ms", 301, "1h", 10**17, "9" * 30 + "h"])
def test_a_duration_has_bounds(written: object) -> None:
    assert "must be between 100ms and 5m" in refusal(INTERVAL, written)


@tabled(
    ("seconds", "spelled"),
    [(0.0, "0s"), (0.1, "100ms"), (1.0, "1s"), (90.0, "90s"), (900.0, "15m"), (5400.0, "90m")],
)
def test_durations_have_a_short_spelling(seconds: float, spelled: str) -> None:
    assert spell_duration(seconds) == spelled


@tabled(
    ("written", "number"),
    [
        *((1, "1"), (50, "50"), (0.1, "0.1"), (1.10, "1.1"), (1e-7, "0.0000001")),
        *((123456.123456, "123456.123456"), ("0.30", "0.3"), ("0.001", "0.001")),
        ("0.123456789012345678", "0.123456789012345678"),
    ],
)
def test_a_decimal_is_read_exactly(written: object, number: str) -> None:
    assert settings(WEIGHT, written).fleet.pools[0].weight == Decimal(number)


@tabled(
    "written",
    [
        *(True, [], {}, float("nan"), float("inf"), float("-inf")),
        *("", "NaN", "Infinity", "1e3", "1/3", ".5", "5.", "+1", " 1", "1\n", "1_000", "1,5", "١"),
    ],
)
def test_what_is_no_decimal_is_refused(written: object) -> None:
    assert "must be a number" in refusal(WEIGHT, written)


def test_a_decimal_keeps_all_its_digits_and_has_bounds() -> None:
    assert "more digits than are kept" in refusal(WEIGHT, 0.12345678901234567)
    assert "must be more than 0" in refusal(WEIGHT, 0)
    for written in (-0.01, "-1", 1_000_000_001):
        assert "must be at least 0 and at most 1000000000" in refusal(USD, written)


@tabled(
    ("written", "millicores"),
    [(2, 2000), ("500m", 500), (0.5, 500), ("0.1", 100), ("1k", 1_000_000), ("1e1", 10_000)],
)
def test_cores_become_millicores(written: object, millicores: int) -> None:
    assert settings(CPU, written).fleet.tenants[0].quota.cpu_milli == millicores


@tabled(
    ("written", "bytes_"),
    [
        *((0, 0), ("16Gi", 16 * 2**30), ("512Mi", 512 * 2**20), ("1.5Ki", 1536), ("1G", 10**9)),
        *(("1E", 10**18), ("1E3", 1000), ("2000m", 2), ("9223372036854775807", 2**63 - 1)),
    ],
)
def test_memory_becomes_bytes(written: object, bytes_: int) -> None:
    assert settings(MEMORY, written).fleet.tenants[0].quota.memory_bytes == bytes_


@tabled(
    ("written", "complaint"),
    [
        *((each, "must be a quantity, such as") for each in ("64Gb", "64GI", "1K", "", "1 Gi")),
        *((each, "must be a quantity") for each in ("1e3Ki", "1Gi\n", True, float("nan"), [])),
        *(("-1", "must be at least 0"), ("1m", "must be a whole number of bytes")),
        *(("0.3Ki", "must be a whole number of bytes"), ("1e99", "must be at most")),
        ("8Ei", "must be at most 9223372036854775807 bytes"),
    ],
)
def test_what_is_no_memory_is_refused(written: object, complaint: str) -> None:
    assert complaint in refusal(MEMORY, written)


@tabled(
    ("written", "milli"), [("30", 30_000), (5, 5000), ("500m", 500), ("2k", 2_000_000), (0.25, 250)]
)
def test_a_target_is_in_thousandths_and_more_than_0(written: object, milli: int) -> None:
    [metric] = settings(TARGET_KEY, written).fleet.pools[0].metrics
    assert getattr(metric.target, "milli", None) == milli
    assert "must be more than 0" in refusal(TARGET_KEY, "0")
    assert "a whole number of thousandths" in refusal(TARGET_KEY, "100u")


@tabled(("written", "part"), [(0.1, "0.1"), ("50m", "0.05"), ("100u", "0.0001")])
def test_a_tolerance_is_a_quantity(written: object, part: str) -> None:
    [pool] = settings(TOLERANCE, written).fleet.pools
    assert pool.behavior.scale_up.tolerance == Decimal(part)


@tabled(
    "url",
    [
        *("nats://127.0.0.1:4222", "tls://nats.example", "ws://h:80", "wss://h/nats"),
        *("nats://[2001:db8::1]:4222", "nats://nats-0.nats.svc.cluster.local."),
    ],
)
def test_server_addresses(url: str) -> None:
    assert settings(SERVER, url).nats.servers == (url,)


@tabled(
    "selector",
    [
        *("app", "!app", "app=agents", "app==agents", "app != agents", "app="),
        *("agentdash.dev/managed=true", "team in (a, b),app", "team notin (a,),!x/y , z=1"),
    ],
)
def test_the_label_selectors_of_kubernetes_are_accepted(selector: str) -> None:
    assert settings(SELECTOR, selector).kubernetes.selector == selector


@tabled(
    "selector",
    [
        "",
        "a b",
        "a in",
        "a in b",
        "a in (b",
        "a,,b",
        "=a",
        "a=b c",
        "-a=b",
        "a=b=c",
        "a>1",
        "A/b=c",
    ],
)
def test_what_is_no_label_selector_is_refused(selector: str) -> None:
    assert "must be a label selector" in refusal(SELECTOR, selector)
