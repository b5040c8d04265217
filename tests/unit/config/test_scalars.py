"""Single values: durations, server addresses, label selectors."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from controller.config.scalars import Duration, LabelSelector, ServerUrl
from controller.notation.quantity import spell_duration


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0.0),
        (90, 90.0),
        (0.5, 0.5),
        ("0", 0.0),
        ("15m", 900.0),
        ("1h30m", 5400.0),
        ("1.5h", 5400.0),
        ("2m0.5s", 120.5),
        ("500ms", 0.5),
        ("20us", 0.00002),
        ("720h", 2_592_000.0),
    ],
)
def test_durations_are_seconds_or_gos_spelling(written: object, seconds: float) -> None:
    assert Duration(0.0, 2_592_000.0)(written) == seconds


@pytest.mark.parametrize(
    "written",
    [
        *(True, None, [], {}, float("nan"), float("inf"), float("-inf")),
        *("", "15", "1d", "1w", "15mm", "1y", "m", "-5m", "+5m", "1h 30m", "1h???30m", "5m5"),
        *("15M", "١m", "1e3s", ".s", "1..5s", " 15m", "15m\n", "9" * 400 + "h"),
    ],
)
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        Duration(0.0, 1e9)(written)


@pytest.mark.parametrize("written", [-1, "99ms", 301, "1h", 10**17, "9" * 30 + "h"])
def test_a_duration_has_bounds(written: object) -> None:
    with pytest.raises(ValueError, match=r"must be between 100ms and 5m|is too long a duration"):
        Duration(0.1, 300.0)(written)


@pytest.mark.parametrize(
    ("seconds", "spelled"),
    [(0.0, "0s"), (0.1, "100ms"), (1.0, "1s"), (90.0, "90s"), (900.0, "15m"), (5400.0, "90m")],
)
def test_durations_have_a_short_spelling(seconds: float, spelled: str) -> None:
    assert spell_duration(seconds) == spelled


@pytest.mark.parametrize(
    "url",
    [
        *("nats://127.0.0.1:4222", "tls://nats.example", "ws://h:80", "wss://h/nats"),
        *("nats://[2001:db8::1]:4222", "nats://nats-0.nats.svc.cluster.local."),
    ],
)
def test_server_addresses(url: str) -> None:
    assert TypeAdapter[str](ServerUrl).validate_python(url) == url


@pytest.mark.parametrize(
    "selector",
    [
        *("app", "!app", "app=agents", "app==agents", "app != agents", "app="),
        *("agentdash.dev/managed=true", "team in (a, b),app", "team notin (a,),!x/y , z=1"),
    ],
)
def test_the_label_selectors_of_kubernetes_are_accepted(selector: str) -> None:
    assert TypeAdapter[str](LabelSelector).validate_python(selector) == selector


@pytest.mark.parametrize(
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
    with pytest.raises(ValidationError, match="must be a label selector"):
        TypeAdapter[str](LabelSelector).validate_python(selector)
