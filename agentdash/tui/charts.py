"""How numbers went over time, as bars: rows of one line or several, and whole charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from agentdash.tui import figures
from agentdash.tui.figures import Glyphs
from agentdash.tui.lines import BLANK, Line, Span, Tone, fit, line
from agentdash.tui.view import NO_HISTORY, Frame
from controller.model.ids import PoolKey
from controller.model.snapshot import NOT_KNOWN, History, Timeline

_Numbers: TypeAlias = tuple[int, ...]


class FleetHistory:
    """Remembers the sums of the last histories: these are the same until a slot ends."""

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

    def total(slot: _Numbers) -> int:
        unknown = slot.count(NOT_KNOWN)
        return NOT_KNOWN if unknown == len(slot) else sum(slot) - unknown * NOT_KNOWN

    def by_slot(name: str, combine: Callable[[_Numbers], int]) -> _Numbers:
        series = [getattr(each, name) for each in timelines]
        longest = max(map(len, series), default=0)
        whole = (each for each in series if len(each) == longest)
        return tuple(map(combine, zip(*whole, strict=True)))

    return Timeline(
        pending=by_slot("pending", total),
        ready=by_slot("ready", total),
        target=by_slot("target", total),
        wait_s=by_slot("wait_s", max),
    )


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
    each = -(-len(values) // width)
    ends = range(len(values) % each or each, len(values) + 1, each)
    cells = [max(values[max(end - each, 0) : end]) for end in ends]
    most = max(*cells, 0) if top is None else top
    bars, steps = glyphs.bars, rows * len(glyphs.bars) - 1

    def drawn(value: int, row: int) -> str:
        if value == NOT_KNOWN:
            return " " if row else glyphs.gap
        # nothing is 0, anything else at least one step above it
        height = min(-(-value * steps // most), steps) if value > 0 and most > 0 else 0
        above = height - row * len(bars)
        return " " if above < 0 else bars[min(above, len(bars) - 1)]

    return ["".join(drawn(value, row) for value in cells) for row in reversed(range(rows))]


_LABEL_CELLS: Final = 9
_FIGURES_CELLS: Final = 22
_RECENT_S: Final = 900.0
_NOTHING: Final = " nothing recorded yet; the first slot ends within 15 s"
_NO_DAY: Final = " of the last 24 hours nothing yet: a slot is 15 minutes"
# the highest bars, in lines
_MOST_ROWS: Final = 4


class _Series(NamedTuple):
    """Numbers over time; `top`: the number of the highest bar, where not the largest."""

    name: str
    values: Sequence[int]
    tone: Tone
    text: Callable[[int], str]
    top: int | None = None


def history_lines(
    history: History,
    frame: Frame,
    width: int,
    height: int,
    *,
    both: bool = False,
    pool: str | None = None,
) -> list[Line]:
    """Messages that waited and how long, replicas that were ready and the target; first of 15
    minutes, then, if there is room or `both` are asked for, of 24 hours; of all pools together (no
    `pool`) only if asked. With more room the bars are higher and wider. Below those of a `pool`,
    arrows are where its size was changed.
    """

    def series(timeline: Timeline) -> list[_Series]:
        # ready and target have one scale
        replicas = max((*timeline.ready, *timeline.target), default=0)
        return [
            _Series("pending", timeline.pending, Tone.BUSY, figures.count),
            _Series("wait", timeline.wait_s, Tone.BUSY, figures.age),
            _Series("ready", timeline.ready, Tone.OK, figures.count, replicas),
            _Series("target", timeline.target, Tone.PLAIN, figures.count, replicas),
        ]

    recent, day = series(history.recent), () if pool is None and not both else series(history.day)
    return _charts(recent, day, frame, width, height, both=both, scaled=_scaled(pool, frame))


def _scaled(pool: str | None, frame: Frame) -> dict[float, str]:
    """An arrow for each change of the pool's size in the last 15 minutes, by its place, 0 to 1."""
    began, glyphs = frame.at - _RECENT_S, frame.glyphs
    return {
        (each.at - began) / _RECENT_S: glyphs.up if each.after > each.before else glyphs.down
        for each in (() if frame.snapshot is None else reversed(frame.snapshot.events))
        if each.pool == pool and began <= each.at < frame.at
    }


