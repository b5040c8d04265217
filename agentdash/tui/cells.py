"""Cells that several tables have: numbers that may be old, changes, times, states, small charts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from agentdash.tui import figures
from agentdash.tui.charts import sparkline
from agentdash.tui.lines import Span, Tone
from agentdash.tui.table import Column, PlainValue, R, SortValue
from agentdash.tui.view import Frame
from controller.model.snapshot import NOT_KNOWN, Severity

RECENT_CELLS: Final = 15
"""The last 15 minutes, a minute to a cell."""
SEVERITY_MARKS: Final = {
    Severity.CRITICAL: Span("!!", Tone.CRIT),
    Severity.WARNING: Span("!", Tone.WARN),
    Severity.INFO: Span("i", Tone.BUSY),
}


class State(Protocol):
    """The state of a thing in one word; `mark` says without colour how bad it is."""

    word: str
    mark: str
    tone: Tone


def state_span(state: State) -> Span:
    """`!! blind`."""
    return Span(f"{state.mark:<2} {state.word}", state.tone)


def none_span(frame: Frame) -> Span:
    """There is none."""
    return Span(frame.glyphs.none, Tone.DIM)


def unknown_span(frame: Frame) -> Span:
    """Nobody can know it now."""
    return Span(frame.glyphs.unknown, Tone.WARN)


def value_span(text: str, frame: Frame, *, old: bool = False, tone: Tone = Tone.PLAIN) -> Span:
    """A text, with `~` if it is only the last known one."""
    if old or frame.stale:
        return Span(text + frame.glyphs.stale, Tone.WARN)
    return Span(text, tone)


def number_span(value: int | None, frame: Frame, *, old: bool = False, width: int = 7) -> Span:
    """A number; `?` if it is not known."""
    if value is None:
        return unknown_span(frame)
    tone = Tone.DIM if value == 0 else Tone.PLAIN
    return value_span(figures.count(value, width), frame, old=old, tone=tone)


def measured_span(text: str | None, frame: Frame, *, zero: bool = False) -> Span:
    """A measured value, `-` where it is not known, with `~` while no news comes."""
    if text is None:
        return none_span(frame)
    return value_span(text, frame, tone=Tone.DIM if zero else Tone.PLAIN)


def change_text(before: int | None, after: int | None, frame: Frame) -> str:
    """`12→20`, or one number if it does not change."""
    old, new = (frame.glyphs.unknown if n is None else str(n) for n in (before, after))
    return old if before == after else f"{old}{frame.glyphs.arrow}{new}"


def since_span(at: float | None, frame: Frame) -> Span:
    """When something that is shown began."""
    return none_span(frame) if at is None else Span(figures.since(at, frame.now), Tone.DIM)


def age_span(at: float | None, frame: Frame) -> Span:
    """For how long."""
    return none_span(frame) if at is None else Span(figures.age(frame.now - at))


def recent_span(numbers: Sequence[int], frame: Frame) -> Span:
    """The last 15 minutes of a series, a minute to a cell."""
    return Span(sparkline(numbers, RECENT_CELLS, frame.glyphs), Tone.DIM)


def series(numbers: Iterable[int]) -> PlainValue:
    """A series as plain values."""
    return [None if each == NOT_KNOWN else each for each in numbers]


def since_column(
    since: Callable[[R], float | None], *, name: str = "since", rank: int = 0
) -> Column[R]:
    """When the state of a row began."""
    return Column[R](
        "SINCE",
        6,
        "when this began, in UTC; a day where it is older",
        name,
        since,
        lambda row, frame: since_span(since(row), frame),
        rank=rank,
        descending=True,
    )


def time_columns(
    at: Callable[[R], float], order: Callable[[R], SortValue]
) -> tuple[Column[R], Column[R]]:
    """The time of day, by which the rows are sorted in this order, and how long ago that is; `at`
    is in Unix seconds.

    The age is in whole minutes: with seconds, each row on the screen would write 8 bytes a second
    over SSH. The time of day has them.
    """
    return (
        Column[R](
            "TIME",
            8,
            "when it was, in UTC",
            "at",
            at,
            lambda row, _: Span(figures.time_of_day(at(row)), Tone.DIM),
            sort=order,
            letter="A",
            descending=True,
        ),
        Column[R](
            "AGO",
            6,
            "since then",
            cell=lambda row, frame: Span(_whole_age(frame.now - at(row)), Tone.DIM),
            more={"age_s": lambda row, frame: max(frame.now - at(row), 0.0)},
            rank=4,
            right=True,
        ),
    )


def _whole_age(seconds: float) -> str:
    return figures.whole_age(seconds) if seconds >= 60 else "<1m"


def when_parts(at: float, frame: Frame) -> tuple[Span, Span]:
    """`2026-03-02 12:04:49Z` and `3m20s ago`."""
    ago = f"{figures.age(frame.now - at)} ago"
    return Span(figures.date_and_time(at)), Span(ago, Tone.DIM)
