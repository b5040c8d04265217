"""Times as people write and read them: in UTC, or by the clock of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from agentdash.cli import main
from agentdash.operate import read_until
from agentdash.tui import figures
from agentdash.tui.view_state import read_past_moment
from controller.exit_codes import ExitCode
from controller.model.clock import time_words, use_clock
from support.table import tabled

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


@tabled(("text", "after_s"), [("2h", 7200), ("90s", 90), ("1h30m", 5400)])
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


@tabled(
    "text", ["", "soon", "25:00", "14:60", "2", "-2h", "２h", "2026-13-01", "x" * 5_000, "\x1b[2J"]
)
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as 2h.*14:00.*2026-11-23T08:00Z") as caught:
        read_until(text, NOON)
    assert str(caught.value).isprintable()


@tabled("text", ["0s", "2026-11-22T11:59Z", "1970-01-01T00:00Z"])
def test_the_past_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="in the past"):
        read_until(text, NOON)


def test_a_time_that_never_comes_is_refused() -> None:
    with pytest.raises(ValueError, match="too far away"):
        read_until("99999999999999999999h", NOON)


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A person there who has asked for local time."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    use_clock({"AGENTDASH_CLOCK": "local"})
    yield
    use_clock({})
    monkeypatch.undo()
    time.tzset()


SUMMER_ENDS = 1_792_890_000.0
"""2026-10-25T01:00Z: clocks there go from 03:00 back to 02:00."""


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(
    ("text", "now", "after_s"),
    [
        ("14:00", NOON, HOUR),
        ("14:00Z", NOON, 2 * HOUR),
        ("12:30", NOON, 23.5 * HOUR),
        ("2026-11-22T14:00", NOON, HOUR),
        ("2026-11-22T14:00Z", NOON, 2 * HOUR),
        ("12:00", SUMMER_ENDS - 3 * HOUR, 13 * HOUR),
        ("23:30", SUMMER_ENDS + 10 * HOUR, 11.5 * HOUR),
    ],
)
def test_what_is_typed_in_local_time_is_of_that_days_offset(
    text: str, now: float, after_s: float
) -> None:
    assert read_until(text, now) == now + after_s


@pytest.mark.usefixtures("in_berlin")
def test_the_past_in_local_time() -> None:
    assert read_past_moment("12:50", NOON) == NOON - 600
    assert read_past_moment("12:50Z", NOON) == NOON - 24 * HOUR + 3000
    assert read_past_moment("23:00", SUMMER_ENDS + 2 * HOUR) == SUMMER_ENDS - 4 * HOUR


@pytest.mark.usefixtures("in_berlin")
def test_what_is_shown_in_local_time_is_what_may_be_typed() -> None:
    assert time_words(NOON + HOUR, NOON) == "14:00+01:00"
    assert figures.date_and_time(SUMMER_ENDS - 60) == "2026-10-25 02:59:00+02:00"
    assert figures.date_and_time(SUMMER_ENDS) == "2026-10-25 02:00:00+01:00"
    assert (figures.since(NOON, NOON), figures.time_of_day(NOON)) == ("13:00", "13:00:00")
    use_clock({"AGENTDASH_CLOCK": "utc"})
    assert (figures.since(NOON, NOON), figures.time_of_day(NOON)) == ("12:00Z", "12:00:00Z")
    assert time_words(NOON + 13 * HOUR, NOON) == "2026-11-23 01:00Z"


def test_a_clock_that_there_is_not_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENTDASH_CLOCK", "mars")
    with pytest.raises(SystemExit) as left:
        main(["example"])
    assert left.value.code == ExitCode.USAGE
    assert 'AGENTDASH_CLOCK must be utc or local, not "mars"' in capsys.readouterr().err
