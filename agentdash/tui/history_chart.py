"""How something went over the last 15 minutes and 24 hours, as rows of bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from agentdash.tui import amounts, figures
from agentdash.tui.lines import BLANK, Line, Span, Tone, fit, line
from agentdash.tui.sparkline import plot
from agentdash.tui.view import Frame
from controller.model.snapshot import NOT_KNOWN, History, Timeline

_LABEL_CELLS: Final = 9
_FIGURES_CELLS: Final = 22
_RECENT_S: Final = 900.0
_NOTHING: Final = " nothing recorded yet; the first slot ends within 15 s"
_NO_DAY: Final = " of the last 24 hours nothing yet: a slot is 15 minutes"
# the highest bars, in lines
_MOST_ROWS: Final = 4


class _Series(NamedTuple):
    """Numbers over time with their name; `top` is the number of the highest bar, where that is not
    the largest of them.
    """

    name: str
    values: Sequence[int]
    tone: Tone
    text: Callable[[int], str]
    top: int | None = None


def history_lines(
    history: History, frame: Frame, width: int, height: int, *, both: bool = False
) -> list[Line]:
    """Messages that waited and how long, replicas that were ready and the target; first of 15
    minutes, then, if there is room or `both` are asked for, of 24 hours. With more room the bars
    are higher.
    """
    recent, day = _of_pool(history.recent), _of_pool(history.day)
    return _charts(recent, day, frame, width, height, both=both)


def token_history_lines(history: History, frame: Frame, width: int, height: int) -> list[Line]:
    """The pace of a tenant's tokens, in tokens a minute: of 15 minutes and of 24 hours."""
    recent, day = _of_tenant(history.recent), _of_tenant(history.day)
    return _charts(recent, day, frame, width, height, both=True)


def _of_pool(timeline: Timeline) -> list[_Series]:
    """Ready and target have one scale."""
    replicas = max((*timeline.ready, *timeline.target), default=0)
    return [
        _Series("pending", timeline.pending, Tone.BUSY, figures.count),
        _Series("wait", timeline.wait_s, Tone.BUSY, figures.age),
        _Series("ready", timeline.ready, Tone.OK, figures.count, replicas),
        _Series("target", timeline.target, Tone.PLAIN, figures.count, replicas),
    ]


def _of_tenant(timeline: Timeline) -> list[_Series]:
    return [_Series("tokens", timeline.tokens, Tone.BUSY, lambda pace: f"{amounts.rate(pace)}/m")]


def _charts(
    recent: Sequence[_Series],
    day: Sequence[_Series],
    frame: Frame,
    width: int,
    height: int,
    *,
    both: bool,
) -> list[Line]:
    if not _is_known(recent):
        return [line(Span(_NOTHING, Tone.DIM))]
    began = figures.time_of_day(frame.at - _RECENT_S)[:5]
    low = len(recent) + 1
    if height < 2 * low + 1 and not both:
        return _chart(recent, began, frame, width, 1)
    rows = max(_rows_of_bars(len(recent), height), 1)
    lines = [*_chart(recent, began, frame, width, rows), BLANK]
    if not _is_known(day):
        return [*lines, line(Span(_NO_DAY, Tone.DIM))]
    return lines + _chart(day, "24 h ago", frame, width, rows)


def _rows_of_bars(series: int, height: int) -> int:
    """How high the bars of two charts can be, with a blank line between two series."""
    axes_and_blanks = 2 * series + 1
    return min((height - axes_and_blanks) // (2 * series), _MOST_ROWS)


def _chart(
    series: Sequence[_Series], began: str, frame: Frame, width: int, rows: int
) -> list[Line]:
    """Each series in bars of so many rows, and below them when they begin and end."""
    room = max(width - _LABEL_CELLS - _FIGURES_CELLS - 3, 0)
    cells = min(room, max(len(each.values) for each in series))
    lines: list[Line] = []
    for each in series:
        if lines and rows > 1:
            lines.append(BLANK)
        bars = plot(each.values, cells, rows, frame.glyphs, each.top)
        beside = _figures(each) if rows == 1 else [*_figures_apart(each), *[""] * (rows - 2)]
        for number, (drawn, text) in enumerate(zip(bars, beside, strict=True)):
            label = "" if number else each.name
            lines.append(
                line(
                    " ",
                    Span(fit(label, _LABEL_CELLS), Tone.DIM),
                    Span(drawn, each.tone),
                    " ",
                    Span(text, Tone.DIM),
                )
            )
    return [*lines, _axis(began, frame, len(bars[0]))]


def _axis(began: str, frame: Frame, cells: int) -> Line:
    now = figures.time_of_day(frame.at)[:5]
    between = " " * (cells - len(began) - len(now))
    return line(" " * (_LABEL_CELLS + 1), Span(f"{began}{between}{now}", Tone.DIM))


def _figures(series: _Series) -> list[str]:
    """The most and the latest on one line."""
    most, *last = _figures_apart(series)
    return [", ".join((most, *filter(None, last)))]


def _figures_apart(series: _Series) -> list[str]:
    """The most and the latest, each on a line of its own."""
    known = [number for number in series.values if number != NOT_KNOWN]
    if not known:
        return ["not known", ""]
    latest = series.values[-1]
    now = "?" if latest == NOT_KNOWN else series.text(latest)
    return [f"most {series.text(max(known))}", f"last {now}"]


def _is_known(series: Sequence[_Series]) -> bool:
    return any(number != NOT_KNOWN for each in series for number in each.values)
