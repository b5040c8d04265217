"""The end of an intent as people write it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from agentdash.operate import read_until

NOON = 1_795_348_800.0
"""2026-11-22T12:00Z"""
HOUR = 3600.0


@pytest.fixture(params=["UTC", "Europe/Berlin", "America/New_York"])
def offset_s(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[float]:
    """The offset of this machine's clock that day."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield {"UTC": 0.0, "Europe/Berlin": HOUR, "America/New_York": -5 * HOUR}[request.param]
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("text", "after_s"), [("2h", 7200), ("90s", 90), ("1h30m", 5400)])
def test_a_duration_counts_from_now(text: str, after_s: float) -> None:
    assert read_until(text, NOON) == NOON + after_s


@pytest.mark.parametrize("text", ["2026-11-22T14:00Z", "2026-11-22T15:00+01:00"])
def test_a_date_with_an_offset_is_the_same_everywhere(text: str, offset_s: float) -> None:
    assert read_until(text, NOON) == NOON + 2 * HOUR


def test_times_without_an_offset_are_in_utc_on_every_machine(offset_s: float) -> None:
    assert read_until("2026-11-23T08:00", NOON) == NOON + 20 * HOUR


def test_a_time_of_day_is_the_next_one_in_utc(offset_s: float) -> None:
    midnight = NOON - 12 * HOUR
    for text, hour in (("14:00", 14), ("9:30Z", 9.5), ("00:00", 0), ("23:59", 23 + 59 / 60)):
        at = midnight + hour * HOUR
        while at <= NOON:
            at += 24 * HOUR
        assert read_until(text, NOON) == pytest.approx(at)


def test_now_is_tomorrow(offset_s: float) -> None:
    assert read_until("12:00", NOON) == NOON + 24 * HOUR


@pytest.mark.parametrize(
    "text", ["", "soon", "25:00", "14:60", "2", "-2h", "２h", "2026-13-01", "x" * 5_000, "\x1b[2J"]
)
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as 2h.*14:00.*2026-11-23T08:00Z") as caught:
        read_until(text, NOON)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["0s", "2026-11-22T11:59Z", "1970-01-01T00:00Z"])
def test_the_past_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="in the past"):
        read_until(text, NOON)


def test_a_time_that_never_comes_is_refused() -> None:
    with pytest.raises(ValueError, match="too far away"):
        read_until("99999999999999999999h", NOON)