def token_history_lines(history: History, frame: Frame, width: int, height: int) -> list[Line]:
    """The pace of a tenant's tokens, in tokens a minute: of 15 minutes and of 24 hours."""
    recent, day = (
        [_Series("tokens", each.tokens, Tone.BUSY, lambda pace: f"{figures.rate(pace)}/m")]
        for each in (history.recent, history.day)
    )
    return _charts(recent, day, frame, width, height, both=True)


def _charts(
    recent: Sequence[_Series],
    day: Sequence[_Series],
    frame: Frame,
    width: int,
    height: int,
    *,
    both: bool,
    scaled: Mapping[float, str] = MappingProxyType({}),
) -> list[Line]:
    def is_known(series: Sequence[_Series]) -> bool:
        return any(number != NOT_KNOWN for each in series for number in each.values)

    if not is_known(recent):
        return [line(Span(_NOTHING, Tone.DIM))]
    began, count = figures.minute_of_day(frame.at - _RECENT_S), len(recent)
    if not day or (height < 2 * (count + 1) + 1 and not both):
        # a blank line between two series, and one for arrows where there is room
        scaled = scaled if height > count + 1 else {}
        rows = min((height - count - bool(scaled)) // count, _MOST_ROWS)
        return _chart(recent, began, frame, width, max(rows, 1), scaled)
    # two charts, each with its axis
    rows = max(min((height - 2 * count - 1 - bool(scaled)) // (2 * count), _MOST_ROWS), 1)
    lines = _chart(recent, began, frame, width, rows, scaled)
    if height > len(lines) + count + 1:
        lines.append(BLANK)
    if not is_known(day):
        return [*lines, line(Span(_NO_DAY, Tone.DIM))]
    return lines + _chart(day, "24 h ago", frame, width, rows)


def _chart(  # noqa: PLR0917 - what a chart is drawn of
    series: Sequence[_Series],
    began: str,
    frame: Frame,
    width: int,
    rows: int,
    scaled: Mapping[float, str] = MappingProxyType({}),
) -> list[Line]:
    """Each series in bars of so many rows, as wide as there is room, the most and the latest beside
    them; below them where the pool was scaled, and when they begin and end.
    """
    room = max(width - _LABEL_CELLS - _FIGURES_CELLS - 3, 0)
    slots = max(len(each.values) for each in series)
    # a line of bars that is no wider than its slots costs fewer bytes
    wide = room if rows > 1 else room // slots * slots
    lines: list[Line] = []
    for each in series:
        if lines and rows > 1:
            lines.append(BLANK)
        has, cells = len(each.values), len(each.values) * max(wide, slots) // slots
        values = [each.values[cell * has // cells] for cell in range(cells)]
        bars = plot(values, room, rows, frame.glyphs, each.top)
        known = [number for number in each.values if number != NOT_KNOWN]
        beside = ["not known", ""]
        if known:
            latest = each.values[-1]
            now = "?" if latest == NOT_KNOWN else each.text(latest)
            beside = [f"most {each.text(max(known))}", f"last {now}"]
        beside = [", ".join(filter(None, beside))] if rows == 1 else [*beside, *[""] * (rows - 2)]
        for number, (drawn, text) in enumerate(zip(bars, beside, strict=True)):
            label = Span(fit("" if number else each.name, _LABEL_CELLS), Tone.DIM)
            lines.append(line(" ", label, Span(drawn, each.tone), " ", Span(text, Tone.DIM)))
    now = figures.minute_of_day(frame.at)
    if scaled:
        places = {int(at * len(bars[0])): arrow for at, arrow in scaled.items()}
        arrows = "".join(places.get(cell, " ") for cell in range(len(bars[0])))
        label = Span(fit("scaled", _LABEL_CELLS), Tone.DIM)
        lines.append(line(" ", label, Span(arrows.rstrip(), Tone.BUSY)))
    between = " " * (len(bars[0]) - len(began) - len(now))
    return [*lines, line(" " * (_LABEL_CELLS + 1), Span(f"{began}{between}{now}", Tone.DIM))]
