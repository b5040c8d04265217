"""A report as one HTML page that needs nothing else: texts, tables, and plots drawn as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from html import escape
from itertools import pairwise
from typing import Final, NamedTuple

from controller.model.text import clean

_COLOURS: Final = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#475569")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 860, 280, 64, 40, 12, 16
_ROOM: Final = 1.04  # the axes end beyond the largest value
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 900px; margin: 2em auto; padding: 0 1em;
       color: #0f172a; background: #fff; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1em 0; }
th, td { padding: .25em .8em; border-bottom: 1px solid #e2e8f0; text-align: right; }
th:first-child, td:first-child { text-align: left; }
svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: #475569; }
.key span { margin-right: 1.2em; white-space: nowrap; } .key i { display: inline-block; width: 1em;
       height: .25em; margin-right: .4em; vertical-align: middle; }
"""


class PageTable(NamedTuple):
    """A table; its first column holds names, all others numbers as texts."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Shape(StrEnum):
    """How the points of a series are drawn."""

    LINE = "line"
    STEPS = "steps"
    DOTS = "dots"


class PlotSeries(NamedTuple):
    """A named series of points (x, y)."""

    name: str
    points: Sequence[tuple[float, float]]


class Plot(NamedTuple):
    """A picture of several series over one pair of axes; both begin at 0.

    `is_log`: the x axis shows the decades of 1 + x, so that 0 has its place.
    """

    title: str
    x: str
    y: str
    series: Sequence[PlotSeries]
    shape: Shape = Shape.LINE
    is_log: bool = False


class PageSection(NamedTuple):
    """A part of a page under its own heading."""

    title: str
    parts: Sequence[str | PageTable | Plot]


def page(title: str, sections: Iterable[PageSection]) -> str:
    """The page. All texts are shown as they are, none as markup."""
    body = "".join(
        f"<h2>{_text(section.title)}</h2>{''.join(map(_part, section.parts))}"
        for section in sections
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(title)}</title>'
        f"<style>{_STYLE}</style><h1>{_text(title)}</h1>{body}</html>\n"
    )


def markdown(table: PageTable) -> str:
    """The table as Markdown."""
    lines = [table.head, ["---", *("--:" for _ in table.head[1:])], *table.rows]
    return "\n".join(
        f"| {' | '.join(clean(cell).replace('|', chr(92) + '|') for cell in line)} |"
        for line in lines
    )


def _part(part: str | PageTable | Plot) -> str:
    match part:
        case PageTable():
            return _table(part)
        case Plot():
            return _plot(part)
    return f"<p>{_text(part)}</p>"


def _text(text: str) -> str:
    return escape(clean(text))


def _table(table: PageTable) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in table.head)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in table.rows
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


class _Axis(NamedTuple):
    """One axis: its values from 0 to `most` lie between two places of the picture."""

    most: float
    begin: float
    end: float
    is_log: bool = False

    def place(self, value: float) -> float:
        part = math.log1p(value) / math.log1p(self.most) if self.is_log else value / self.most
        return self.begin + part * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """About five values with one digit each."""
        if self.is_log:
            decades = range(math.floor(math.log10(self.most)) + 1) if self.most >= 1 else ()
            return [0.0, *(10.0**decade for decade in decades)]
        step = 10.0 ** math.floor(math.log10(self.most / 5))
        step *= next(each for each in (1, 2, 5, 10) if self.most / (step * each) <= 6)
        return [step * number for number in range(int(self.most / step + 1e-9) + 1)]


def _plot(plot: Plot) -> str:
    points = [point for series in plot.series for point in series.points]
    right, low = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    x = _Axis(_ROOM * max((at for at, _ in points), default=0) or 1.0, _LEFT, right, plot.is_log)
    y = _Axis(_ROOM * max((value for _, value in points), default=0) or 1.0, low, _TOP)
    drawn = "".join(
        _drawn(series, plot.shape, x, y, _COLOURS[number % len(_COLOURS)])
        for number, series in enumerate(plot.series)
    )
    key = "".join(
        f'<span><i style="background:{_COLOURS[number % len(_COLOURS)]}"></i>'
        f"{_text(series.name)}</span>"
        for number, series in enumerate(plot.series)
    )
    return (
        f'<h3>{_text(plot.title)}</h3><p class="key">{key}</p>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{_axes(plot, x, y)}{drawn}</svg>'
    )


def _axes(plot: Plot, x: _Axis, y: _Axis) -> str:
    across = "".join(
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#e2e8f0"/>'
        f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:,.6g}</text>'
        for value in y.ticks()
        for at in (y.place(value),)
    )
    below = "".join(
        f'<text x="{x.place(value):.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">'
        f"{value:,.6g}</text>"
        for value in x.ticks()
    )
    return (
        f'{across}{below}<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}" text-anchor="end">'
        f'{_text(plot.x)}</text><text x="{_LEFT + 6}" y="{_TOP + 12}">{_text(plot.y)}</text>'
    )


def _drawn(series: PlotSeries, shape: Shape, x: _Axis, y: _Axis, colour: str) -> str:
    places = [(x.place(at), y.place(value)) for at, value in series.points]
    if shape is Shape.DOTS:
        return "".join(
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="6" fill="{colour}" fill-opacity=".8">'
            f"<title>{_text(series.name)}</title></circle>"
            for across, down in places
        )
    if shape is Shape.STEPS:
        later = [(after, down) for (_, down), (after, _) in pairwise(places)]
        places = [each for pair in zip(places, [*later, places[-1]], strict=True) for each in pair]
    line = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
    return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
