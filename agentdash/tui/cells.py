"""Cells and columns that several tables have: numbers that may be old, changes, times, states,
resources, small charts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from agentdash.tui import figures
from agentdash.tui.charts import sparkline
from agentdash.tui.lines import Span, Tone
from agentdash.tui.table import Column, PlainValue, R, part
from agentdash.tui.view import Frame
from controller.model.decision import Decision
from controller.model.observation import ClusterEvent
from controller.model.scarcity import Resources
from controller.model.snapshot import NOT_KNOWN, Severity
from controller.planning import explain

RECENT_CELLS: Final = 13
"""The last 15 minutes, and the most of them."""
_MOST_CELLS: Final = 6
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


def measured_span(text: str | None, frame: Frame, *, zero: bool = False) -> Span:
    """A measured value, `-` where it is not known, with `~` while no news comes."""
    if text is None:
        return none_span(frame)
    return value_span(text, frame, tone=Tone.DIM if zero else Tone.PLAIN)


def usd_span(usd: float | None, frame: Frame, *, old: bool, has_gaps: bool) -> Span:
    """What was spent, `-` without a price; `>` in front where a part of it is not known."""
    if usd is None:
        return none_span(frame)
    return value_span(f"{'>' if has_gaps else ''}{figures.usd(usd)}", frame, old=old)


def rate_span(per_minute: float | None, frame: Frame) -> Span:
    """An amount per minute, `-` where it is not known."""
    text = None if per_minute is None else figures.rate(per_minute)
    return measured_span(text, frame, zero=per_minute == 0)


def change_text(before: int | None, after: int | None, frame: Frame) -> str:
    """`12→20`, or one number if it does not change."""
    old, new = (frame.glyphs.unknown if n is None else str(n) for n in (before, after))
    return old if before == after else f"{old}{frame.glyphs.arrow}{new}"


def age_span(at: float | None, frame: Frame, *, whole: bool = False) -> Span:
    """For how long; `whole`: by the minute, else each row would be written each second."""
    text = figures.whole_age if whole else figures.age
    return none_span(frame) if at is None else Span(text(frame.now - at))


def recent_span(
    numbers: Sequence[int],
    frame: Frame,
    text: Callable[[int], str] = lambda most: figures.count(most, 4),
) -> Span:
    """The last 15 minutes of a series, and the most, which is the highest bar."""
    cells, most = RECENT_CELLS - _MOST_CELLS, max(numbers, default=NOT_KNOWN)
    beside = "" if most == NOT_KNOWN else text(most)
    return Span(f"{sparkline(numbers, cells, frame.glyphs):<{cells}} {beside}", Tone.DIM)


def series(numbers: Iterable[int]) -> PlainValue:
    """A series as plain values."""
    return [None if each == NOT_KNOWN else each for each in numbers]


def when_parts(at: float, frame: Frame) -> tuple[Span, Span]:
    """`2026-03-02 12:04:49Z` and `3m20s ago`."""
    ago = f"{figures.age(frame.now - at)} ago"
    return Span(figures.date_and_time(at)), Span(ago, Tone.DIM)


def last_sentence(decision: Decision, at: float) -> str:
    """Of the last rule, as of `at` (Unix seconds): why the number is what it is."""
    if not decision.reasons:
        return "no rule gave a reason"
    return explain.sentence(decision.reasons[-1], at)


def warning_heading(warning: ClusterEvent, now: float) -> str:
    """What kind of warning of the cluster it is, how often, and when: `BackOff x3, 20s ago`."""
    times = f" x{warning.count}" if warning.count > 1 else ""
    return f"{warning.reason}{times}, {figures.age(now - warning.at)} ago"


# -- columns ----------------------------------------------------------------------------------


def state_column(state: Callable[[R], Any], width: int = 9) -> Column[R]:
    """`!! blind`: the `State` of a row."""
    return Column[R](
        "STATE", width, "the worst that is true of it", "state", lambda row: state(row).word,
        lambda row, _: Span(f"{state(row).mark:<2} {state(row).word}", state(row).tone),
        sort=lambda row: state(row).rank, letter="S", descending=True,
    )  # fmt: skip


def pool_column(key: str, width: int = 18, widest: int = 34, *, letter: str = "") -> Column[Any]:
    """The pool that a row is of; `key` is the path to its key."""
    return Column[Any](
        "POOL", width, "tenant and name of the pool", "pool", key,
        widest=widest, letter=letter, names=True,
    )  # fmt: skip


def since_column(
    since: Callable[[R], float | None] | str, *, name: str = "since", rank: int = 0
) -> Column[R]:
    """When the state of a row began, or the path to that time."""
    find: Callable[..., Any] = part(since) if isinstance(since, str) else since

    def cell(row: R, frame: Frame) -> Span:
        at = find(row)
        return none_span(frame) if at is None else Span(figures.since(at, frame.now), Tone.DIM)

    return Column[R](
        "SINCE", 6, "when this began; a day where it is older", name, find, cell,
        rank=rank, descending=True,
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
