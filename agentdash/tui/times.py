"""When something happened, as columns of a table and as parts of a line."""

from __future__ import annotations

from collections.abc import Callable

from agentdash.tui import figures
from agentdash.tui.columns import Column, R, SortValue
from agentdash.tui.lines import Span, Tone
from agentdash.tui.view import Frame


def time_columns(
    at: Callable[[R], float], order: Callable[[R], SortValue]
) -> tuple[Column[R], Column[R]]:
    """The time of day, by which the rows are sorted in this order, and how long ago that is; `at`
    is in Unix seconds.

    From a minute on, the age is in whole minutes: with seconds, each row on the screen would write
    8 bytes a second over SSH. The time of day has them.
    """
    return (
        Column[R](
            "TIME",
            8,
            lambda row, _: Span(figures.time_of_day(at(row)), Tone.DIM),
            order,
            letter="A",
            descending=True,
        ),
        Column[R](
            "AGO",
            6,
            lambda row, frame: Span(figures.whole_age(frame.now - at(row)), Tone.DIM),
            rank=4,
            right=True,
        ),
    )


def when_parts(at: float, frame: Frame) -> tuple[Span, Span]:
    """`2026-03-02 12:04:49Z` and `3m20s ago`."""
    ago = f"{figures.age(frame.now - at)} ago"
    return Span(figures.date_and_time(at)), Span(ago, Tone.DIM)
