"""How numbers went over time, as bars: rows of one line or several, and whole charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from agentdash.tui import figures
from agentdash.tui.glyphs import Glyphs
from agentdash.tui.lines import BLANK, Line, Span, Tone, fit, line
from agentdash.tui.view import NO_HISTORY, Frame
from controller.model.ids import PoolKey
from controller.model.snapshot import NOT_KNOWN, History, Timeline

_Numbers: TypeAlias = tuple[int, ...]


class FleetHistory:
    """Remembers the sums of the histories that it was asked for last: they are the same objects
    until a slot ends.
    """

    def __init__(self) -> None:
        self._pools: Mapping[PoolKey, History] | None = None
        self._history = NO_HISTORY

    def of(self, pools: Mapping[PoolKey, History]) -> History:
        """The history of all these pools together."""
        if pools is not self._pools:
            self._pools = pools
            self._history = History(
                recent=_together([each.recent for each in pools.values()]),
                day=_together([each.day for each in pools.values()]),
            )
        return self._history


def _together(timelines: Sequence[Timeline]) -> Timeline:
    """Messages and replicas of all pools, and the longest wait of any. What is not known of one
    pool is not in the sum; what is not known of all is not known.
    """
    return Timeline(
        pending=_by_slot([each.pending for each in timelines], _sum),
        ready=_by_slot([each.ready for each in timelines], _sum),
        target=_by_slot([each.target for each in timelines], _sum),
        wait_s=_by_slot([each.wait_s for each in timelines], max),
    )


def _by_slot(series: Sequence[_Numbers], combine: Callable[[_Numbers], int]) -> _Numbers:
    longest = max(map(len, series), default=0)
    return tuple(map(combine, zip(*(each for each in series if len(each) == longest), strict=True)))


def _sum(slot: _Numbers) -> int:
    unknown = slot.count(NOT_KNOWN)
    return NOT_KNOWN if unknown == len(slot) else sum(slot) - unknown * NOT_KNOWN


def sparkline(values: Sequence[int], width: int, glyphs: Glyphs, top: int | None = None) -> str:
    """The last values in `width` cells, the newest at the right.

    Several values share a cell where there are more of them than cells: it shows the largest. A bar
    is as high as its part of `top`, by default the largest value; 0 is the lowest bar. What is not
    known is a dot.
    """
    return plot(values, width, 1, glyphs, top)[0]


def plot(
    values: Sequence[int], width: int, rows: int, glyphs: Glyphs, top: int | None = None
) -> list[str]:
    """The same in bars of so many rows, the upper row first; empty rows without values or cells."""
    if not values or width < 1:
        return [""] * rows
    cells = _cells(values, width)
    most = max(*cells, 0) if top is None else top
    each = len(glyphs.bars)
    heights = [
        NOT_KNOWN if value == NOT_KNOWN else _height(value, most, rows * each) for value in cells
    ]
    return [
        "".join(_cell(height, row * each, row, glyphs) for height in heights)
        for row in reversed(range(rows))
    ]


def _cell(height: int, below: int, row: int, glyphs: Glyphs) -> str:
    """What a bar of this height shows in a row with so many heights `below` it."""
    if height == NOT_KNOWN:
        return " " if row else glyphs.gap
    if height < below:
        return " "
    return glyphs.bars[min(height - below, len(glyphs.bars) - 1)]


def _cells(values: Sequence[int], width: int) -> list[int]:
    each = -(-len(values) // width)
    first = len(values) % each
    starts = [0, *range(first, len(values), each)] if first else range(0, len(values), each)
    return [max(values[start : start + each]) for start in starts] if each > 1 else list(values)


def _height(value: int, most: int, heights: int) -> int:
    """0 for nothing, else at least one step above it."""
    if value <= 0 or most <= 0:
        return 0
    return min(-(-value * (heights - 1) // most), heights - 1)


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
    return [_Series("tokens", timeline.tokens, Tone.BUSY, lambda pace: f"{figures.rate(pace)}/m")]


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
