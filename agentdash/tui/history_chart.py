"""How a pool went over the last 15 minutes and 24 hours, as rows of bars."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from agentdash.tui import figures
from agentdash.tui.lines import BLANK, Line, Span, Tone, fit, line
from agentdash.tui.sparkline import sparkline
from agentdash.tui.view import Frame
from controller.model.history import NOT_KNOWN, History, Timeline

_LABEL_CELLS: Final = 9
_FIGURES_CELLS: Final = 22
_RECENT_S: Final = 900.0


def history_lines(history: History, frame: Frame, width: int, height: int) -> list[Line]:
    """Messages that waited and how long, replicas that were ready and the target; first of 15
    minutes, then, if there is room, of 24 hours.
    """
    if not _is_known(history.recent):
        return [line(Span(" nothing recorded yet; the first slot ends within 15 s", Tone.DIM))]
    lines = _chart(history.recent, figures.time_of_day(frame.at - _RECENT_S)[:5], frame, width)
    if height >= 2 * len(lines) + 1:
        lines += [BLANK, *_day(history.day, frame, width)]
    return lines


def _day(day: Timeline, frame: Frame, width: int) -> list[Line]:
    if _is_known(day):
        return _chart(day, "24 h ago", frame, width)
    return [line(Span(" of the last 24 hours nothing yet: a slot is 15 minutes", Tone.DIM))]


def _chart(timeline: Timeline, began: str, frame: Frame, width: int) -> list[Line]:
    """Ready and target on one scale, and below them when the bars begin and end."""
    cells = min(max(width - _LABEL_CELLS - _FIGURES_CELLS - 3, 0), len(timeline.pending))
    replicas = max((*timeline.ready, *timeline.target))
    rows = (
        ("pending", timeline.pending, None, Tone.BUSY, figures.count),
        ("wait", timeline.wait_s, None, Tone.BUSY, figures.age),
        ("ready", timeline.ready, replicas, Tone.OK, figures.count),
        ("target", timeline.target, replicas, Tone.PLAIN, figures.count),
    )
    return [
        *(
            line(
                " ",
                Span(fit(name, _LABEL_CELLS), Tone.DIM),
                Span(sparkline(values, cells, frame.glyphs, top), tone),
                " ",
                Span(_figures(values, text), Tone.DIM),
            )
            for name, values, top, tone, text in rows
        ),
        _axis(began, frame, cells),
    ]


def _axis(began: str, frame: Frame, cells: int) -> Line:
    now = figures.time_of_day(frame.at)[:5]
    between = " " * (cells - len(began) - len(now))
    return line(" " * (_LABEL_CELLS + 1), Span(f"{began}{between}{now}", Tone.DIM))


def _figures(values: Iterable[int], text: Callable[[int], str]) -> str:
    """The most and the latest."""
    numbers = list(values)
    known = [number for number in numbers if number != NOT_KNOWN]
    if not known:
        return "not known"
    now = "?" if numbers[-1] == NOT_KNOWN else text(numbers[-1])
    return f"most {text(max(known))}, last {now}"


def _is_known(timeline: Timeline) -> bool:
    series = (timeline.pending, timeline.ready, timeline.target)
    return any(number != NOT_KNOWN for values in series for number in values)
