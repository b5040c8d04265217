"""Cells and columns that several tables have: numbers that may be old, changes, times, states,
resources, small charts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

from agentdash.tui import figures
from agentdash.tui.charts import sparkline
from agentdash.tui.lines import Span, Tone
from agentdash.tui.table import Column, PlainValue, R, SortValue
from agentdash.tui.view import Frame
from controller.model.scarcity import Resources
from controller.model.snapshot import NOT_KNOWN, Severity

RECENT_CELLS: Final = 15
"""The last 15 minutes, a minute to a cell."""
SEVERITY_MARKS: Final = {
    Severity.CRITICAL: Span("!!", Tone.CRIT),
    Severity.WARNING: Span("!", Tone.WARN),
    Severity.INFO: Span("i", Tone.BUSY),
}
RESOURCES: Final[Sequence[tuple[str, str, Callable[[int], str]]]] = (
    ("pods", "replicas", figures.count),
    ("cpu", "cpu_milli", figures.cores),
    ("memory", "memory_bytes", figures.memory),
)
"""Each resource: its word, its field in `Resources`, and how it is written."""


class State(NamedTuple):
    """The state of a thing in one word; `mark` says without colour how bad it is, and it is sorted
    by `rank`.
    """

    word: str
    mark: str
    tone: Tone
    rank: int


# -- cells ------------------------------------------------------------------------------------


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


def rate_span(per_minute: float | None, frame: Frame) -> Span:
    """An amount per minute, `-` where it is not known."""
    text = None if per_minute is None else figures.rate(per_minute)
    return measured_span(text, frame, zero=per_minute == 0)


def change_text(before: int | None, after: int | None, frame: Frame) -> str:
    """`12→20`, or one number if it does not change."""
    old, new = (frame.glyphs.unknown if n is None else str(n) for n in (before, after))
    return old if before == after else f"{old}{frame.glyphs.arrow}{new}"


def age_span(at: float | None, frame: Frame, *, whole: bool = False) -> Span:
    """For how long; `whole`: from the first minute on in minutes, else each row would be written
    each second.
    """
    text = figures.whole_age if whole else figures.age
    return none_span(frame) if at is None else Span(text(frame.now - at))


def recent_span(numbers: Sequence[int], frame: Frame) -> Span:
    """The last 15 minutes of a series, a minute to a cell."""
    return Span(sparkline(numbers, RECENT_CELLS, frame.glyphs), Tone.DIM)


def series(numbers: Iterable[int]) -> PlainValue:
    """A series as plain values."""
    return [None if each == NOT_KNOWN else each for each in numbers]


def when_parts(at: float, frame: Frame) -> tuple[Span, Span]:
    """`2026-03-02 12:04:49Z` and `3m20s ago`."""
    ago = f"{figures.age(frame.now - at)} ago"
    return Span(figures.date_and_time(at)), Span(ago, Tone.DIM)


def part(path: str) -> Callable[..., Any]:
    """Finds `tokens.cap` of a row; None where a step before the last is None."""
    *steps, last = path.split(".")

    def find(row: object, *_: object) -> object:
        for each in steps:
            row = None if row is None else getattr(row, each)
        return None if row is None else getattr(row, last)

    return find


# -- columns ----------------------------------------------------------------------------------


def state_column(state: Callable[[R], Any], width: int = 9) -> Column[R]:
    """`!! blind`: the `State` of a row."""
    return Column[R](
        "STATE", width, "the worst that is true of it", "state", lambda row: state(row).word,
        lambda row, _: Span(f"{state(row).mark:<2} {state(row).word}", state(row).tone),
        sort=lambda row: state(row).rank, letter="S", descending=True,
    )  # fmt: skip


def pool_column(
    key: Callable[[R], str], width: int = 18, widest: int = 34, *, letter: str = ""
) -> Column[R]:
    """The pool that a row is of."""
    return Column[R](
        "POOL", width, "tenant and name of the pool", "pool", key,
        widest=widest, letter=letter, names=True,
    )  # fmt: skip


def since_column(
    since: Callable[[R], float | None], *, name: str = "since", rank: int = 0
) -> Column[R]:
    """When the state of a row began."""

    def cell(row: R, frame: Frame) -> Span:
        at = since(row)
        return none_span(frame) if at is None else Span(figures.since(at, frame.now), Tone.DIM)

    return Column[R](
        "SINCE", 6, "when this began, in UTC; a day where it is older", name, since, cell,
        rank=rank, descending=True,
    )  # fmt: skip


def time_columns(
    at: Callable[[R], float], order: Callable[[R], SortValue]
) -> tuple[Column[R], Column[R]]:
    """The time of day, by which the rows are sorted in this order, and how long ago that is; `at`
    is in Unix seconds.

    The age is in whole minutes: with seconds, each row on the screen would write 8 bytes a second
    over SSH. The time of day has them.
    """

    def ago(row: R, frame: Frame) -> Span:
        age_s = frame.now - at(row)
        return Span(figures.whole_age(age_s) if age_s >= 60 else "<1m", Tone.DIM)

    return (
        Column[R](
            "TIME", 8, "when it was, in UTC", "at", at,
            lambda row, _: Span(figures.time_of_day(at(row)), Tone.DIM),
            sort=order, letter="A", descending=True,
        ),
        Column[R](
            "AGO", 6, "since then", cell=ago,
            more={"age_s": lambda row, frame: max(frame.now - at(row), 0.0)}, rank=4, right=True,
        ),
    )  # fmt: skip


def resource_columns(
    of: Callable[[R], tuple[Resources, Resources]],
    span: Callable[[R, Frame, str, Callable[[int], str]], Span],
    legend: str,
    widths: Sequence[int],
    ranks: Sequence[int] = (0, 0, 0),
) -> tuple[Column[R], ...]:
    """What is used `of` each resource, and its limit; `legend` has the resource's word for `{}`.
    `span` gives the cell for a field of `Resources` and how that is written.
    """

    def column(place: int) -> Column[R]:
        name, field, text = RESOURCES[place]
        value = "pods" if field == "replicas" else field
        return Column[R](
            name.upper(), widths[place], legend.format(name), f"{value}_used",
            lambda row: getattr(of(row)[0], field),
            lambda row, frame: span(row, frame, field, text),
            more={f"{value}_limit": lambda row, _: getattr(of(row)[1], field)},
            rank=ranks[place], right=True,
        )  # fmt: skip

    return tuple(column(place) for place in range(len(RESOURCES)))
